# SPDX-License-Identifier: Apache-2.0
"""What more than one file of tests asks for."""

from pathlib import Path

import pytest

from lib.tree import PACKAGE, architecture, package_version


@pytest.fixture(scope="session")
def debian_package() -> Path:
    """The package as `./dev package` has built it."""
    package = PACKAGE / f"sallyport_{package_version()}_{architecture()}.deb"
    assert package.exists(), "it is built by ./dev package"
    return package
