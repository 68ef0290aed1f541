"""Installing: twice is once, taking away restores, and a failure at any step leaves nothing behind."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from edge.cli import main
from firmware_config import plan
from firmware_config.fence import BEGIN, END
from firmware_config.install import NotUndoneError, carry_out
from firmware_config.journal import JOURNAL, alone, interrupted, roll_back
from firmware_config.plan import plan_installation
from firmware_config.record import BACKUP, RECORD, LostRecordError
from firmware_config.render import UNITS
from firmware_config.state import InstallError, look
from firmware_config.system import ALSO, make_users_and_folders, refusal
from firmware_config.tree import PROFILE, Block, File, Link, Tree, Word
from tests.firmware_config.test_profile import changed, profile
from tests.firmware_config.test_render import rendered

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to root, which needs root")

UNIT = f"{UNITS}/leuko-count.service"
CONFIG = "boot/firmware/config.txt"
COMMAND_LINE = "boot/firmware/cmdline.txt"
TREE: Tree = {
    "a/new": File(b"1\n"),
    "a/b/deep": File(b"2\n"),
    "etc/theirs": File(b"ours\n"),
    "etc/linked": Link("/dev/null"),
    "etc/new-link": Link("theirs"),
    CONFIG: Block(b"[all]\n"),
    COMMAND_LINE: Word(b"cgroup_enable=memory"),
}


def furnished(root: Path) -> Path:
    """A system with files of others where ours go."""
    (root / "boot/firmware").mkdir(parents=True)
    (root / "etc").mkdir()
    (root / CONFIG).write_bytes(b"dtparam=audio=on\r\n[pi4]\nno end")
    (root / COMMAND_LINE).write_bytes(b"console=tty1 root=PARTUUID=1-2 rootwait\n")
    (root / "etc/theirs").write_bytes(b"theirs\n")
    (root / "etc/theirs").chmod(0o640)
    (root / "etc/linked").symlink_to("theirs")
    return root


Snapshot = dict[str, tuple[int, int, bytes | str]]


def snapshot(root: Path) -> Snapshot:
    found: Snapshot = {}
    for path in root.rglob("*"):
        mode, owner = path.lstat().st_mode, path.lstat().st_uid
        content: bytes | str = b""
        if path.is_symlink():
            content = str(path.readlink())
        elif path.is_file():
            content = path.read_bytes()
        found[str(path.relative_to(root))] = (mode, owner, content)
    return found


class InjectedError(OSError):
    pass


REMAINING: list[int] = []
"""Empty, or how many steps on the file system still work."""
STEPS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.chmod", "os.chown"}


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if not REMAINING or event not in STEPS:
        return
    if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
        return
    REMAINING[0] -= 1
    if REMAINING[0] < 0:
        REMAINING.clear()
        raise InjectedError(28, "injected")


sys.addaudithook(_hook)


@contextmanager
def failing_after(steps: int) -> Iterator[None]:
    REMAINING[:] = [steps]
    try:
        yield
    finally:
        REMAINING.clear()


def fail_everywhere(root: Path, tree: Tree) -> int:
    """Bring a tree on, failing at the first step, then at the second, and so on; return how many."""
    before = snapshot(root)
    steps = 0
    while True:
        planned = plan_installation(root, tree)
        try:
            with failing_after(steps):
                carry_out(planned)
        except InjectedError:
            assert snapshot(root) == before, f"step {steps}"
            steps += 1
        else:
            return steps


@pytest.fixture
def in_memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: a disk syncs each of some thousand files."""
    memory = Path("/dev/shm")  # a folder of one's own is made in it
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as folder:
        yield Path(folder)


