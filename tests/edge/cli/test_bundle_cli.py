"""`leuko bundle`: the facts of a bundle as a table, as JSON and as a page."""

from __future__ import annotations

import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge.cli import main
from edge.model.bundle import load_bundle, shipped_bundles
from edge.model.manifest import RepresentativeSet
from edge.report.model_card import model_card
from tests.edge.model.test_bundle import PARITY, REJECTION, manifest, written

HOSTILE = '</dd><script>alert("1")</script>&amp;[red]'
MEASURED = {
    "representative": RepresentativeSet(120, "ab" * 32),
    "parity": PARITY,
    "rejection": REJECTION,
}


def leuko(*words: str | Path, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["bundle", *map(str, words)])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def path(tmp_path: Path) -> Path:
    written(tmp_path / "tiny.tflite", manifest(**MEASURED, notice=HOSTILE, intended_use=HOSTILE))
    return tmp_path / "tiny.tflite"


def test_show_prints_every_measurement(path: Path) -> None:
    out = leuko("show", path).stdout
    for fact in (
        "tiny 1",
        "120 crops",
        "float 95.10 %, int8 95.00 %",
        "-0.10 points, 95 % interval -0.40 to +0.20",
        "99.50 %",
        "97.0 %",
        "at least 91.3 %, with 95 % confidence",
        "up to 0.40 points",
        "AUROC against bead",
        "87.5 % of 8 cells (47.3–99.7 %)",
        "not signed",
        "[red]",
        load_bundle(path).sha256,
    ):
        assert fact in out
    assert "not recorded" not in out
    assert re.search(r"granulocyte +3 +1", out), "the confusion matrix"


def test_show_json_is_the_manifest(path: Path) -> None:
    shown = json.loads(leuko("show", path, "--json").stdout)
    bundle = load_bundle(path)
    assert shown["manifest"] == json.loads(json.dumps(dataclasses.asdict(bundle.manifest)))
    assert shown["sha256"] == shown["unsigned_sha256"] == bundle.sha256
    assert shown["bytes"] == path.stat().st_size
    assert shown["golden_crops"] == 3
    assert shown["public_key"] is shown["signer"] is shown["refused"] is None


def test_missing_measurements_are_named(tmp_path: Path) -> None:
    written(tmp_path / "plain.tflite", manifest(confusion=((0, 0), (0, 0))))
    assert leuko("show", tmp_path / "plain.tflite").stdout.count("not recorded") == 4


def test_list_names_unreadable_bundles(path: Path) -> None:
    (path.parent / "b\x1b[31m.tflite").write_bytes(b"\0\0\0\0TFL3")
    out = leuko("list", path.parent).stdout
    assert "\x1b" not in out
    for name in (*shipped_bundles(), "tiny.tflite"):
        assert name in out
    *known, tiny = [
        one for one in json.loads(leuko("list", path.parent, "--json").stdout) if "manifest" in one
    ]
    assert [one["bundle"] for one in known] == shipped_bundles()
    assert tiny["bundle"] == str(path)
    (damaged,) = [one for one in json.loads(leuko("list", path.parent, "--json").stdout) if one["refused"]]
    assert "no manifest behind the model" in damaged["refused"]
    assert len(json.loads(leuko("list", "--json").stdout)) == len(shipped_bundles())


class Page(HTMLParser):
    """Tags, and attributes that would fetch something."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_card_is_one_self_contained_page(path: Path) -> None:
    out = path.with_name("card.html")
    leuko("card", path, "--out", out)
    text = out.read_text()
    page = Page()
    page.feed(text)
    assert "script" not in page.tags
    assert all(address.startswith("data:image/jpeg") for address in page.fetched)
    assert len(page.fetched) == 3, "the golden crops"
    assert "&lt;script&gt;" in text
    for shown in ("95 % interval -0.40 to +0.20", "AUROC against bead", "leuko verify tiny.tflite", "87.5 %"):
        assert shown in text
    assert f"sha256sum {path.name}" in text
    again = model_card(load_bundle(path), path.stat().st_size, path.name)
    assert again == text, "the same bundle makes the same page"


def test_no_card_is_written_for_another_file(tmp_path: Path) -> None:
    (tmp_path / "b.tflite").write_bytes(b"hello, world")
    stderr = leuko("card", tmp_path / "b.tflite", "--out", tmp_path / "card.html", code=1).stderr
    assert stderr.count("\n") == 1
    assert not (tmp_path / "card.html").exists()


def test_a_card_does_not_replace_a_bundle(path: Path) -> None:
    before = path.read_bytes()
    assert "must end in .html" in leuko("card", path, "--out", path, code=2).stderr
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", shipped_bundles())
def test_shipped_bundles_have_cards(name: str, tmp_path: Path) -> None:
    leuko("card", name, "--out", tmp_path / "card.html")
    page = (tmp_path / "card.html").read_text()
    assert load_bundle(name).manifest.training.sha256 in page
    assert f"leuko verify {name}</pre>" in page
