"""The notice shown with every result."""

from __future__ import annotations

RESEARCH_USE = "research use only, not for diagnosis"
