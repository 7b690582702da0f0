"""The audit that runs a torch network and counts what it multiplies and reads."""

from __future__ import annotations

from kwsbench.budget.audit.network import audit_network

__all__ = ["audit_network"]
