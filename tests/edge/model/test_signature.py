"""Signed bundles: the signer is shown, changes are refused, and a device can require signatures."""

from __future__ import annotations

import dataclasses
import json
import os
import pwd
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from convert import signing
from edge.base import home as state_folder
from edge.cli import main
from edge.model import device_settings as settings
from edge.model import signature
from edge.model.bundle import BundleError, load_bundle, write_bundle
from edge.model.device_settings import DeviceSettings, DeviceSettingsError, read_device_settings
from edge.model.signature import Signature, SignatureError
from tests.edge.model.test_bundle import written

LAB, OTHER_KEY = "ab" * 32, "cd" * 32


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LEUKO_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LEUKO_PASSPHRASE", raising=False)
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    """A bundle signed with lab.pem, beside unsigned.tflite."""
    written(tmp_path / "unsigned.tflite")
    leuko("bundle", "keygen", tmp_path / "lab.pem")
    unsigned, key, out = (tmp_path / name for name in ("unsigned.tflite", "lab.pem", "s.tflite"))
    leuko("bundle", "sign", unsigned, "--key", key, "--out", out)
    return out


def leuko(*words: str | Path, code: int = 0, typed: str = "") -> Result:
    result = CliRunner().invoke(main, [*map(str, words)], input=typed)
    assert result.exit_code == code, result.output
    return result


def trust(home: Path, bundle: Path, *, require: bool) -> None:
    key = load_bundle(bundle, DeviceSettings()).signature
    assert key is not None
    (home / "device.toml").write_text(
        f'require_signed = {str(require).lower()}\n[trusted]\n"the lab" = "{key.public_key}"\n'
    )


def test_a_trusted_signer_is_named(signed: Path, home: Path) -> None:
    assert load_bundle(signed).signed.startswith("signed by a key not trusted here, ")
    trust(home, signed, require=False)
    assert load_bundle(signed).signed == "signed by the lab"
    assert "signed by the lab" in leuko("bundle", "show", signed).stdout
    assert load_bundle(signed.with_name("unsigned.tflite")).signed == "not signed"


def test_a_device_can_require_signatures(signed: Path, home: Path) -> None:
    unsigned = signed.with_name("unsigned.tflite")
    (home / "device.toml").write_text("require_signed = true\n")
    with pytest.raises(BundleError, match="a key not trusted here"):
        load_bundle(signed)
    trust(home, signed, require=True)
    assert load_bundle(signed).signer == "the lab"
    with pytest.raises(BundleError, match="not signed; this device"):
        load_bundle(unsigned)
    refused = leuko("verify", unsigned, code=1).stderr
    assert refused.count("\n") == 1
    # looking at it, and signing it, is still possible
    shown = json.loads(leuko("bundle", "show", unsigned, "--json").stdout)
    assert "this device" in shown["refused"]
    assert "refuses it" in leuko("bundle", "show", unsigned).stdout
    assert "refused" in leuko("bundle", "list", unsigned.parent, "--json").stdout


def test_signing_changes_nothing_else(signed: Path) -> None:
    unsigned, now = load_bundle(signed.with_name("unsigned.tflite")), load_bundle(signed)
    assert now.unsigned_sha256 == unsigned.sha256 == unsigned.unsigned_sha256
    assert now.sha256 != unsigned.sha256
    assert now.manifest == unsigned.manifest
    golden = now.golden_crops, now.golden_outputs
    stripped = write_bundle(signed.with_name("again.tflite"), now.manifest, now.flatbuffer, *golden)
    assert stripped.sha256 == unsigned.sha256


def test_a_consistent_change_breaks_the_signature(signed: Path) -> None:
    honest = load_bundle(signed)
    easier = dataclasses.replace(honest.manifest, reject_below=0.1)
    outputs = honest.golden_outputs.copy()
    outputs[0, 0] += 1
    for manifest, answers in ((easier, honest.golden_outputs), (honest.manifest, outputs)):
        parts = manifest, honest.flatbuffer, honest.golden_crops, answers
        write_bundle(signed.with_name("unsigned2.tflite"), *parts)  # unsigned, it is simply another bundle
        with pytest.raises(BundleError, match="altered after it was signed"):
            write_bundle(signed.with_name("forged.tflite"), *parts, honest.signature)
    assert not signed.with_name("forged.tflite").exists()


