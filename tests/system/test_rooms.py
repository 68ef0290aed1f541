"""The walls of the house: rooms reach each other through their faces only."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("edge", "train", "convert", "firmware_config", "benchmarks")
COMMANDS_ROOM = "cli"  # its options and errors are for the commands of every package


def imports(path: Path) -> Iterator[tuple[str, list[str]]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, [alias.name for alias in node.names]


def test_rooms_are_entered_by_their_faces() -> None:
    trespassers = []
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            own = path.relative_to(ROOT).parts[1] if package == "edge" else ""
            for module, names in imports(path):
                parts = module.split(".")
                if parts[0] != "edge" or len(parts) == 1 or parts[1] in (own, COMMANDS_ROOM):
                    continue
                face = importlib.import_module(f"edge.{parts[1]}")
                if len(parts) > 2 or not set(names) <= set(face.__all__):
                    trespassers.append(f"{path.relative_to(ROOT)}: from {module} import {', '.join(names)}")
    assert not trespassers
