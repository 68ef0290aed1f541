"""docs/modules.md: every module of the four packages, by the first sentence of its docstring.

``python -m tests.system.module_index`` writes it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "modules.md"
PACKAGES = ("edge", "train", "convert", "firmware_config")

_HEAD = """\
# Modules

Where a change belongs: every module by its own first sentence. [Architecture](architecture.md) says how the
rooms work together. `python -m tests.system.module_index` writes this page.
"""


def index() -> str:
    """Return the page."""
    return "\n".join([_HEAD, *(line for package in PACKAGES for line in _folder(ROOT / package))]) + "\n"


def _folder(folder: Path) -> Iterator[str]:
    """Yield a folder's lines, then those of the folders in it."""
    modules = sorted(path for path in folder.glob("*.py") if path.name not in ("__init__.py", "__main__.py"))
    name = folder.relative_to(ROOT)
    yield f"## {name}\n"
    yield f"{_sentence(folder / '__init__.py')}\n"
    if modules:
        yield from ("| module | |", "|---|---|")
        yield from (f"| `{path.relative_to(ROOT)}` | {_sentence(path)} |" for path in modules)
        yield ""
    for inner in sorted(path for path in folder.iterdir() if (path / "__init__.py").exists()):
        yield from _folder(inner)


def _sentence(path: Path) -> str:
    """Return the first paragraph of a module's docstring as one line."""
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    return " ".join(docstring.split("\n\n")[0].split()).replace("|", "\\|").replace("``", "`")


if __name__ == "__main__":
    PAGE.write_text(index())