def test_a_failure_at_any_step_is_undone(in_memory: Path) -> None:
    root = furnished(in_memory)
    before = snapshot(root)
    assert fail_everywhere(root, TREE) > 40
    installed = snapshot(root)
    assert installed["etc/theirs"][2] == b"ours\n"
    assert installed["etc/linked"][2] == "/dev/null"
    other: Tree = {"a/new": File(b"3\n"), "etc/linked": Link("elsewhere"), "c/d/e": File(b"")}
    assert fail_everywhere(root, other) > 20
    assert snapshot(root)["etc/theirs"] == before["etc/theirs"]
    assert "a/b" not in snapshot(root)
    assert fail_everywhere(root, {}) > 10
    assert snapshot(root) == before


def test_a_failure_of_the_final_step_is_undone(tmp_path: Path) -> None:
    root = furnished(tmp_path)
    before = snapshot(root)

    def finish() -> None:
        raise InstallError("no such program")

    with pytest.raises(InstallError, match="no such program"):
        carry_out(plan_installation(root, TREE), finish)
    assert snapshot(root) == before


def test_what_cannot_be_undone_is_not_reported_as_undone(tmp_path: Path) -> None:
    root = furnished(tmp_path)

    def finish() -> None:
        (root / "a/b/mine").touch()  # whose folder cannot go
        raise InstallError("no such program")

    with pytest.raises(NotUndoneError, match=r"^no such program; undoing it failed too \(.*uninstall"):
        carry_out(plan_installation(root, TREE), finish)


def test_installing_twice_is_installing_once(tmp_path: Path) -> None:
    root = furnished(tmp_path)
    carry_out(plan_installation(root, TREE))
    once = {path: (root / path).lstat().st_ino for path in snapshot(root)}
    planned = plan_installation(root, TREE)
    assert not planned.changes
    carry_out(planned)
    assert {path: (root / path).lstat().st_ino for path in snapshot(root)} == once


def killed_after(steps: int, root: Path, tree: Tree) -> bool:
    """Install in a process that is killed after some steps on the file system; return whether it was."""
    child = os.fork()
    if child == 0:
        left = [steps]

        def hook(event: str, _: object) -> None:
            if event in STEPS - {"open"}:
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        carry_out(plan_installation(root, tree))
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or status == 0
    return os.WIFSIGNALED(status)


EVERY = 3
"""Distance of the steps at which an installation is killed; 1 takes three times as long."""
OTHER: Tree = {
    "a/new": File(b"3\n"),
    "etc/linked": Link("elsewhere"),
    "c/d/e": File(b""),
    CONFIG: Block(b"dtoverlay=imx477\n"),
}
"""What `TREE` is replaced with: some of it changes, some goes, some comes."""


@pytest.mark.parametrize(
    ("old", "new"), [({}, TREE), (TREE, OTHER), (OTHER, {})], ids=["first", "next", "no"]
)
def test_a_kill_or_power_cut_leaves_the_old_system_or_the_new_one(
    in_memory: Path, old: Tree, new: Tree
) -> None:
    origin, goal = in_memory / "origin", in_memory / "goal"
    for root, trees in ((furnished(origin), (old,)), (furnished(goal), (old, new))):
        for tree in trees:
            carry_out(plan_installation(root, tree))
    before, after = snapshot(origin), snapshot(goal)
    for steps in itertools.count(step=EVERY):
        root = in_memory / "root"
        shutil.copytree(origin, root, symlinks=True)
        was_killed = killed_after(steps, root, new)
        torn = interrupted(root)
        if torn:
            with pytest.raises(InstallError, match="was interrupted; leuko firmware install, or uninstall"):
                plan_installation(root, new)
            roll_back(root)
        left = {path: was for path, was in snapshot(root).items() if not path.endswith(".partial")}
        assert left == before or (left == after and not torn), f"step {steps}"
        carry_out(plan_installation(root, new))
        assert snapshot(root) == after, f"step {steps}"
        shutil.rmtree(root)
        if not was_killed:
            break
    assert steps > 20


