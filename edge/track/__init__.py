"""Count each cell once: recognise it in overlapping fields or along a flow."""

from edge.track.agreement import Agreement
from edge.track.area import LaidOut
from edge.track.constellations import Constellations
from edge.track.detections import TrackedCells
from edge.track.fields import Fields, correlation
from edge.track.tracker import Tracker

__all__ = ["Agreement", "Constellations", "Fields", "LaidOut", "TrackedCells", "Tracker", "correlation"]
