"""What a user installs: a quick command line, a complete wheel, and no TensorFlow in the base install."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]


def run(*words: str | Path, cwd: Path) -> str:
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_help_imports_neither_numpy_nor_opencv() -> None:
    program = (
        "import sys; from edge.cli import main; main(['--help'], standalone_mode=False); "
        "print(sorted({m.split('.')[0] for m in sys.modules} & "
        "{'numpy', 'cv2', 'rich', 'keras', 'tensorflow', 'ai_edge_litert', 'tflite_runtime'}))"
    )
    out = run(sys.executable, "-c", program, cwd=ROOT)
    assert out.splitlines()[-1] == "[]"
    assert "count" in out


def test_help_answers_in_a_blink() -> None:
    """Processor time, which other work on the machine hardly changes; the best of five."""

    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run(sys.executable, "-m", "edge.cli", "--help", cwd=ROOT)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(5)) < 0.15


PI = {"sys_platform": "linux", "platform_machine": "aarch64", "python_version": "3.11"}


@pytest.mark.parametrize(
    ("extra", "environment", "expected"),
    [
        ("camera", PI, {"picamera2"}),
        ("camera", PI | {"platform_machine": "x86_64", "python_version": "3.13"}, {"picamera2"}),
        ("camera", PI | {"sys_platform": "darwin"}, set()),
        ("tflite", PI, {"tflite-runtime", "numpy", "opencv-python-headless"}),
        ("tflite", PI | {"python_version": "3.13"}, set()),  # which has no wheel of it
    ],
)
def test_extras_bring_what_a_machine_can_install(
    extra: str, environment: dict[str, str], expected: set[str]
) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    required = map(Requirement, project["optional-dependencies"][extra])
    assert {
        one.name for one in required if one.marker is None or one.marker.evaluate(environment)
    } == expected


def test_wheel_holds_everything_and_runs_outside_the_checkout(tmp_path: Path) -> None:
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path, cwd=ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"edge/bundles/phantom3.tflite", "edge/bundles/hemocytometer.tflite"} <= set(names)
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {
        "edge",
        "train",
        "convert",
        "firmware_config",
    }
    # a venv that sees this one's packages, but neither the checkout nor its editable install
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    target = next((tmp_path / "venv" / "lib").glob("python*/site-packages"))
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    run(*pip, "--no-deps", "--no-index", "--target", target, wheel, cwd=tmp_path)
    import click

    packages = Path(click.__file__).parents[1]
    # a plain sys.path entry, after the wheel's files and without that folder's own .pth files
    (target / "others.pth").write_text(f"{packages}\n")
    leuko = (str(python), "-m", "edge.cli")
    where = run(python, "-c", "import edge; print(edge.__file__)", cwd=tmp_path).strip()
    assert Path(where).is_relative_to(target)
    assert "phantom3" in run(*leuko, "verify", "phantom3", cwd=tmp_path)
    run(*leuko, "simulate", "sample", "--frames", "1", "--seed", "3", cwd=tmp_path)
    out = run(
        *leuko, "count", "--bundle", "phantom3", "sample/frames", "--out", "result", "--json", cwd=tmp_path
    )
    assert '"counts"' in out
    assert (tmp_path / "result" / "report.html").stat().st_size > 10_000


def test_a_wheel_built_twice_is_the_same_byte_for_byte(tmp_path: Path) -> None:
    """From two checkouts with other times and rights of files."""
    made = []
    for name, umask in (("one", 0o022), ("two", 0o077)):
        checkout = tmp_path / name
        ignored = shutil.ignore_patterns(".*", "__pycache__", "tests", "benchmarks", "docs", "dist", "demo")
        shutil.copytree(ROOT, checkout, ignore=ignored, copy_function=shutil.copyfile)
        for path in checkout.rglob("*"):
            path.chmod(0o777 & ~umask if path.is_dir() else 0o666 & ~umask)
            os.utime(path, (umask, umask))
        run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", checkout / "dist", cwd=checkout)
        made.append(next((checkout / "dist").iterdir()).read_bytes())
    assert made[0] == made[1]


def test_pins_hold_hashes_and_no_addresses() -> None:
    for name in ("base.txt", "train.txt", "dev.txt", "release.txt"):
        lines = (ROOT / "constraints" / name).read_text().splitlines()
        pins = [line for line in lines if "==" in line and not line.startswith("#")]
        assert pins
        assert not [line for line in lines if "://" in line or line.startswith("-")]
        assert sum("--hash=sha256:" in line for line in lines) >= len(pins)
    base = (ROOT / "constraints" / "base.txt").read_text()
    assert "tensorflow" not in base
    assert "keras" not in base
