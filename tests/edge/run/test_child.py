"""Programs in processes of their own answer with JSON, and fail in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge.base import Frame
from edge.capture import read_frames
from edge.classify import installed_runtimes
from edge.model import DeviceSettings, load_bundle
from edge.run.child import ChildError, ChildTimeoutError, answer, ask_runtime, split_runtimes, start
from firmware_config import wheels
from tests.edge.capture.test_videos import avi, jpeg, pictures


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = {
        "answers": "print('[1, null]')",
        "crashes": "import os; os.abort()",
        "fails": "raise SystemExit('details\\nError: no such bundle')",
        "hangs": "import time; time.sleep(60)",
    }
    for name, program in programs.items():
        (tmp_path / f"{name}.py").write_text(program)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def test_an_answer_is_read(modules: None) -> None:
    assert answer(start("answers")) == [1, None]


@pytest.mark.parametrize(
    ("module", "reason"), [("crashes", r"^crashed \(SIGABRT\)$"), ("fails", "^no such bundle$")]
)
def test_a_failure_is_one_line(modules: None, module: str, reason: str) -> None:
    with pytest.raises(ChildError, match=reason):
        answer(start(module))


def test_a_program_that_hangs_is_killed(modules: None) -> None:
    child = start("hangs")
    with pytest.raises(ChildTimeoutError, match="gave no answer in time"):
        answer(child, timeout_s=0.5)
    assert child.poll() is not None


def test_every_runtime_but_the_first_has_its_own_process() -> None:
    first, others = split_runtimes(None)
    assert [first, *others] == installed_runtimes()
    assert split_runtimes("onnx") == ("onnx", [])
    with pytest.raises(ChildError, match=r"^onnx: no runtime onnx: installed "):
        ask_runtime("onnx", "verify", "phantom3", sha256="")
    sha256 = load_bundle("phantom3", DeviceSettings()).sha256
    for other in others:
        assert list(ask_runtime(other, "verify", "phantom3", sha256=sha256)["runtimes"]) == [other]
    with pytest.raises(ChildError, match=r"phantom3: was replaced meanwhile; repeat it"):
        ask_runtime(installed_runtimes()[0], "verify", "phantom3", sha256="00" * 32)


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that any module of the current folder writes when it runs."""
    written = tmp_path / "written"
    code = f"with open({str(written)!r}, 'a') as file: file.write(__name__)\nraise SystemExit(1)\n"
    folder = tmp_path / "card"
    (folder / "edge").mkdir(parents=True)
    for name in ("json", "numpy", "cv2", "click", "signal", "pip", "venv", "edge/__init__", "sitecustomize"):
        (folder / f"{name}.py").write_text(code)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", os.pathsep)
    return written


def test_files_of_the_current_folder_are_no_code(planted: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "json"], check=False, capture_output=True)
    assert done.returncode == 1
    assert planted.exists(), "Python's own way"
    planted.unlink()
    examined = answer(start("edge.run.doctor", "python", ""))
    assert examined["status"] == "ok"
    first = installed_runtimes()[0]
    sha256 = load_bundle("phantom3", DeviceSettings()).sha256
    for command in (("verify",), ("bench", "--rounds", "1", "--threads", "1")):
        assert ask_runtime(first, command[0], "phantom3", *command[1:], sha256=sha256)
    wheels._pip("--version")
    (frame,) = read_frames([avi(Path("v.avi"), [jpeg(pictures(1)[0])])])
    assert isinstance(frame, Frame)
    assert not planted.exists()


def test_every_python_is_started_without_the_current_folder() -> None:
    checkout = Path(__file__).parents[3]
    starts = [
        str(file.relative_to(checkout))
        for package in ("edge", "train", "convert", "firmware_config")
        for file in (checkout / package).rglob("*.py")
        if "sys.executable" in file.read_text()
    ]
    assert starts == ["edge/base/own_python.py"]
    install = (checkout / "install.sh").read_text()
    assert install.index("\nexport PYTHONSAFEPATH=1\n") < install.index("python3 -")
