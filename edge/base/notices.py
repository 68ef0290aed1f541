"""What stands with every result."""

from __future__ import annotations

RESEARCH_USE = "research use only, not for diagnosis"
"""Said with every result."""
