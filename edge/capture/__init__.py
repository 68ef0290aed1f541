"""Frames from image files, folders, videos and cameras."""

from edge.capture import pi_cameras, v4l2
from edge.capture.camera import Camera, CameraError, CameraInfo, CameraSettings, camera_place
from edge.capture.channel_names import channels_by_name
from edge.capture.exposure import CLEAR_FIELD, clear_field, converge
from edge.capture.folder import FolderCamera
from edge.capture.frames import (
    MAX_MEGAPIXELS,
    TOO_LARGE,
    Encoded,
    files_pixels,
    list_files,
    passed_over,
    read_encoded,
    read_frames,
)
from edge.capture.grabber import LiveSettings
from edge.capture.image_file import read_pages
from edge.capture.live import live_frames
from edge.capture.page import ImageFileError
from edge.capture.picamera import PiCamera
from edge.capture.planes import PlaneChoice
from edge.capture.recorded import VideoCamera
from edge.capture.stated_pixel import CONTRADICTS, agreed_pixel, contradiction
from edge.capture.v4l2 import V4l2Camera

__all__ = [
    "CLEAR_FIELD",
    "CONTRADICTS",
    "MAX_MEGAPIXELS",
    "TOO_LARGE",
    "Camera",
    "CameraError",
    "CameraInfo",
    "CameraSettings",
    "Encoded",
    "FolderCamera",
    "ImageFileError",
    "LiveSettings",
    "PiCamera",
    "PlaneChoice",
    "V4l2Camera",
    "VideoCamera",
    "agreed_pixel",
    "camera_place",
    "channels_by_name",
    "clear_field",
    "contradiction",
    "converge",
    "files_pixels",
    "list_files",
    "live_frames",
    "passed_over",
    "pi_cameras",
    "read_encoded",
    "read_frames",
    "read_pages",
    "v4l2",
]
