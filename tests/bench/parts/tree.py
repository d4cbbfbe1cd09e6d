# SPDX-License-Identifier: Apache-2.0
"""Where things are."""

import os
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("SALLYPORT_BUILD") or SOURCE / "build")
PROGRAMS = BUILD / "bin"
REPORTS = BUILD / "bench"