def test_the_key_in_a_signature_cannot_be_exchanged(signed: Path, home: Path, tmp_path: Path) -> None:
    trust(home, signed, require=True)
    ours = load_bundle(signed)
    leuko("bundle", "keygen", tmp_path / "mallory.pem")
    theirs = signing.sign(tmp_path / "mallory.pem", ours.unsigned_sha256)
    parts = ours.manifest, ours.flatbuffer, ours.golden_crops, ours.golden_outputs
    write_bundle(tmp_path / "theirs.tflite", *parts, theirs)
    with pytest.raises(BundleError, match="a key not trusted here"):
        load_bundle(tmp_path / "theirs.tflite")
    assert ours.signature is not None
    with pytest.raises(BundleError, match="altered after"):
        write_bundle(
            tmp_path / "mixed.tflite", *parts, Signature(ours.signature.public_key, theirs.signature)
        )


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl")
def test_openssl_reads_the_same_signature(signed: Path, tmp_path: Path) -> None:
    bundle = load_bundle(signed)
    assert bundle.signature is not None
    (tmp_path / "line").write_text(f"leuko-edge bundle {bundle.unsigned_sha256}\n")
    (tmp_path / "sig").write_bytes(bytes.fromhex(bundle.signature.signature))
    words = ["openssl", "pkeyutl", "-verify", "-rawin", "-inkey", "lab.pem", "-in", "line", "-sigfile", "sig"]
    done = subprocess.run(words, check=True, capture_output=True, text=True, cwd=tmp_path)
    assert "Verified" in done.stdout


def test_only_the_owner_may_read_a_private_key(tmp_path: Path) -> None:
    key = tmp_path / "lab.pem"
    printed = leuko("bundle", "keygen", key).stdout
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = key.read_bytes()
    again = leuko("bundle", "keygen", key, code=1).stderr
    assert "exists, and a key is never replaced; give another name" in again
    assert key.read_bytes() == before
    assert "PRIVATE" not in printed


def test_a_passphrase_protects_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "b.tflite")
    key, words = (
        tmp_path / "lab.pem",
        ("bundle", "sign", tmp_path / "b.tflite", "--force", "--out", tmp_path / "s.tflite"),
    )
    leuko("bundle", "keygen", key, "--passphrase", typed="secret\nsecret\n")
    assert b"ENCRYPTED" in key.read_bytes()
    leuko(*words, "--key", key, typed="secret\n")
    assert "passphrase" in leuko(*words, "--key", key, typed="wrong\n", code=1).stderr
    monkeypatch.setenv("LEUKO_PASSPHRASE", "secret")
    leuko(*words, "--key", key)
    with pytest.raises(SignatureError, match="passphrase"):
        signing.sign(key, "00" * 32)


def test_files_that_are_not_keys_are_refused(tmp_path: Path) -> None:
    written(tmp_path / "b.tflite")
    (tmp_path / "text").write_text("hello")
    words = ("bundle", "sign", tmp_path / "b.tflite", "--out", tmp_path / "s.tflite", "--key")
    assert "text" in leuko(*words, tmp_path / "text", code=1).stderr
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    other = generate_private_key(SECP256R1())
    (tmp_path / "ec.pem").write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    assert "not an Ed25519 key" in leuko(*words, tmp_path / "ec.pem", code=1).stderr
    assert not (tmp_path / "s.tflite").exists()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("require_signed = 1", "true or false"),
        (
            "require_singed = true",
            "require_singed is not a known key; expected one of bundle, require_signed, trusted",
        ),
        ("require_signed =", "not TOML"),
        (f'[trusted]\nlab = "{LAB[:-2]}"', "64 hexadecimal"),
        (f'trusted = ["{LAB}"]', "64 hexadecimal"),
        ("[trusted]\nlab = 7", "64 hexadecimal"),
    ],
)
def test_invalid_settings_are_refused(home: Path, text: str, reason: str) -> None:
    (home / "device.toml").write_text(text)
    with pytest.raises(DeviceSettingsError, match=reason):
        read_device_settings()
    with pytest.raises(BundleError, match=reason):
        load_bundle("phantom3")
    (home / "device.toml").write_bytes(b"\xff")
    with pytest.raises(DeviceSettingsError, match="not TOML"):
        read_device_settings()


