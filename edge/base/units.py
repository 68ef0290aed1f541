"""Which sizes of a pixel can be meant: one range for commands, profiles, bundles and runs."""

from __future__ import annotations

PIXELS_UM = 0.005, 10.0
"""Least and largest side of a pixel in the specimen that any microscope has."""
