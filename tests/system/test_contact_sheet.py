"""The contact sheet in a real Chromium, from a file: keys, pictures, what it keeps, and the CSV it saves."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge.simulate.scene import Scene
from edge.simulate.write import simulate
from train.label.sheet import contact_sheet
from train.label.write import MEASURES
from train.table import SuggestedLabel

playwright_api = pytest.importorskip("playwright.sync_api", reason="needs the dev extra")
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, expect, sync_playwright  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A labelled field, in a folder whose name has what addresses must escape."""
    folder = tmp_path_factory.mktemp("sheet")
    scene = Scene(width_px=900, height_px=700, leukocytes=10, erythrocytes=2, debris=0)
    list(simulate(folder, frames=1, seed=5, scene=scene, fluorescence=True))
    for path in folder.glob("f*/frame_0001.png"):
        path.rename(path.with_name("50% #1, a&b.png"))
    leuko("label", folder / "frames", folder / "fluorescence", "--out", folder / "to label #1")
    return folder / "to label #1"


@pytest.fixture
def page(browser: Browser, labelled: Path) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1300, "height": 900}, accept_downloads=True)
    yield watched(context, labelled)
    context.close()


def watched(context: BrowserContext, labelled: Path) -> Page:
    """Open the sheet; anything that it asks of a network, and any error in it, fails the test."""
    page = context.new_page()
    trouble: list[str] = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
    page.on("request", lambda r: None if r.url.startswith(("file:", "blob:")) else trouble.append(r.url))
    page.goto((labelled / "contact.html").as_uri())
    page.locator(".tile").first.wait_for()
    assert trouble == []
    return page


def leuko(*words: str | Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "edge.cli", *words],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def save(page: Page, target: Path) -> list[dict[str, str]]:
    with page.expect_download() as download:
        page.keyboard.press("s")
    assert download.value.suggested_filename == "labels.csv"
    download.value.save_as(target)
    return rows_of(target)


def chosen(page: Page) -> str:
    """Path of the crop that the keys act on."""
    source = page.locator("#bright").get_attribute("src")
    assert source is not None
    return source


def test_keys_label_cells_and_the_saved_file_makes_class_folders(
    page: Page, labelled: Path, tmp_path: Path
) -> None:
    before = (labelled / "labels.csv").read_bytes()
    rows = rows_of(labelled / "labels.csv")
    count = len(rows)
    expect(page.locator("#count")).to_have_text(f"0 of {count} confirmed")
    expect(page.locator(".tile")).to_have_count(count)

    page.locator("#kinds button[data-kind=granulocyte]").click()
    expected = [row for row in rows if row["suggestion"] == "granulocyte"]
    expect(page.locator(".tile")).to_have_count(len(expected))
    page.keyboard.press("Enter")  # as suggested
    page.keyboard.press("3")  # a monocyte
    page.keyboard.press("u")
    page.keyboard.press("x")
    page.keyboard.press("Space")
    expect(page.locator("#count")).to_have_text(f"5 of {count} confirmed, not saved")
    page.keyboard.press("z")
    expect(page.locator("#count")).to_have_text(f"4 of {count} confirmed, not saved")

    saved = save(page, tmp_path / "labels.csv")
    expect(page.locator("#count")).to_have_text(f"4 of {count} confirmed, saved")
    labels = {row["path"]: row["label"] for row in saved}
    first = [labels[row["path"]] for row in expected[:5]]
    assert first == ["granulocyte", "monocyte", "unsure", "exclude", ""]
    # all else is as it was, byte for byte
    restored = (tmp_path / "labels.csv").read_text(encoding="utf-8")
    for row in expected[:4]:
        path = f'"{row["path"]}"'
        restored = restored.replace(f"{path},{labels[row['path']]},", f"{path},,")
    assert restored.encode() == before

    answer = leuko(
        "label", "--apply", tmp_path / "labels.csv", "--data", labelled, "--out", tmp_path / "classes"
    )
    assert answer == "granulocyte: 1\nmonocyte: 1\n"
    assert sorted(p.name for p in (tmp_path / "classes").iterdir()) == [
        "cells.csv",
        "granulocyte",
        "monocyte",
    ]
    assert (tmp_path / "classes" / "granulocyte" / Path(expected[0]["path"]).name).read_bytes() == (
        labelled / expected[0]["path"]
    ).read_bytes()


