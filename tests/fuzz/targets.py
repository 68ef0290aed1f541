"""What is fuzzed: each target reads bytes and keeps its promise, or refuses them by its error in one line."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

from edge.calibration import file as calibration_file
from edge.capture import image_file
from edge.capture.page import ImageFileError, Page
from edge.model import archive, manifest
from edge.model.bundle import BundleError, split_bundle
from edge.session import content, tables
from firmware_config import read as profile_file

Target = Callable[[bytes], None]

_LONGEST_MESSAGE = 1000
_MEGAPIXELS = 1.0


def read_manifest(data: bytes) -> None:
    """A manifest that is read is written and read again the same."""
    try:
        read = manifest.decode(data)
    except ValueError as error:
        _must_be_one_line(error)
        return
    assert manifest.decode(manifest.encode(read)) == read


def read_archive(data: bytes) -> None:
    """An archive that a bundle may have is, byte for byte, what `pack` makes of its members."""
    try:
        flatbuffer, members = split_bundle(data)
    except BundleError as error:
        _must_be_one_line(error)
        return
    assert flatbuffer + archive.pack(members, len(flatbuffer)) == data


def read_image(data: bytes) -> None:
    """The pages of an image file are within the declared limit, in pixels and in bytes."""
    try:
        image_file.stated_pixels(io.BytesIO(data))
    except (ImageFileError, struct.error) as error:
        _must_be_one_line(error)
    try:
        for page in image_file.read_pages(io.BytesIO(data), max_megapixels=_MEGAPIXELS):
            if isinstance(page, Page):
                assert 0 < page.width * page.height <= _MEGAPIXELS * 1e6
    except ImageFileError as error:
        _must_be_one_line(error)


def read_toml(data: bytes) -> None:
    """A calibration or a device profile is read or refused, whatever the text."""
    text = data.decode(errors="replace")
    try:
        calibration_file._parse(text, Path("calibration.toml"))
    except calibration_file.CalibrationFileError as error:
        _must_be_one_line(error)
    reading = profile_file.read(text)
    assert reading.profile is not None or reading.problems
    for problem in reading.problems:
        assert problem.why.isprintable()
        assert problem.remedy.isprintable()


def read_session_header(data: bytes) -> None:
    """A header that is read is written and read again the same."""
    try:
        session_id, header = content.to_header(data.decode())
    except (ValueError, TypeError, KeyError, RecursionError):
        return  # the errors that the module promises; who opens the session makes one line of them
    assert content.to_header(tables.header_text(header, session_id)) == (session_id, header)


TARGETS: dict[str, Target] = {
    "manifest": read_manifest,
    "archive": read_archive,
    "image": read_image,
    "toml": read_toml,
    "session": read_session_header,
}


def _must_be_one_line(error: Exception) -> None:
    message = str(error)
    assert message.strip()
    assert "\n" not in message
    assert len(message) <= _LONGEST_MESSAGE
