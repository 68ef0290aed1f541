"""Text for a terminal or a log, in which nothing but letters acts."""

from __future__ import annotations


def visible(text: str) -> str:
    """Return a text in which each character that cannot be printed is spelt, as repr spells it.

    File names, labels and metadata may hold control characters, which a terminal obeys, and marks that turn
    the direction of writing. Line ends are among them: a name must not add a line.
    """
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(letter: str) -> str:
    return letter if letter.isprintable() or letter == "\t" else ascii(letter)[1:-1]