def test_files_of_others_are_edited_only_in_our_lines(tmp_path: Path) -> None:
    root = furnished(tmp_path)
    carry_out(plan_installation(root, TREE))
    config = (root / CONFIG).read_bytes()
    assert config.startswith(b"dtparam=audio=on\r\n[pi4]\nno end\n" + BEGIN)
    assert (root / COMMAND_LINE).read_bytes() == (
        b"console=tty1 root=PARTUUID=1-2 rootwait cgroup_enable=memory\n"
    )
    (root / CONFIG).write_bytes(b"# mine\n" + config + b"after\n")
    carry_out(plan_installation(root, {**TREE, CONFIG: Block(b"dtoverlay=imx477\n")}))
    expected = b"# mine\n" + config.replace(b"[all]\n", b"dtoverlay=imx477\n") + b"after\n"
    assert (root / CONFIG).read_bytes() == expected
    carry_out(plan_installation(root, {}))
    assert (root / CONFIG).read_bytes() == b"# mine\ndtparam=audio=on\r\n[pi4]\nno end\nafter\n"
    assert (root / COMMAND_LINE).read_bytes() == b"console=tty1 root=PARTUUID=1-2 rootwait\n"


words = st.lists(
    st.sampled_from(["a", "cgroup_enable=memory", "root=/dev/x", "cgroup_enable=memory2"]), max_size=4
)


@given(words, st.sampled_from(["", "\n", "\r\n", " \n", "\n\n"]))
def test_a_word_of_the_command_line_comes_and_goes(kernel: list[str], end: str) -> None:
    word = Word(b"cgroup_enable=memory")
    line = (" ".join(kernel) + end).encode()
    made = word.apply(line)
    assert made is not None
    assert made.split().count(word.content) == max(1, kernel.count("cgroup_enable=memory"))
    assert word.apply(made) == made
    assert made.count(b"\n") == line.count(b"\n")
    assert word.revert(made, line) == line


def test_nothing_is_removed_while_the_boot_partition_is_not_mounted(tmp_path: Path) -> None:
    root = furnished(tmp_path)
    carry_out(plan_installation(root, TREE))
    (root / "boot").rename(root / "boot.away")
    with pytest.raises(InstallError, match="is the boot partition mounted"):
        plan_installation(root, {})


def test_hand_edits_are_replaced_only_on_request(tmp_path: Path) -> None:
    root = furnished(tmp_path)
    carry_out(plan_installation(root, TREE))
    (root / "a/new").write_bytes(b"by hand\n")
    assert plan_installation(root, TREE).edited == ("a/new",)
    assert plan_installation(root, {}).edited == ("a/new",)
    (root / "a/new").write_bytes(b"1\n")
    assert plan_installation(root, {}).edited == ()


def test_what_is_in_the_way_is_named(tmp_path: Path) -> None:
    root = furnished(tmp_path / "root")
    (root / "a/new").mkdir(parents=True)
    with pytest.raises(InstallError, match="in the way"):
        plan_installation(root, TREE)
    (root / "a/new").rmdir()
    (root / "a").rmdir()
    (root / "a").symlink_to(tmp_path)
    with pytest.raises(InstallError, match="leads out of"):
        plan_installation(root, TREE)
    (root / "a").unlink()
    (root / CONFIG).write_bytes(END + b"\n")
    with pytest.raises(InstallError, match=r"config\.txt: has 1 of the marks"):
        plan_installation(root, TREE)
    for name in (CONFIG, COMMAND_LINE):
        (root / CONFIG).write_bytes(b"")
        (root / name).unlink()
        with pytest.raises(InstallError, match=f"{name}: is missing; is the boot partition mounted"):
            plan_installation(root, TREE)
    (root / RECORD).parent.mkdir(parents=True)
    (root / RECORD).write_text("{}")
    with pytest.raises(LostRecordError, match="is not a record of this leuko"):
        plan_installation(root, TREE)


