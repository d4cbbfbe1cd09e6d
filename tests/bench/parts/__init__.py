# SPDX-License-Identifier: Apache-2.0
"""The parts of ./dev bench: what it runs, what it prepares, what it reports."""