def test_arrows_move_over_the_grid(page: Page) -> None:
    page.locator("#states button").last.click()
    columns = page.evaluate("columns()")
    order = page.evaluate("shown.map((k) => address(cells[k].path))")
    assert columns > 2
    assert chosen(page) == order[0]
    for key, place in (
        ("ArrowRight", 1),
        ("ArrowDown", 1 + columns),
        ("ArrowLeft", columns),
        ("ArrowUp", 0),
        ("ArrowUp", 0),
        ("End", len(order) - 1),
        ("Home", 0),
    ):
        page.keyboard.press(key)
        assert chosen(page) == order[place], key
    expect(page.locator(".tile[aria-selected=true]")).to_have_count(1)


def test_pictures_load_and_unsure_comes_first(page: Page) -> None:
    page.wait_for_function("[...document.images].slice(0, 6).every((image) => image.complete)")
    assert page.evaluate("[...document.images].slice(0, 6).every((image) => image.naturalWidth === 200)")
    kinds = page.evaluate("shown.map((k) => kinds.indexOf(cells[k].suggested))")
    assert kinds == sorted(kinds)


def test_a_closed_tab_loses_nothing_and_warns(page: Page, labelled: Path, tmp_path: Path) -> None:
    page.keyboard.press("1")
    page.keyboard.press("2")
    asked: list[str] = []

    def accept(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    page.on("dialog", accept)
    with page.expect_event("close"):
        page.close(run_before_unload=True)
    again = watched(page.context, labelled)
    assert asked == ["beforeunload"]
    expect(again.locator("#count")).to_have_text(re.compile("^2 of .* confirmed, not saved"))
    expect(again.locator("#notice")).to_contain_text("Restored from your last visit: 2 labels")
    assert sum(row["label"] != "" for row in save(again, tmp_path / "labels.csv")) == 2
    # saved: nothing to warn of
    with again.expect_event("close"):
        again.close(run_before_unload=True)
    assert asked == ["beforeunload"]


def test_all_that_is_shown_is_confirmed_at_once_and_taken_back(page: Page) -> None:
    page.locator("#kinds button[data-kind=granulocyte]").click()
    shown = page.evaluate("shown.length")
    asked = []

    def accept(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.accept()

    page.on("dialog", accept)
    page.keyboard.press("Shift+Enter")
    expect(page.locator("#count")).to_have_text(re.compile(f"^{shown} of "))
    assert asked == [f"Confirm {shown} shown cells as suggested (granulocyte)?"]
    page.keyboard.press("z")
    expect(page.locator("#count")).to_have_text(re.compile("^0 of "))


def test_a_saved_file_is_taken_up_again(page: Page, browser: Browser, labelled: Path, tmp_path: Path) -> None:
    for key in ("1", "x", "5"):
        page.keyboard.press(key)
    saved = save(page, tmp_path / "labels.csv")
    other = browser.new_context()
    fresh = watched(other, labelled)
    expect(fresh.locator("#count")).to_have_text(re.compile("^0 of "))
    fresh.locator("#file").set_input_files(tmp_path / "labels.csv")
    expect(fresh.locator("#count")).to_have_text(re.compile("^3 of "))
    assert save(fresh, tmp_path / "again.csv") == saved
    (tmp_path / "one.csv").write_text(f'path,label\n"{saved[0]["path"]}",monocyte\n')
    fresh.locator("#file").set_input_files(tmp_path / "one.csv")
    expect(fresh.locator("#notice")).to_have_text(
        "Loaded the labels of 1 cell from one.csv. Press Z to undo."
    )
    (tmp_path / "foreign.csv").write_text("a,b\n1,2\n")
    fresh.locator("#file").set_input_files(tmp_path / "foreign.csv")
    expect(fresh.locator("#notice")).to_have_text("foreign.csv holds no labels for these cells.")
    other.close()


def test_several_thousand_cells_and_hostile_names(browser: Browser, tmp_path: Path) -> None:
    """The pictures are absent: the page must work without, and markup in a name stays text."""
    nasty = '</script><script>document.title = "x"</script>'
    others = dict.fromkeys(MEASURES, "1") | {"x": "0", "y": "0", "width": "80", "height": "80"}
    row = SuggestedLabel(
        path="",
        label="",
        suggestion="monocyte",
        reason=nasty,
        group="f.png",
        pixel_um=0.1,
        touching=True,
        border=True,
        out_of_focus=True,
        others=others,
    )
    rows = [replace(row, path=f"crops/{k}.png") for k in range(4000)]
    sheet = tmp_path / "contact.html"
    sheet.write_text(contact_sheet(rows, ["granulocyte", "monocyte"]), encoding="utf-8")
    page = browser.new_page()
    page.goto(sheet.as_uri())
    expect(page.locator(".tile")).to_have_count(4000)
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    page.keyboard.press("1")
    expect(page.locator("#count")).to_have_text("2 of 4000 confirmed, not saved")
    expect(page.locator("#reason")).to_have_text(nasty)
    assert page.title() == "Labels"
    page.close()
