"""The picture of imports: which folder stands on which, drawn from our own sources; ``python docs/imports.py``.

Floors are those of ``tests/unit/test_imports.py``, the ground at the bottom. A box is a folder with its files, an arrow
says that some file of one folder imports from another. Only arrows that do not follow from others are drawn; in a
browser, all that leave a box show when the pointer is on it. The image is plain SVG, made without other tools.
"""

from __future__ import annotations

import argparse
import ast
import functools
import html
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("warmgap", "train", "evaluate", "mitigations")
LEVELS = ROOT / "tests" / "unit" / "test_imports.py"
TITLES = (
    "said once", "what may be set, what lies on disk", "who answers", "from chat logs to verdicts",
    "how each arm is made", "the story", "what a user types",
)  # fmt: skip
MOST_ROWS = 4  # files in a column of a box
MOST_ROWS_FRAMED = 8  # ... where others stand beside it in a frame
HEAD, LINE, PAD, GAP, FLOOR_GAP = 24, 15, 9, 20, 34
SIGN = 6.7  # width of a sign of a file's name, in pixels

Graph = dict[str, set[str]]


@dataclass
class Box:
    """A folder (or a single file) with the names of its files, and where it is drawn."""

    name: str
    files: list[str]
    framed: bool = False  # whether it stands in the frame of its part
    x: float = 0.0
    y: float = 0.0

    @property
    def label(self) -> str:
        """How the box is headed: below the name of its part where it has a frame."""
        name = self.name.removeprefix("warmgap/")
        if self.framed:
            name = name.partition("/")[2] or "its own files"
            return name if name == "its own files" else f"{name}/"
        return name if name.endswith(".py") else f"{name}/"

    @property
    def columns(self) -> int:
        """How many columns its files take."""
        return max(1, math.ceil(len(self.files) / (MOST_ROWS_FRAMED if self.framed else MOST_ROWS)))

    @property
    def rows(self) -> int:
        """How many rows its files take."""
        return math.ceil(len(self.files) / self.columns)

    @property
    def column(self) -> float:
        """The width of a column of files."""
        return max((len(name) for name in self.files), default=0) * SIGN + 12

    @property
    def width(self) -> float:
        """The width of the box."""
        return max(self.columns * self.column + 2 * PAD - 12, len(self.label) * 7.6 + 2 * PAD + 4)

    @property
    def height(self) -> float:
        """The height of the box."""
        return HEAD + (self.rows * LINE + PAD if self.files else 4)


@dataclass
class Panel:
    """The boxes of one part of a floor, in rows from the bottom up."""

    name: str
    rows: list[list[Box]] = field(default_factory=list)
    x: float = 0.0
    y: float = 0.0

    @property
    def framed(self) -> bool:
        """Whether it is drawn as a frame around its boxes."""
        return sum(map(len, self.rows)) > 1

    @property
    def width(self) -> float:
        """The width of its widest row."""
        inner = max(sum(box.width for box in row) + GAP * (len(row) - 1) for row in self.rows)
        return inner + 2 * 14 * self.framed

    @property
    def height(self) -> float:
        """The height of all of its rows."""
        inner = sum(max(box.height for box in row) for row in self.rows) + GAP * 1.4 * (len(self.rows) - 1)
        return inner + (14 + 30) * self.framed

    def place(self, x: float, y: float) -> None:
        """Lay out its boxes from the upper left corner."""
        self.x, self.y = x, y
        top = y + 30 * self.framed
        for row in reversed(self.rows):
            inner = sum(box.width for box in row) + GAP * (len(row) - 1)
            left = x + (self.width - inner) / 2
            tall = max(box.height for box in row)
            for box in row:
                box.x, box.y = left, top + tall - box.height
                left += box.width + GAP
            top += tall + GAP * 1.4


