"""Does a session keep every frame that was reported as counted, whatever ends the process?

``python -m benchmarks.power_cuts [--cuts 100] [--kills 200] [--writer COMMAND --check COMMAND]``

A cut is one on a real file system: ext4 on a loop device loses what is in the page cache and in the journal
(``EXT4_IOC_SHUTDOWN`` without flushing the log), and is mounted again. That needs root. A kill is SIGKILL on
an ordinary disk: what the process wrote survives it, so kills alone prove little.

Both commands run with ``$PLACE`` set, the folder to write into. The writer prints one line per thing that it
reports as done; the check finds these lines in the file ``$REPORTED`` and exits with 0 if all of it is there.
By default simulated frames are counted into short sessions, one after another, so that a moment may fall on
the beginning, the middle, a checkpoint, a second opening or the end of one.
"""

from __future__ import annotations

import argparse
import fcntl
import itertools
import json
import os
import random
import shlex
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHON = f"exec {shlex.quote(sys.executable)} -m benchmarks.power_cuts"
WRITER = f'{PYTHON} --write "$FRAMES"'
CHECK = f"{PYTHON} --examine"

EXT4_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2
DISK_BYTES = 128 << 20
LONGEST_S = 1.5
"""A moment lies at most this long after the writer's first line."""
FRAMES_PER_SESSION = 6
STATE_BYTES = 1_500_000
"""With it a checkpoint is due at every third frame."""


def power_cut(writer: str, check: str, work: Path, moment_s: float) -> str | None:
    """Cut the power of a disk while the writer writes on it; None, or what the check missed afterwards."""
    image, place = work / "disk.img", work / "disk"
    place.mkdir(exist_ok=True)
    with mounted(image, place):
        reported = _interrupted(writer, work, place, moment_s, lambda process: _cut(process, place))
    # a copy, like a disk moved to another computer: a process with the old mount still holds the cut-off disk
    copy = work / "copy.img"
    # a new file: a loop device that still holds the last copy would show that one's sessions again
    copy.unlink(missing_ok=True)
    subprocess.run(["cp", "--sparse=always", image, copy], check=True)
    with mounted(copy, place, new=False):
        return _missed(check, work, place, reported)


def kill(writer: str, check: str, work: Path, moment_s: float) -> str | None:
    """Kill the writer while it writes; None, or what the check missed afterwards."""
    with tempfile.TemporaryDirectory(dir=work) as place:
        reported = _interrupted(writer, work, Path(place), moment_s, lambda process: process.kill())
        return _missed(check, work, Path(place), reported)


@contextmanager
def mounted(
    image: Path, place: Path, *, new: bool = True, size: int = DISK_BYTES, options: str = "loop"
) -> Iterator[None]:
    """Mount an ext4 in a file, by default a new one.

    Raises
    ------
    subprocess.CalledProcessError
        If this machine refuses it.
    """
    if new:
        image.unlink(missing_ok=True)
        with image.open("wb") as file:
            file.truncate(size)
        subprocess.run(["mkfs.ext4", "-q", "-m0", "-F", image], check=True)
    subprocess.run(["mount", "-o", options, image, place], check=True, capture_output=True)
    try:
        yield
    finally:
        # the kernel may hold on to a shut-down disk for a moment after its last process
        for attempt in range(100):
            if not subprocess.run(["umount", place], check=attempt == 99, capture_output=True).returncode:
                break
            time.sleep(0.05)


def make_frames(folder: Path) -> None:
    """Simulate the frames that the writer counts: small ones, so that most of the time goes into storing."""
    from edge.simulate import Scene, simulate

    scene = Scene(width_px=400, height_px=300, leukocytes=1.5, erythrocytes=1, debris=1)
    for _ in simulate(folder, frames=5, seed=11, scene=scene):
        pass


