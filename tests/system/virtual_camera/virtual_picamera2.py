"""Makes ``picamera2.Picamera2`` fit libcamera's virtual camera; import it before a camera is opened.

That camera gives NV12 only, wants a buffer plane for each image plane, and has no raw stream. Nothing else of
picamera2 or libcamera is replaced. It has no controls, and runs free: it repeats and skips its frames.
"""

from typing import Any

import libcamera  # type: ignore[import-not-found]
import picamera2  # type: ignore[import-not-found]
from picamera2.allocators import DmaAllocator  # type: ignore[import-not-found]


class TwoPlanes(DmaAllocator):  # type: ignore[misc]
    def allocate(self, configuration: Any, use_case: Any) -> None:
        super().allocate(configuration, use_case)
        for stream in configuration:
            luma = stream.stride * stream.size.height
            buffers = []
            for old in self.frame_buffers[stream.stream]:
                planes = []
                for offset, length in ((0, luma), (luma, luma // 2)):
                    plane = libcamera.FrameBuffer.Plane()
                    plane.fd, plane.offset, plane.length = old.planes[0].fd, offset, length
                    planes.append(plane)
                new = libcamera.FrameBuffer(planes)
                self.mapped_buffers[new] = self.mapped_buffers.pop(old)
                self.libcamera_fds.append(planes[0].fd)
                self.mapped_buffers_used[planes[0].fd] = False
                buffers.append(new)
            self.frame_buffers[stream.stream] = buffers


class VirtualPicamera2(picamera2.Picamera2):  # type: ignore[misc]
    def __init__(self, camera_num: int = 0, tuning: Any = None) -> None:
        super().__init__(camera_num, tuning=tuning, allocator=TwoPlanes())

    def _get_raw_modes(self) -> list[dict[str, Any]]:
        still = self.camera.generate_configuration([libcamera.StreamRole.StillCapture]).at(0)
        return [{"format": str(still.pixel_format), "size": (still.size.width, still.size.height)}]


picamera2.Picamera2 = VirtualPicamera2
