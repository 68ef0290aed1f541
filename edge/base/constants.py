"""Facts that every room agrees on."""

from __future__ import annotations

RESEARCH_USE = "research use only, not for diagnosis"

PIXELS_UM = 0.005, 10.0
"""Smallest and largest side of a pixel in the specimen, for any microscope."""