def sources() -> list[Path]:
    """Every source file, each once: the folders at the top are linked into ``warmgap/``."""
    found = (path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py")))
    return [path for path in found if not any(parent.is_symlink() for parent in path.parents)]


def module_of(path: Path) -> str:
    """The name under which a file is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] == "warmgap" else ("warmgap", *parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path) -> Iterator[str]:
    """The full names that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def levels() -> list[list[str]]:
    """The floors from the ground up, each with its parts, as the test of imports has them."""
    for node in ast.parse(LEVELS.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_LEVELS":
            return [str(names).split() for names in ast.literal_eval(node.value)]
    raise ValueError(f"{LEVELS} has no _LEVELS")


@functools.cache
def folders() -> tuple[dict[str, list[str]], Graph]:
    """The folders with their files, and which folder imports from which; a file right below warmgap/ is its own."""
    modules = {module_of(path): _folder(path) for path in sources()}
    files: dict[str, list[str]] = {}
    for path in sources():
        own = files.setdefault(_folder(path), [])
        if path.suffix == ".py" and path.name != "__init__.py" and not _folder(path).endswith(".py"):
            own.append(path.stem)
    arrows: Graph = {name: set() for name in files}
    for path in sources():
        for name in imported(path):
            while name and name not in modules:
                name = name.rpartition(".")[0]
            if name and modules[name] != _folder(path):
                arrows[_folder(path)].add(modules[name])
    return files, arrows


def _folder(path: Path) -> str:
    own = path.relative_to(ROOT)
    return str(own) if own.parent == Path("warmgap") else str(own.parent)


def part_of(folder: str) -> str:
    """The part of warmgap that a folder belongs to, as floors name it."""
    parts = Path(folder.removeprefix("warmgap/")).with_suffix("").parts
    return parts[0]


def circles(arrows: Graph) -> dict[str, frozenset[str]]:
    """For each folder the folders that it can reach and that can reach it; most stand alone."""
    reach = {name: _reach(name, arrows) for name in arrows}
    return {name: frozenset({name} | {o for o in reach[name] if name in reach[o]}) for name in arrows}


def _reach(start: str, arrows: Graph) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        new = arrows[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def essential(arrows: Graph) -> list[tuple[str, str]]:
    """The arrows that do not follow from others (a transitive reduction), none within a circle of folders."""
    circle = circles(arrows)
    between: dict[frozenset[str], set[frozenset[str]]] = {}
    for name, others in arrows.items():
        between.setdefault(circle[name], set()).update(circle[o] for o in others if circle[o] != circle[name])
    far = {one: {b for a in others for b in _beyond(a, between)} for one, others in between.items()}
    return sorted(
        next((a, b) for a in sorted(one) for b in sorted(arrows[a]) if b in other)
        for one, others in between.items()
        for other in others - far[one]
    )


def _beyond(start: frozenset[str], between: dict[frozenset[str], set[frozenset[str]]]) -> set[frozenset[str]]:
    found: set[frozenset[str]] = set()
    waiting = [start]
    while waiting:
        new = between[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def rank(names: Iterable[str], arrows: Graph) -> dict[str, int]:
    """How high each folder stands over the others of its part: the longest way down, circles on one height."""
    own = set(names)
    inner = {name: arrows[name] & own for name in own}
    circle = circles(inner)

    def height(one: frozenset[str]) -> int:
        below = {circle[other] for name in one for other in inner[name]} - {one}
        return max((height(other) + 1 for other in below), default=0)

    return {name: height(circle[name]) for name in own}


def floors() -> tuple[list[list[Panel]], Graph]:
    """The floors from the ground up, each with its panels, laid out; and all arrows."""
    files, arrows = folders()
    files = {name: some for name, some in files.items() if name != "warmgap/__init__.py"}
    arrows = {name: {other for other in arrows[name] if other in files} for name in files}
    found = []
    for names in levels():
        panels = []
        for part in names:
            own = [name for name in files if part_of(name) == part]
            heights = rank(own, arrows)
            rows: dict[int, list[Box]] = {}
            for name in sorted(own):
                rows.setdefault(heights[name], []).append(Box(name, files[name], framed=_framed(own)))
            if rows:
                panels.append(Panel(part, [rows[height] for height in sorted(rows)]))
        found.append(_spread(panels))
    return found, arrows


def _framed(folders: list[str]) -> bool:
    """Whether the folders of a part are drawn in a frame: where they lie in one another."""
    return len(folders) > 1 and not all(name.endswith(".py") for name in folders)


def _spread(panels: list[Panel]) -> list[Panel]:
    """The widest panel of a floor in the middle, so that arrows are short."""
    order = sorted(panels, key=lambda panel: panel.width)
    return order[::2] + order[1::2][::-1] if len(order) > 2 else panels


STYLE = """
.imports{font-family:ui-sans-serif,system-ui,sans-serif;--ink:#1f2430;--soft:#5b6475;--paper:#fff;--box:#fff;
--floor:#f3f4f8;--edge:#c6cbd8;--arrow:#8791a8;--mark:#c2410c}
[data-md-color-scheme=slate] .imports{--ink:#e7e9ef;--soft:#a3abbd;--paper:#1e2129;--box:#2a2e39;--floor:#22252f;
--edge:#454c5e;--arrow:#6f7990;--mark:#fb923c}
@media (prefers-color-scheme:dark){.imports.alone{--ink:#e7e9ef;--soft:#a3abbd;--paper:#1e2129;--box:#2a2e39;
--floor:#22252f;--edge:#454c5e;--arrow:#6f7990;--mark:#fb923c}}
.imports .paper{fill:var(--paper)}
.imports .floor{fill:var(--floor)}
.imports .frame{fill:none;stroke:var(--edge);stroke-dasharray:3 3}
.imports .box rect{fill:var(--box);stroke:var(--edge)}
.imports .box:hover rect{stroke:var(--mark);stroke-width:1.6}
.imports .head{font-weight:600;font-size:13px;fill:var(--ink)}
.imports .file{font-family:ui-monospace,monospace;font-size:11px;fill:var(--soft)}
.imports .title{font-size:12px;fill:var(--soft)}
.imports .arrow{fill:none;stroke:var(--arrow);stroke-width:1.3;marker-end:url(#tip)}
.imports .more{fill:none;stroke:var(--mark);stroke-width:1.5;marker-end:url(#hot);opacity:0;pointer-events:none}
.imports #tip path{fill:var(--arrow)}
.imports #hot path{fill:var(--mark)}
"""


def picture(*, alone: bool = True) -> str:
    """The picture as SVG: a file that stands ``alone``, or a part of a page whose colours it takes."""
    stories, arrows = floors()
    wide = max(sum(panel.width for panel in some) + GAP * 1.6 * (len(some) - 1) for some in stories)
    margin, title = 18, 22
    y = 4.0
    bands = []
    for some in reversed(stories):
        tall = max(panel.height for panel in some)
        left = margin + (wide - sum(panel.width for panel in some) - GAP * 1.6 * (len(some) - 1)) / 2
        for panel in some:
            panel.place(left, y + title + tall - panel.height)
            left += panel.width + GAP * 1.6
        bands.append((y, tall + title + 12))
        y += tall + title + 12 + FLOOR_GAP
    size = (wide + 2 * margin, y - FLOOR_GAP + 4)
    boxes = {box.name: box for some in stories for panel in some for row in panel.rows for box in row}
    number = {name: place for place, name in enumerate(boxes)}
    hover = "".join(
        f".imports:has(#box{place}:hover) .from{place}{{opacity:1}}" for name, place in number.items() if arrows[name]
    )
    kind = "imports alone" if alone else "imports"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{kind}" role="img" aria-label="Which folder stands on which" '
        f'viewBox="0 0 {size[0]:.0f} {size[1]:.0f}" width="100%">',
        f"<style>{STYLE}{hover}</style>",
        *(
            f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            f'orient="auto-start-reverse"><path d="M0 0.8 L7.5 4 L0 7.2 Z"/></marker>'
            for name in ("tip", "hot")
        ),
        f'<rect class="paper" width="{size[0]:.0f}" height="{size[1]:.0f}"/>' if alone else "",
    ]
    for place, (top, tall) in enumerate(bands):
        said = TITLES[len(bands) - 1 - place] if len(bands) == len(TITLES) else ""
        parts.append(f'<rect class="floor" x="2" y="{top:.0f}" width="{size[0] - 4:.0f}" height="{tall:.0f}" rx="8"/>')
        parts.append(f'<text class="title" x="16" y="{top + 20:.0f}">{html.escape(said)}</text>')
    for some in stories:
        parts += [_frame(panel) for panel in some if panel.framed]
    parts += [_arrow(boxes[a], boxes[b], "arrow") for a, b in essential(arrows)]
    parts += [_box(box, number[name]) for name, box in boxes.items()]
    parts += [_arrow(boxes[a], boxes[b], f"more from{number[a]}") for a in boxes for b in sorted(arrows[a])]
    return "\n".join([*filter(None, parts), "</svg>\n"])


def _frame(panel: Panel) -> str:
    x, y = panel.x, panel.y
    return (
        f'<rect class="frame" x="{x:.0f}" y="{y:.0f}" width="{panel.width:.0f}" height="{panel.height:.0f}" rx="7"/>'
        f'<text class="head" x="{x + 14:.0f}" y="{y + 19:.0f}">{panel.name}/</text>'
    )


def _box(box: Box, number: int) -> str:
    parts = [
        f'<g class="box" id="box{number}"><rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" '
        f'height="{box.height:.1f}" rx="5"/>',
        f'<text class="head" x="{box.x + PAD:.1f}" y="{box.y + 17:.1f}">{html.escape(box.label)}</text>',
    ]
    for place, name in enumerate(box.files):
        column, row = divmod(place, box.rows)
        x, y = box.x + PAD + column * box.column, box.y + HEAD + 10 + row * LINE
        parts.append(f'<text class="file" x="{x:.1f}" y="{y:.1f}">{html.escape(name)}</text>')
    return "".join(parts) + "</g>"


def _arrow(start: Box, end: Box, kind: str) -> str:
    """A curve from the bottom of a box to the top of the one that it stands on, or from side to side."""
    if start.y + start.height <= end.y + 4:
        x1, y1 = _port(start, end), start.y + start.height
        x2, y2 = _port(end, start), end.y - 1
        bend = max(16.0, (y2 - y1) * 0.45)
        return _curve(kind, (x1, y1), y1 + bend, y2 - bend, (x2, y2))
    right = start.x < end.x
    x1, x2 = (start.x + start.width, end.x - 1) if right else (start.x, end.x + end.width + 1)
    y1, y2 = start.y + start.height / 2, end.y + end.height / 2
    if abs(x1 - x2) < 80:
        return f'<path class="{kind}" d="M{x1:.1f} {y1:.1f} L{x2:.1f} {y2:.1f}"/>'
    x1, x2 = start.x + start.width / 2, end.x + end.width / 2
    y1, y2 = start.y + start.height, end.y + end.height + 1
    low = max(y1, y2) + 24
    return _curve(kind, (x1, y1), low, low, (x2, y2))


def _curve(kind: str, start: tuple[float, float], down: float, up: float, end: tuple[float, float]) -> str:
    """A curve that leaves straight down to the height ``down`` and arrives straight from the height ``up``."""
    (x1, y1), (x2, y2) = start, end
    return f'<path class="{kind}" d="M{x1:.1f} {y1:.1f} C{x1:.1f} {down:.1f} {x2:.1f} {up:.1f} {x2:.1f} {y2:.1f}"/>'


def _port(box: Box, towards: Box) -> float:
    """Where on a side of a box an arrow to another begins: nearer to the side that the other lies on."""
    middle, far = box.x + box.width / 2, towards.x + towards.width / 2
    reach = box.width / 2 - 12
    return middle + max(-reach, min(reach, (far - middle) * 0.35))


def counts() -> tuple[int, int, int]:
    """How many files, folders and arrows between folders there are."""
    files, arrows = folders()
    return len(sources()), len(files), sum(map(len, arrows.values()))


def main() -> None:
    """Write the picture to a file."""
    parser = argparse.ArgumentParser(description="Draw which folder imports from which, as SVG.")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "imports.svg", help="default: build/imports.svg")
    out = parser.parse_args().out
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(picture(), encoding="utf-8")
    files, some, arrows = counts()
    print(f"{files} files in {some} folders, {arrows} arrows between them: {out}")


if __name__ == "__main__":
    main()
