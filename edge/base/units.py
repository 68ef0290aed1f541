"""The range of pixel sizes, for commands, calibrations, bundles and training runs."""

from __future__ import annotations

PIXELS_UM = 0.005, 10.0
"""Smallest and largest side of a pixel in the specimen, for any microscope."""
