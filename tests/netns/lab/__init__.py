# SPDX-License-Identifier: Apache-2.0
"""A laboratory of network namespaces in which the gateway meets real programs. See ../README.md."""

from .agent import Agent
from .capture import Capture
from .core import Lab, LabError, Namespace, eventually
from .world import OneArmed, Routed, Tenants

__all__ = ["Agent", "Capture", "Lab", "LabError", "Namespace", "OneArmed", "Routed", "Tenants", "eventually"]
