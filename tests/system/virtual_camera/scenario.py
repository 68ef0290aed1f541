"""What the test has done inside: the project's camera code on the real picamera2; answers in JSON and PNG."""

import json
import threading
from functools import partial
from itertools import islice
from typing import Any

import cv2
import virtual_picamera2  # type: ignore[import-not-found]  # noqa: F401

from edge.base.frame import Frame
from edge.capture import CameraError, LiveSettings, live_frames
from edge.capture.picamera import PiCamera
from edge.run.cameras import list_cameras, open_camera

answer: dict[str, Any] = {}

found, notes = list_cameras()
answer["list"] = [[one.name, one.description] for one in found]
answer["notes"] = notes

camera = open_camera("picamera2")
assert isinstance(camera, PiCamera)
settled = camera.settle(20)
answer["settled"] = [settled.exposure_us, settled.gain, settled.colour_gains]
frames = [camera.grab(10) for _ in range(12)]
answer["names"] = [frame.name for frame in frames]
answer["times_ns"] = [frame.time_ns for frame in frames]
answer["settings"] = [dict(frame.settings) for frame in frames]
for k, frame in enumerate(frames):
    cv2.imwrite(f"/t/out/whole{k}.png", frame.image)

# rows longer than the picture, as on a sensor whose width is no multiple of the memory's alignment
camera._camera.camera_config["main"]["size"] = (1900, 1080)
camera.grab(10)  # it may have been completed before
padded = camera.grab(10)
cv2.imwrite("/t/out/padded.png", padded.image)
answer["padded_is_contiguous"] = padded.image.flags["C_CONTIGUOUS"]
camera.close()

try:
    open_camera("picamera2", size=(640, 480))
except CameraError as error:
    answer["other_size"] = str(error)
try:
    open_camera("picamera2:7")
except CameraError as error:
    answer["no_such"] = str(error)

for k in range(3):
    again = open_camera("picamera2:0", size=(1920, 1080))
    first = again.grab(10)
    assert isinstance(first, Frame)
    cv2.imwrite(f"/t/out/again{k}.png", first.image)
    again.close()

settings = LiveSettings(when_behind="drop-oldest")
live = live_frames(partial(open_camera, "picamera2"), stop=threading.Event(), settings=settings)
taken = [item for item in islice(live, 8) if isinstance(item, Frame)]
live.close()
answer["live"] = [[frame.name, list(frame.image.shape), frame.dropped_before] for frame in taken]
answer["threads"] = [thread.name for thread in threading.enumerate() if thread.name == "camera"]
print(json.dumps(answer))
