"""Programs in processes of their own answer with JSON, and fail in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.classify import installed_runtimes
from edge.model import DeviceSettings, load_bundle
from edge.run.child import ChildError, ChildTimeoutError, answer, ask_runtime, split_runtimes, start


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


def test_files_of_the_current_folder_are_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("json", "numpy", "click", "signal"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('code of the current folder')")
    (tmp_path / "edge").mkdir()
    (tmp_path / "edge/__init__.py").write_text("raise SystemExit('code of the current folder')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "")
    examined = answer(start("edge.run.doctor", "python", ""))
    assert examined["status"] == "ok"
    first = installed_runtimes()[0]
    sha256 = load_bundle("phantom3", DeviceSettings()).sha256
    assert ask_runtime(first, "verify", "phantom3", sha256=sha256)["runtimes"]


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
