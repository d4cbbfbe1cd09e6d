# SPDX-License-Identifier: Apache-2.0
"""What the tests of the package share: where things are, Debian systems and kernels to boot, and guests."""
