"""Write ``docs/silicon.md`` from the facts that ``leuko doctor --silicon`` tests.

``python -m tests.system.silicon_page``
"""

from __future__ import annotations

from pathlib import Path

from edge.run.silicon import silicon_page
from edge.run.silicon_facts import FACTS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "silicon.md"
TITLE = """# What leuko relies on about a Raspberry Pi

Nothing of leuko has run on a physical Raspberry Pi. What it relies on was read in these sources. With a board
and a camera, tick it off in an hour:

```
# needs a Raspberry Pi
sudo systemctl stop leuko-count
sudo -u leuko LEUKO_HOME=/var/lib/leuko leuko doctor --silicon > silicon.md
```

That prints this table with answers to what a program can test, and has exit code 1 if a fact does not hold.
Do the rest by hand, and report the table. `.venv/bin/python -m tests.system.silicon_page` writes this page.

"""


def page() -> str:
    """Return the page."""
    return TITLE + silicon_page([(fact, None) for fact in FACTS])


if __name__ == "__main__":
    PAGE.write_text(page())
