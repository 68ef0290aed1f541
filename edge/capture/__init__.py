"""Frames from image files, folders, videos and cameras."""

from edge.capture import image_file, picamera, v4l2
from edge.capture.camera import Camera, CameraError, CameraInfo, CameraSettings
from edge.capture.exposure import CLEAR_FIELD, clear_field, converge
from edge.capture.folder import FolderCamera
from edge.capture.frames import MAX_MEGAPIXELS, Encoded, list_files, read_encoded, read_frames
from edge.capture.grabber import LiveSettings
from edge.capture.live import live_frames
from edge.capture.picamera import PiCamera
from edge.capture.v4l2 import V4l2Camera
from edge.capture.video import VideoCamera

__all__ = [
    "CLEAR_FIELD",
    "MAX_MEGAPIXELS",
    "Camera",
    "CameraError",
    "CameraInfo",
    "CameraSettings",
    "Encoded",
    "FolderCamera",
    "LiveSettings",
    "PiCamera",
    "V4l2Camera",
    "VideoCamera",
    "clear_field",
    "converge",
    "image_file",
    "list_files",
    "live_frames",
    "picamera",
    "read_encoded",
    "read_frames",
    "v4l2",
]
