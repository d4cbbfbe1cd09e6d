# SPDX-License-Identifier: Apache-2.0
"""What more than one file of tests asks for."""

from pathlib import Path

import pytest

from lib.debian import Kernel, NotAvailable, kernel
from lib.tree import PACKAGE, architecture, package_version


@pytest.fixture(scope="session")
def debian_package() -> Path:
    """The package as `./dev package` has built it."""
    package = PACKAGE / f"sallyport_{package_version()}_{architecture()}.deb"
    assert package.exists(), "it is built by ./dev package"
    return package


@pytest.fixture(scope="session", params=["bookworm", "bookworm-backports"])
def stock_kernel(request: pytest.FixtureRequest) -> Kernel:
    """The oldest kernel that is supported, and a newer one where the mirror has it."""
    try:
        return kernel(request.param)
    except NotAvailable as reason:
        if request.param == "bookworm":
            raise
        pytest.skip(f"NOT TESTED on the kernel of {request.param}: {reason}")
