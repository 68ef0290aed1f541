"""``python -m edge.cli`` is ``leuko``."""

from edge.cli import main

main(prog_name="leuko")
