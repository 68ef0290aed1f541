"""Simulated bright-field frames of unstained blood cells, with their truth. Research use only."""

from edge.simulate.camera import SimulatedCamera
from edge.simulate.frame import simulate_frame
from edge.simulate.motion import Flow, Scan, moving_frames
from edge.simulate.optics import Optics, image
from edge.simulate.scene import Scene, SimulatedFrame, Truth
from edge.simulate.write import simulate

__all__ = [
    "Flow",
    "Optics",
    "Scan",
    "Scene",
    "SimulatedCamera",
    "SimulatedFrame",
    "Truth",
    "image",
    "moving_frames",
    "simulate",
    "simulate_frame",
]