def test_the_devices_settings_come_first(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_device_settings() == DeviceSettings()
    (home / "device.toml").write_text(f'require_signed = false\n[trusted]\nme = "{OTHER_KEY}"\n')
    assert read_device_settings() == DeviceSettings(trusted={"me": OTHER_KEY})
    monkeypatch.setattr(settings, "SYSTEM", tmp_path / "etc" / "device.toml")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "device.toml").write_text(f'require_signed = true\n[trusted]\nlab = "{LAB}"\n')
    assert read_device_settings() == DeviceSettings(require_signed=True, trusted={"lab": LAB})


def test_state_is_in_the_users_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LEUKO_HOME")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert state_folder() == tmp_path / "leuko"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state_folder() == tmp_path / ".local" / "state" / "leuko"


def test_state_is_not_in_the_working_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {"LEUKO_HOME": "", "XDG_STATE_HOME": "state", "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    assert state_folder() == tmp_path / ".local" / "state" / "leuko"
    own = Path(pwd.getpwuid(os.getuid()).pw_dir)
    for relative in ("", "somewhere", "~"):
        monkeypatch.setenv("HOME", relative)
        assert state_folder() == own / ".local" / "state" / "leuko"
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 5)  # nobody's
    for words in (("sessions", "list"), ("doctor",), ("bundle", "show", "phantom3")):
        result = leuko(*words, code=1)
        assert result.stderr.endswith("no home folder: set LEUKO_HOME to the folder of leuko's state\n")
        assert result.stderr.count("\n") == 1


def test_a_malformed_signature_is_refused() -> None:
    good = Signature("00" * 32, "00" * 64)
    assert signature.decode(signature.encode(good)) == good
    for bad in (b"", b"[]", b"null", b"{}", signature.encode(Signature("0", "0")), b'{"public_key": 1}'):
        with pytest.raises(SignatureError, match="malformed"):
            signature.decode(bad)
    with pytest.raises(SignatureError, match="does not fit"):
        signature.check(Signature(LAB, "00" * 64), "00" * 32)


def test_an_unsigned_bundle_costs_no_cryptography(signed: Path) -> None:
    program = (
        "import sys; from edge.model import load_bundle; load_bundle(sys.argv[1]); "
        "print('cryptography' in sys.modules)"
    )
    for name, needed in (("unsigned.tflite", "False"), ("s.tflite", "True")):
        words = [sys.executable, "-c", program, str(signed.with_name(name))]
        assert subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip() == needed
    assert np.array_equal(load_bundle(signed).golden_outputs[0], [1, 2])


def test_signing_replaces_neither_the_key_nor_other_files(tmp_path: Path) -> None:
    written(tmp_path / "b.tflite")
    os.mkfifo(tmp_path / "pipe.tflite")
    for name in ("lab.pem", "lab.tflite"):
        leuko("bundle", "keygen", tmp_path / name)
        before = (tmp_path / name).read_bytes()
        words = ("bundle", "sign", tmp_path / "b.tflite", "--key", tmp_path / name, "--out")
        assert "Error: " in leuko(*words, tmp_path / name, code=2).stderr
        assert (tmp_path / name).read_bytes() == before
        assert "not a regular file" in leuko(*words, tmp_path / "pipe.tflite", code=2).stderr
    assert (tmp_path / "pipe.tflite").is_fifo()


def test_a_key_that_others_may_read_gives_a_warning(tmp_path: Path) -> None:
    written(tmp_path / "b.tflite")
    key = tmp_path / "lab.pem"
    leuko("bundle", "keygen", key)
    words = ("bundle", "sign", tmp_path / "b.tflite", "--key", key, "--force", "--out", tmp_path / "s.tflite")
    assert "Warning" not in leuko(*words).stderr
    key.chmod(0o666)
    assert f"Warning: others can read {key}: run chmod 600 {key}\n" in leuko(*words).stderr


