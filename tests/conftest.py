"""Settings for every test: tiers by length, a folder that all workers share, and a home."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# how long an example takes depends on the machine: no test asserts a time
settings.register_profile("leuko", deadline=None)
settings.load_profile("leuko")
# --hypothesis-profile=emulated, where everything takes ten times as long
settings.register_profile(
    "emulated", deadline=None, max_examples=10, suppress_health_check=[HealthCheck.too_slow]
)

MINUTES = (
    "tests/convert/test_convert.py::test_same_run",
    "tests/fuzz/test_fuzz.py::test_a_minute",
    "tests/system/test_arm.py",
    "tests/system/test_firmware_arm.py",
    "tests/system/test_firmware_image.py",
    "tests/system/test_firmware_read_only.py",
    "tests/system/test_firmware_service.py",
    "tests/system/test_firmware_units.py::test_debian_13_agrees",
    "tests/system/test_fuzz.py::test_nothing_is_found[files-90]",
    "tests/system/test_fuzz.py::test_nothing_is_found[runs-14]",
    "tests/system/test_fuzz_bundle.py::test_no_mutation_is_accepted[5000]",
    "tests/system/test_image_formats.py::test_files_of_programs",
    "tests/system/test_kill_session.py::test_no_frame_that_was_reported_is_lost[20]",
    "tests/system/test_live.py::test_power_cuts",
    "tests/system/test_packaging.py::test_wheel",
    "tests/system/test_page_commands.py::test_commands_of_a_page_do_what_they_say[docs/train.md]",
    "tests/system/test_power_cut.py::test_no_frame_that_was_reported_is_lost[20]",
    "tests/system/test_virtual_camera.py",
    "tests/train/test_backends.py",
    "tests/train/test_fit.py::test_bfloat16",
    "tests/train/test_folds.py::test_every_crop",
    "tests/train/test_kill.py",
    "tests/train/test_study.py",
)
"""Tests that build a foreign system, boot one, train for minutes, or repeat a shorter one more often; left
out unless asked for."""

SECONDS = (
    "tests/convert",
    "tests/edge/capture/test_frames.py",
    "tests/edge/capture/test_mosaic.py",
    "tests/edge/capture/test_videos.py",
    "tests/edge/classify/test_out_of_distribution.py",
    "tests/edge/classify/test_unlike_cells.py",
    "tests/edge/cli/test_camera_cli.py",
    "tests/edge/cli/test_damaged_sessions.py",
    "tests/edge/cli/test_tables.py",
    "tests/edge/count/test_concentration.py",
    "tests/edge/count/test_prevalence.py",
    "tests/edge/find/test_quality.py",
    "tests/edge/find/test_rims.py",
    "tests/edge/find/test_visibility.py",
    "tests/edge/run/test_certainty.py",
    "tests/edge/run/test_contrast.py",
    "tests/edge/run/test_count_run.py",
    "tests/edge/run/test_doctor.py",
    "tests/edge/run/test_file_facts.py",
    "tests/edge/run/test_repeats.py",
    "tests/edge/run/test_tracking_remarks.py",
    "tests/edge/simulate",
    "tests/edge/track",
    "tests/firmware_config/test_image.py",
    "tests/firmware_config/test_install.py",
    "tests/firmware_config/test_profile.py",
    "tests/firmware_config/test_swap.py",
    "tests/system",
    "tests/train/test_cli.py",
    "tests/train/test_curves.py",
    "tests/train/test_evaluate.py",
    "tests/train/test_fit.py",
    "tests/train/test_folds.py",
    "tests/train/test_metrics.py",
    "tests/train/test_network_file.py",
    "tests/train/test_networks.py",
    "tests/train/test_study_summary.py",
)
"""Tests that load Keras, train, or run whole programs; left out of the fast run."""


FAST, USUAL = "not minutes and not seconds", "not minutes"
"""The tiers of ./run, as its -m states them."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what a tier leaves out whole, before it loads Keras."""
    left_out = {FAST: MINUTES + SECONDS, USUAL: MINUTES}.get(config.option.markexpr, ())
    path = collection_path.relative_to(config.rootpath).as_posix()
    return True if path in left_out else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by its length."""
    for item in items:
        if item.nodeid.startswith(MINUTES):
            item.add_marker("minutes")
        if item.nodeid.startswith(SECONDS):
            item.add_marker("seconds")


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the settings and the state of the person who runs the tests out of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEUKO_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@contextmanager
def shared_folder(tmp_path_factory: pytest.TempPathFactory, name: str) -> Iterator[Path]:
    """Yield a folder of the whole test run, one worker at a time: the first one fills it."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder = root / name
    folder.mkdir(exist_ok=True)
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