def test_a_link_out_of_the_root_is_named_and_not_followed(tmp_path: Path) -> None:
    root, outside = furnished(tmp_path / "root"), tmp_path / "outside"
    outside.mkdir()
    (root / "var").symlink_to(outside)
    with pytest.raises(InstallError, match=re.escape(f"{root}/var: leads out of {root}, to {outside};")):
        plan_installation(root, TREE, also=("var/lib/leuko",))
    (root / "var").unlink()
    (root / "var").symlink_to("var")
    with pytest.raises(OSError, match="symbolic links"):
        look(root, "var/lib")


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\0garbage"])
def test_a_lost_record_is_reconstructed(tmp_path: Path, content: bytes | None) -> None:
    root = furnished(tmp_path)
    before = snapshot(root)
    tree: Tree = {**TREE, PROFILE: File(b"version = 1\n"), "etc/mine": File(b"ours\n")}
    carry_out(plan_installation(root, {path: entry for path, entry in tree.items() if path != "etc/mine"}))
    (root / RECORD).unlink()
    if content is not None:
        (root / RECORD).write_bytes(content)
    (root / "etc/mine").write_bytes(b"the user's\n")
    for wanted in (tree, {}):
        with pytest.raises(LostRecordError, match="install --overwrite"):
            plan_installation(root, wanted)
    with pytest.raises(LostRecordError):
        plan_installation(root, {}, rebuild=True)
    (root / COMMAND_LINE).rename(root / "away")
    with pytest.raises(InstallError, match="is the boot partition mounted"):
        plan_installation(root, tree, rebuild=True)
    (root / "away").rename(root / COMMAND_LINE)
    carry_out(plan_installation(root, tree, rebuild=True))
    assert not plan_installation(root, tree).changes
    carry_out(plan_installation(root, {}))
    left = snapshot(root)
    assert left.pop("etc/mine")[2] == b"the user's\n"
    # without the record nobody knows whose the empty folders are
    assert {path: was for path, was in left.items() if path not in ("a", "a/b")} == before


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    root = furnished(tmp_path)
    before = snapshot(root)
    (root / BACKUP).mkdir(parents=True)
    partials = (f"{CONFIG.replace('config', '.config')}.12.partial", f"{BACKUP}/.x.12.partial", f"{BACKUP}/a")
    for path in partials:
        (root / path).write_bytes(b"half")
    carry_out(plan_installation(root, TREE))
    assert not [path for path in partials if (root / path).exists()]
    carry_out(plan_installation(root, {}))
    assert snapshot(root) == before