def test_a_passphrase_needs_a_terminal_or_a_variable(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "edge.cli", "bundle", "keygen", str(tmp_path / "lab.pem"), "--passphrase"]
    # in a session of its own there is no terminal
    done = subprocess.run(
        words, input="", capture_output=True, text=True, check=False, start_new_session=True
    )
    assert done.returncode == 1
    assert done.stderr == "Error: no terminal to ask for the passphrase: set LEUKO_PASSPHRASE\n"
    assert not (tmp_path / "lab.pem").exists()


def test_settings_that_are_not_a_file_are_refused(home: Path) -> None:
    os.mkfifo(home / "device.toml")
    with pytest.raises(DeviceSettingsError, match=r"device.toml: cannot be read \(not a regular file\)"):
        read_device_settings()


WHOLE = f'bundle = "phantom3"\nrequire_signed = true\n[trusted]\nlab = "{LAB}"\n'


def test_settings_that_were_cut_short_open_no_device(home: Path) -> None:
    for length in range(len(WHOLE)):
        (home / "device.toml").write_text(WHOLE[:length])
        try:
            opened = not read_device_settings().require_signed
        except DeviceSettingsError:
            opened = False
        assert not opened, WHOLE[:length]
    (home / "device.toml").write_text('bundle = "phantom3"\n')
    with pytest.raises(BundleError, match=r"device.toml: does not state require_signed, .* cut short: write"):
        load_bundle("phantom3")


def test_settings_that_lead_nowhere_open_no_device(home: Path, tmp_path: Path) -> None:
    path = home / "device.toml"
    for target in ("absent", "device.toml", "/dev/zero"):
        path.symlink_to(target)
        with pytest.raises(DeviceSettingsError, match=r"device.toml: cannot be read"):
            read_device_settings()
        path.unlink()
    path.write_bytes(b"#" * (1 << 20))
    with pytest.raises(DeviceSettingsError, match=r"cannot be read \(larger than 64 KiB\)"):
        read_device_settings()


@pytest.mark.parametrize("link", ["etc", "etc/leuko", "etc/leuko/device.toml"])
def test_system_settings_that_lead_nowhere_do_not_give_way_to_the_users(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, link: str
) -> None:
    (home / "device.toml").write_text("require_signed = false\n")
    monkeypatch.setattr(settings, "SYSTEM", tmp_path / "etc" / "leuko" / "device.toml")
    (tmp_path / link).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / link).symlink_to("absent")
    refused = leuko("verify", "phantom3", code=1).stderr
    assert refused == f"Error: {settings.SYSTEM}: cannot be read (No such file or directory)\n"


SMALL_ORDER = (
    *("00" * 32, "00" * 31 + "80", "01" + "00" * 31, "01" + "00" * 30 + "80"),
    *("ec" + "ff" * 30 + "7f", "ec" + "ff" * 31),
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
)
NOT_CANONICAL = ("ed" + "ff" * 30 + "7f", "ee" + "ff" * 30 + "7f", "ee" + "ff" * 31, "ff" * 32)


def test_a_key_for_which_anybody_can_sign_is_refused(home: Path) -> None:
    # for this key and statement the identity and zero are a signature, made without a private key
    universal = Signature("01" + "00" * 31, "01" + "00" * 63)
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    Ed25519PublicKey.from_public_bytes(bytes.fromhex(universal.public_key)).verify(
        bytes.fromhex(universal.signature), signature.signed_statement("00" * 32)
    )
    with pytest.raises(SignatureError, match="key is an Ed25519 key of small order"):
        signature.check(universal, "00" * 32)
    for keys, reason in ((SMALL_ORDER, "of small order"), (NOT_CANONICAL, "not in the canonical form")):
        for key in keys:
            assert reason in signature.weakness(key)
            (home / "device.toml").write_text(f'require_signed = true\n[trusted]\nlab = "{key}"\n')
            with pytest.raises(DeviceSettingsError, match=rf"device.toml: trusted.lab is .*{reason}.*remove"):
                read_device_settings()
    assert signature.weakness(LAB) == ""


def test_settings_with_a_byte_order_mark_are_read(home: Path) -> None:
    (home / "device.toml").write_bytes(b"\xef\xbb\xbfrequire_signed = true\n")
    assert read_device_settings().require_signed