def write(frames_folder: Path, place: Path) -> None:
    """Count the frames into session after session, until something ends the process."""
    from edge.base import Frame
    from edge.capture import read_frames
    from edge.classify import Classifier
    from edge.count import CountedFrame
    from edge.model import load_bundle
    from edge.run import Analysis, count_frames
    from edge.session import Header, create_session, frame_record, open_session

    classifier = Classifier(load_bundle("phantom3"), threads=1)
    manifest = classifier.bundle.manifest
    frames = [frame for frame in read_frames([frames_folder]) if isinstance(frame, Frame)]

    def counted(indices: range) -> Iterator[CountedFrame]:
        batch = (replace(frames[k % len(frames)], index=k) for k in indices)
        for result in count_frames(
            batch, classifier, Analysis(pixel_um=manifest.pixel_um, reject_below=manifest.reject_below)
        ):
            assert isinstance(result, CountedFrame)
            yield result

    for number in itertools.count():
        header = Header(
            sample_id=f"sample {number}",
            operator="nobody",
            bundle=manifest.name,
            bundle_sha256=classifier.bundle.sha256,
            labels=manifest.labels,
            counted=manifest.counted,
            calibration_sha256=None,
            parameters={},
            stop_rule={},
            sources=(str(frames_folder),),
            software="power cuts",
            started=datetime.now(UTC),
        )
        session = create_session(header, place)
        print(session.id, "begun", flush=True)
        for indices in (range(FRAMES_PER_SESSION // 2), range(FRAMES_PER_SESSION // 2, FRAMES_PER_SESSION)):
            with session:
                for result in counted(indices):
                    result = replace(result, tracker_state=os.urandom(STATE_BYTES))
                    session.add(frame_record(result, keep_crops=True))
                    print(session.id, result.frame.index, len(result.cells), flush=True)
            session = open_session(session.path)
        session.finish("enough")
        print(session.id, "finished", flush=True)


def examine(place: Path, lines: Sequence[str]) -> list[str]:
    """Compare the sessions in a folder with what the writer reported; return one line per difference.

    A session may hold one step more than was reported. Each one must verify,
    and an unfinished one must take another record and an end.
    """
    from edge.session import FrameRecord, SessionError, list_sessions, open_session, read_session

    reported: dict[str, list[str]] = defaultdict(list)
    for line in lines:
        session_id, _, said = line.partition(" ")
        reported[session_id].append(said)
    found = {listed.id: listed for listed in list_sessions(place)}
    missed = [f"{session_id} is missing" for session_id in reported if session_id not in found]
    for session_id, listed in found.items():
        try:
            with read_session(listed.path) as session:
                held = ["begun", *(f"{frame.index} {len(frame.cells)}" for frame in session.frames())]
                held += ["finished"] if session.finished else []
                missed += [f"{session_id}: {problem}" for problem in session.verify()]
            steps = reported[session_id]
            if held[: len(steps)] != steps or len(held) > len(steps) + 1:
                missed.append(f"{session_id}: reported {steps}, found {held}")
            if "finished" not in held:
                with open_session(listed.path) as unfinished:
                    unfinished.add(FrameRecord(unfinished.last_index + 1, "after", 0, failed="a test"))
                    unfinished.finish("examined")
                with read_session(listed.path) as session:
                    missed += [f"{session_id}, resumed: {problem}" for problem in session.verify()]
        except SessionError as error:
            missed.append(str(error))
    return missed


def _interrupted(
    writer: str, work: Path, place: Path, moment_s: float, interrupt: Callable[[subprocess.Popen[str]], None]
) -> list[str]:
    """Run the writer, interrupt it some time after its first line, and return all lines that it printed."""
    environment = os.environ | {"PLACE": str(place), "FRAMES": str(work / "frames" / "frames")}
    with subprocess.Popen(
        ["sh", "-c", writer],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        lines = [process.stdout.readline()]
        try:
            process.wait(moment_s)
        except subprocess.TimeoutExpired:
            interrupt(process)
            process.kill()
            return [line.strip() for line in [*lines, *process.stdout] if line.endswith("\n")]
        raise RuntimeError(f"the writer ended by itself, after {lines}: {process.stderr.read()}")


def _cut(process: subprocess.Popen[str], place: Path) -> None:
    """Stop the process first: it must not report what it writes after the cut."""
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
    descriptor = os.open(place, os.O_RDONLY)
    try:
        fcntl.ioctl(descriptor, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
    finally:
        os.close(descriptor)


def _missed(check: str, work: Path, place: Path, reported: Sequence[str]) -> str | None:
    lines = work / "reported"
    lines.write_text("".join(f"{line}\n" for line in reported))
    environment = os.environ | {"PLACE": str(place), "REPORTED": str(lines)}
    done = subprocess.run(["sh", "-c", check], capture_output=True, text=True, env=environment, cwd=ROOT)
    return (done.stdout + done.stderr).strip() or "the check failed" if done.returncode else None


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.power_cuts",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--cuts", type=int, default=100)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1, help="seed of the moments")
    parser.add_argument("--writer", default=WRITER, help="shell command")
    parser.add_argument("--check", default=CHECK, help="shell command")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", metavar="FRAMES", type=Path, help="run as the writer")
    parser.add_argument("--examine", action="store_true", help="run as the check")
    options = parser.parse_args(arguments)
    if options.write:
        write(options.write, Path(os.environ["PLACE"]))
        return
    if options.examine:
        lines = Path(os.environ["REPORTED"]).read_text().splitlines()
        sys.exit("\n".join(examine(Path(os.environ["PLACE"]), lines)) or 0)
    from rich.console import Console
    from rich.progress import track

    moments = random.Random(options.seed)
    words = Console(stderr=True)
    survived = {}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        make_frames(work / "frames")
        for one, rounds in ((power_cut, options.cuts), (kill, options.kills)):
            missed = []
            for number in track(range(rounds), one.__name__, console=words, disable=not words.is_terminal):
                said = one(options.writer, options.check, work, moments.uniform(0, LONGEST_S))
                missed.append(said)
                if said is not None:
                    print(f"{one.__name__} {number}: {said}", file=sys.stderr)
            survived[one.__name__] = {"rounds": rounds, "survived": missed.count(None)}
    if options.json:
        print(json.dumps(survived))
    else:
        for name, row in survived.items():
            print(f"{name}: {row['survived']} of {row['rounds']} survived")
    if any(row["survived"] != row["rounds"] for row in survived.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
