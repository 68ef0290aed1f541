"""How tidy is the code? Rooms of `edge`, arrows between them, circles, and lines of product code.

``python -m benchmarks.rooms``
"""

from __future__ import annotations

from pathlib import Path

import grimp

PACKAGES = ("edge", "train", "convert", "firmware_config")
ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    graph = grimp.build_graph("edge")
    rooms = sorted(graph.find_children("edge"))
    for room in rooms:
        graph.squash_module(room)
    arrows = [
        (room, other) for room in rooms for other in sorted(graph.find_modules_directly_imported_by(room))
    ]
    arrows = [(room, other) for room, other in arrows if other in rooms and other != room]
    reach = {room: graph.find_downstream_modules(room) for room in rooms}
    circles = [(room, other) for room, other in arrows if other in reach[room]]
    print(f"{len(rooms)} rooms: {', '.join(room.removeprefix('edge.') for room in rooms)}")
    print(f"{len(arrows)} arrows between them; {len(circles)} of them lie on a circle")
    lines = {
        package: sum(len(path.read_text().splitlines()) for path in (ROOT / package).rglob("*.py"))
        for package in PACKAGES
    }
    print(f"{sum(lines.values())} lines: " + ", ".join(f"{name} {n}" for name, n in lines.items()))


if __name__ == "__main__":
    main()
