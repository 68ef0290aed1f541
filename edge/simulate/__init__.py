"""Bright-field phantom: simulated frames of unstained blood cells with their truth. Research use only."""

from edge.simulate.motion import Flow, Scan, moving_frames
from edge.simulate.optics import Optics
from edge.simulate.scene import LABELS, Scene, SimulatedFrame, Truth, simulate_frame
from edge.simulate.write import simulate

__all__ = [
    "LABELS",
    "Flow",
    "Optics",
    "Scan",
    "Scene",
    "SimulatedFrame",
    "Truth",
    "moving_frames",
    "simulate",
    "simulate_frame",
]