def test_a_full_disk_is_survived(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(root)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        # a full disk must be a real one, which only root may mount
        pytest.skip("needs to mount a small file system")
    try:
        before = snapshot(furnished(root))
        with pytest.raises(OSError, match="No space left") as caught:
            carry_out(plan_installation(root, {**TREE, "z": File(bytes(1 << 20))}))
        assert refusal(caught.value) == f"{root}/z: No space left on device; make room on {root}"
        assert snapshot(root) == before
        subprocess.run(["mount", "-o", "remount,ro", str(root)], check=True)
        with pytest.raises(OSError, match="Read-only") as caught:
            carry_out(plan_installation(root, {CONFIG: Block(b"[all]\n")}))
        assert f"remount,rw {root}" in refusal(caught.value)
        assert ".partial" not in refusal(caught.value)
    finally:
        subprocess.run(["umount", str(root)], check=True)


NEEDS_ROOT = "Error: needs root; run it with sudo\n"


def leuko(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["firmware", *map(str, words)])


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """A root that systemd's programs can make users in."""
    if not shutil.which("systemd-sysusers") or not shutil.which("systemd-tmpfiles"):
        # its parsers are the judges; nothing else can stand in for them
        pytest.skip("needs systemd")
    root = furnished(tmp_path / "root")
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nvideo:x:44:\n")
    (root / "device.toml").write_text(profile())
    return root


def test_the_commands(system: Path) -> None:
    path = system / "device.toml"
    before = snapshot(system)
    shown = leuko("diff", path, "--root", system)
    assert shown.exit_code == 1
    assert f"create /{UNIT}\n" in shown.stdout
    assert "+dtoverlay=imx477" in shown.stdout
    dry = leuko("install", path, "--root", system)
    assert dry.exit_code == 0
    would = [line.removeprefix("would ") for line in dry.stdout.splitlines()]
    assert [line for line in shown.stdout.splitlines() if line in would] == would
    assert "nothing was changed" in dry.stderr
    assert snapshot(system) == before
    done = leuko("install", path, "--root", system, "--yes")
    assert done.exit_code == 0, done.stderr
    assert f"created /{UNIT}\n" in done.stdout
    assert "leuko:x:" in (system / "etc/passwd").read_text()
    user = next(row for row in (system / "etc/passwd").read_text().splitlines() if row.startswith("leuko:"))
    assert (system / "var/lib/leuko").stat().st_uid == int(user.split(":")[2])
    once = snapshot(system)
    again = leuko("install", path, "--root", system, "--yes")
    assert (again.exit_code, again.stdout) == (0, "")
    assert snapshot(system) == once
    same = leuko("diff", path, "--root", system)
    assert (same.exit_code, same.stdout) == (0, "")
    path.write_text(changed(path.read_text(), "service.memory_mb", "500"))
    assert "+MemoryMax=500M" in leuko("diff", path, "--root", system).stdout
    (system / UNIT).write_text("by hand\n")
    refused = leuko("install", path, "--root", system, "--yes")
    assert refused.exit_code == 1
    assert f"/{UNIT}" in refused.stderr.splitlines()[-1]
    assert leuko("install", path, "--root", system, "--yes", "--overwrite").exit_code == 0
    assert b"MemoryMax=500M" in (system / UNIT).read_bytes()
    assert leuko("uninstall", "--root", system, "--yes").exit_code == 0
    left = snapshot(system)
    for name, was in before.items():
        assert name in ("etc/passwd", "etc/group", "device.toml") or left[name] == was
    assert not [name for name in left if "leuko" in name and not name.startswith("var")]


def test_users_and_folders_are_undone_too(system: Path) -> None:
    before = snapshot(system)

    def finish() -> None:
        make_users_and_folders(system)
        assert (system / "var/lib/leuko").is_dir()
        raise InstallError("what came after")

    with pytest.raises(InstallError, match="what came after"):
        carry_out(plan_installation(system, rendered(profile()), also=ALSO), finish)
    assert snapshot(system) == before


def test_a_root_may_be_named_through_a_link(system: Path) -> None:
    before = snapshot(system)
    by_way = system / "etc" / ".."
    done = leuko("install", system / "device.toml", "--root", by_way, "--yes")
    assert done.exit_code == 0, done.stderr
    assert leuko("uninstall", "--root", by_way, "--yes").exit_code == 0
    assert snapshot(system).keys() - before.keys() <= {*ALSO, "var", "var/lib"}


def test_what_is_undone_is_reported(system: Path) -> None:
    (system / "var").write_text("a file where the service's folder goes")
    before = snapshot(system)
    done = leuko("install", system / "device.toml", "--root", system, "--yes")
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr.endswith("; everything was undone\n")
    assert snapshot(system) == before


def test_a_wrong_profile_is_not_installed(system: Path) -> None:
    path = system / "device.toml"
    path.write_text(changed(path.read_text(), "console.port", "80"))
    before = snapshot(system)
    done = leuko("install", path, "--root", system, "--yes")
    assert done.exit_code == 1
    assert "console.port" in done.stderr
    assert snapshot(system) == before


def test_only_root_may_install(system: Path) -> None:
    assert leuko("install", system / "device.toml", "--root", system).exit_code == 0
    temporary = Path(tempfile.gettempdir())
    for folder in (system, *itertools.takewhile(lambda parent: parent != temporary, system.parents)):
        folder.chmod(0o755)
    before = snapshot(system)
    words = ["firmware", "install", str(system / "device.toml"), "--root", str(system), "--yes"]
    child = os.fork()
    if child == 0:
        # what the command imports is there already: this Python may be closed to others
        os.setgid(65534)
        os.setuid(65534)
        done = CliRunner().invoke(main, words)
        os._exit(0 if (done.exit_code, done.stderr) == (1, NEEDS_ROOT) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert snapshot(system) == before


def test_backups_are_what_was_there(tmp_path: Path) -> None:
    root = furnished(tmp_path)
    was = {path: look(root, path) for path in TREE}
    carry_out(plan_installation(root, TREE))
    assert {path: look(root, f"{BACKUP}/{path}") for path in TREE} == was


@pytest.mark.parametrize(
    "name",
    ["/etc/x", "../outside", "etc/../../outside", "a//b", "", ".", "..", "etc/", "a\0b", "\ud800", 7, None],
)
def test_a_record_that_names_what_is_not_in_the_root_is_refused(tmp_path: Path, name: object) -> None:
    root = furnished(tmp_path / "root")
    carry_out(plan_installation(root, TREE))
    raw = json.loads((root / RECORD).read_text())
    for changed_raw in (
        raw | {"folders": [*raw["folders"], name]},
        raw | {"files": raw["files"] | {str(name): {"digests": []}}} if isinstance(name, str) else None,
    ):
        if changed_raw is not None:
            (root / RECORD).write_text(json.dumps(changed_raw))
            with pytest.raises(LostRecordError):
                plan_installation(root, {})


def test_no_folder_outside_the_root_is_removed(tmp_path: Path) -> None:
    root, outside = furnished(tmp_path / "root"), tmp_path / "outside"
    before = snapshot(root)
    carry_out(plan_installation(root, TREE))
    (outside / "leuko/empty").mkdir(parents=True)
    (outside / "firmware").mkdir()
    raw = json.loads((root / RECORD).read_text())
    raw["folders"] += ["out", "out/leuko", "out/leuko/empty"]
    (root / RECORD).write_text(json.dumps(raw))
    (root / "out").symlink_to(outside)
    (root / "etc/leuko/more").symlink_to(outside)
    carry_out(plan_installation(root, {}))
    assert sorted(path.name for path in outside.rglob("*")) == ["empty", "firmware", "leuko"]
    left = snapshot(root)
    assert {path: left[path] for path in before} == before
    assert (root / "out").is_symlink()


@pytest.mark.parametrize("place", ["etc/leuko", "a"])
def test_nothing_is_removed_from_what_is_mounted_into_the_root(tmp_path: Path, place: str) -> None:
    root, outside = furnished(tmp_path / "root"), tmp_path / "outside"
    carry_out(plan_installation(root, TREE))
    shutil.copytree(root / place, outside, symlinks=True)
    mount = ["mount", "--bind", str(outside), str(root / place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        # only the kernel can mount, and only for root outside a container
        pytest.skip("needs to mount a folder")  # which a container may not: the kernel's mounts are the case
    try:
        was = snapshot(outside)
        with pytest.raises(InstallError, match=f"{place}: is mounted into .* from elsewhere; unmount it"):
            plan_installation(root, {})
        assert snapshot(outside) == was
    finally:
        subprocess.run(["umount", str(root / place)], check=True)
    carry_out(plan_installation(root, {}))


def test_a_file_of_endless_size_is_not_read(tmp_path: Path) -> None:
    root = furnished(tmp_path / "root")
    carry_out(plan_installation(root, TREE))
    for path, most in ((RECORD, "1"), (JOURNAL, "384")):
        with (root / path).open("wb") as file:
            file.truncate(3 << 30)
        with pytest.raises(InstallError, match=rf"cannot be read \(larger than {most} MiB\)"):
            plan_installation(root, {})
        (root / path).unlink()


def test_a_damaged_journal_undoes_nothing(tmp_path: Path) -> None:
    root = furnished(tmp_path / "root")
    before = snapshot(root)
    state = {"file": "AA==", "mode": 0o644, "uid": 0, "gid": 0}
    whole_journal = {"version": 1, "states": {"etc/theirs": state}, "folders": ["etc"]}
    for wrong in (
        b"",
        b"{}",
        b"[]",
        json.dumps(whole_journal | {"version": 2}).encode(),
        json.dumps(whole_journal | {"folders": ["../x"]}).encode(),
        json.dumps(whole_journal | {"states": {"/etc/theirs": state}}).encode(),
        json.dumps(whole_journal | {"states": {"etc/theirs": {**state, "file": "?"}}}).encode(),
        json.dumps(whole_journal | {"states": {"etc/theirs": {**state, "mode": float("inf")}}}).encode(),
        json.dumps(whole_journal | {"states": {"etc/theirs": {**state, "gid": 10**20}}}).encode(),
        json.dumps(whole_journal | {"states": {"etc/theirs": {**state, "uid": -1}}}).encode(),
        json.dumps(whole_journal | {"states": {"etc/a\0b": state}}).encode(),
        b"[" * 200_000,
    ):
        (root / JOURNAL).write_bytes(wrong)
        with pytest.raises(InstallError, match="is not a journal of this leuko; remove it"):
            roll_back(root)
        (root / JOURNAL).unlink()
        assert snapshot(root) == before


def test_only_one_installation_works_on_a_root(tmp_path: Path) -> None:
    with (
        alone(tmp_path),
        pytest.raises(InstallError, match="another leuko firmware is at work on it"),
        alone(tmp_path),
    ):
        pass


KILLED = """
import os, signal, sys
from edge.cli import main
from tests.firmware_config import test_install as t

left = [int(sys.argv[3])]

def hook(event, arguments):
    if event in t.STEPS:
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(hook)
main(["firmware", "install", sys.argv[1], "--root", sys.argv[2], "--yes"])
"""


def test_a_killed_command_is_undone_by_the_next(system: Path) -> None:
    path = system / "device.toml"
    before = snapshot(system)
    words = [sys.executable, "-c", KILLED, str(path), str(system), "100"]
    assert subprocess.run(words, check=False, cwd=Path(__file__).parents[2]).returncode == -9
    assert interrupted(system)
    for refused in (leuko("diff", path, "--root", system), leuko("uninstall", "--root", system)):
        assert refused.exit_code == 1
        assert "with --yes first undoes it" in refused.stderr
    done = leuko("uninstall", "--root", system, "--yes")
    assert done.exit_code == 0, done.stderr
    assert done.stderr.startswith("an interrupted installation was undone first\n")
    assert snapshot(system) == before


def patched(now: list[str], diff: list[str]) -> list[str]:
    """Return a text after a unified diff, whose hunks are where they say."""
    then: list[str] = []
    at = 0
    for line in diff[2:]:
        if place := re.match(r"@@ -(\d+)(,0)?", line):
            begin = int(place[1]) - (0 if place[2] else 1)
            then, at = then + now[at:begin], begin
        elif line[0] != "+":
            assert now[at] == line[1:]
            then, at = then + now[at : at + (line[0] == " ")], at + 1
        else:
            then.append(line[1:])
    return then + now[at:]


@given(st.lists(st.sampled_from("ab"), max_size=12), st.lists(st.sampled_from("ac"), max_size=3), st.data())
def test_a_diff_leads_from_one_text_to_the_other(now: list[str], new: list[str], data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, len(now)))
    then = now[:begin] + new + now[data.draw(st.integers(begin, len(now))) :]
    assert patched(now, list(plan._unified(now, then, "/x"))) == then


def test_of_a_long_text_only_what_differs_is_compared() -> None:
    """A text of few different lines takes difflib minutes."""
    now = ["dtparam=a", "dtparam=b"] * 50_000
    lines = list(plan._unified(now, [*now[:70_000], "new", *now[70_000:]], "/x"))
    assert lines[2:] == ["@@ -69998,6 +69998,7 @@", *_around(now, 70_000)]
    (line,) = plan._unified(now, now[::-1], "/x")
    assert line == "  100,000 lines become 100,000: too many differ to show them"


def _around(now: list[str], k: int) -> list[str]:
    before, behind = ([f" {line}" for line in part] for part in (now[k - 3 : k], now[k : k + 3]))
    return [*before, "+new", *behind]
