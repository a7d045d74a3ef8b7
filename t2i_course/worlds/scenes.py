"""Scenes in the manner of COCO captions: "a stop sign is flying in blue skies".

A scene holds one to three things of different kinds. Each has a count, a colour and a size; they stand in relations
to each other, at a place, at a time of day. No combination is more natural than another: elephants are as often purple
as white, and toilets stand in the sea. That makes this world a test of composition, which a system cannot pass by
remembering what usually goes together.

Two things alone give 32 * 31 pairs of kinds * 8 * 8 colours * 7 places * 3 times of day * several relations, counts
and sizes: many millions of different scenes, before any natural jitter.

Coordinates run from 0 to 100, x to the right and y down; a box is (x0, y0, x1, y1). What captions say about scenes,
and how they are read, is in `scenes_language.py`.
"""

import re
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path
from random import Random
from typing import NamedTuple

from ..paths import DATA
from . import scenes_language as language
from .base import World

KINDS = tuple(language.NOUNS)
COUNTS = ("one", "two", "three", "herd")
COLORS = {
    "red": "#DD3B2F",
    "yellow": "#F8D23F",
    "green": "#3F9B45",
    "blue": "#2F74D0",
    "purple": "#8A55C4",
    "pink": "#F78FC0",
    "brown": "#85522F",
    "white": "#FFFFFF",
}
SIZES = ("small", "large")
RELATIONS = ("left of", "above", "on", "inside")
TIMES = ("day", "sunset", "night")
HORIZON = {"sky": 100, "grass": 54, "desert": 54, "sea": 47, "snow": 54, "room": 64, "street": 58}
PLACES = tuple(HORIZON)

SIDE = {"small": (27, 26.5, 25.5, 25), "large": (46, 42, 36, 34)}  # of one copy, for every count
SIDE_OF_CONTAINER = 58  # of a thing with something inside
MARGIN, GAP = 2.5, 4  # to the frame, and between things

# Where something may rest on a thing, and where it stands inside one: x, y in the 64 units of the pictogram.
SEATS = {
    **{"elephant": (40, 17), "dog": (43, 30), "horse": (41, 29), "sheep": (42, 15), "duck": (42, 36)},
    **{"car": (34, 17), "bus": (32, 13), "truck": (42, 11), "train": (48, 9), "tree": (32, 6), "book": (32, 5)},
    **{"chair": (26, 35), "toilet": (20, 36), "hat": (32, 7), "bicycle": (40, 17)},
}
INSIDES = {"box": (32, 32), "house": (32, 59), "boat": (18.5, 45), "cup": (27, 35)}
NEVER_MIRRORED = ("stop sign", "clock")  # they would look wrong


def known(what: str, value: str, values) -> None:
    if value not in values:
        raise ValueError(f"There is no {what} {value!r}. Take one of: {', '.join(map(repr, values))}.")


@dataclass(frozen=True, slots=True)
class Thing:
    """One to many copies of one kind of thing."""

    kind: str
    count: str
    color: str
    size: str

    def __post_init__(self):
        known("kind of thing", self.kind, KINDS)
        known("count", self.count, COUNTS)
        known("colour", self.color, COLORS)
        known("size", self.size, SIZES)


@dataclass(frozen=True, slots=True)
class Scene:
    """What is true of a picture; `variation` seeds its natural jitter (positions, clouds, hills ...)."""

    things: tuple[Thing, ...]
    relation: str  # of the first thing to the second; "" if it is alone
    third: str  # the side of these two where the third thing stands: "left", "right", or "" if there is none
    place: str
    time: str
    variation: int

    def __post_init__(self):
        n = len(self.things)
        if not 1 <= n <= 3 or len({thing.kind for thing in self.things}) < n:
            raise ValueError(f"A scene holds one to three things of different kinds, not {self.things}.")
        known("place", self.place, PLACES)
        known("time of day", self.time, TIMES)
        known("relation for this number of things", self.relation, RELATIONS if n > 1 else ("",))
        known("side of the third thing", self.third, ("left", "right") if n > 2 else ("",))
        if self.relation in ("on", "inside"):
            lower = SEATS if self.relation == "on" else INSIDES
            known(f"thing that something can be {self.relation}", self.things[1].kind, lower)
            if [(thing.count, thing.size) for thing in self.things[:2]] != [("one", "small"), ("one", "large")]:
                raise ValueError(
                    f"A thing {self.relation} another is one small thing, and the other is one large thing."
                )

    def boxes(self) -> list[tuple[str, float, float, float, float]]:
        """(kind, x0, y0, x1, y1) of every drawn copy, as parts of the picture's side."""
        groups = zip(self.things, arrange(self), strict=True)
        return [(thing.kind, *(v / 100 for v in box)) for thing, group in groups for box in group.boxes]

    def svg(self) -> str:
        """The picture as a complete SVG."""
        background = paint_place(self.place, self.time, Random(self.variation + 1))
        frame = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">'
        return f"{frame}{background}{draw_things(self)}{VEILS[self.time]}</svg>"


# --- where everything is ----------------------------------------------------------------------------------------------

Box = tuple[float, float, float, float]


class Group(NamedTuple):
    """The copies of one thing in a picture, rear ones first."""

    boxes: list[Box]
    mirrored: bool
    grounded: bool  # it stands on the ground (or swims in the sea)


class Pictogram(NamedTuple):
    box: Box  # around what is drawn in its 64 by 64 units
    back: str  # SVG elements
    front: str  # SVG elements that hide a part of what is inside


@cache
def pictogram(kind: str) -> Pictogram:
    """The recolourable pictogram of a kind of thing, taken apart."""
    svg = pictogram_file(kind).read_text(encoding="utf-8").replace("\n", "")
    box = tuple(float(v) for v in re.search(r'data-box="(.*?)"', svg)[1].split())
    body = re.search(r'linejoin="round">(.*)</g></svg>', svg)[1]
    back, _, front = body.partition('<g id="front">')
    return Pictogram(box, back, front.removesuffix("</g>"))


def pictogram_file(kind: str) -> Path:
    return DATA / "pictograms" / f"{kind.replace(' ', '_')}.svg"


def around(boxes) -> Box:
    """The box around boxes."""
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return min(x0), min(y0), max(x1), max(y1)


def moved(boxes, dx: float, dy: float) -> list[Box]:
    return [(x0 + dx, y0 + dy, x1 + dx, y1 + dy) for x0, y0, x1, y1 in boxes]


def copies(kind: str, count: str, side: float, uniform) -> list[Box]:
    """Boxes of the copies of one thing. Those of the front row stand about at y = 0, the leftmost one at x = 0."""
    x0, y0, x1, y1 = pictogram(kind).box
    scale = side / max(x1 - x0, y1 - y0)
    w, h = (x1 - x0) * scale, (y1 - y0) * scale
    if count == "herd":  # two rows of overlapping copies
        rear, front, lean = int(uniform(2, 3.99)), int(uniform(2, 3.99)), uniform(0.05, 0.2)
        spots = [(0.7 * (i + (front - rear) / 2) + lean, 0.5 + uniform(-0.06, 0.06)) for i in range(rear)]
        spots += [(0.7 * i, uniform(0, 0.06)) for i in range(front)]
    else:  # copies that do not hide each other; columns and rows are counted in widths and heights of one copy
        step, slope = uniform(1.05, 1.1), uniform(0, 0.12)
        spots = {
            "one": [(0, 0)],
            "two": [(step, slope), (0, 0)],
            "three": [(step / 2, 1.04), (0, 0), (step, slope / 3)],
        }
        spots = spots[count]
    left = min(x for x, _ in spots)
    return [((x - left) * w, -(y + 1) * h, (x - left + 1) * w, -y * h) for x, y in spots]


@cache
def most(kind: str, count: str, side: float) -> list[Box]:
    """The copies of one thing when they take as much room as they may."""
    return copies(kind, count, side, lambda low, high: high)


def groups_of(spec: Scene, boxes_of) -> list[list[Box]]:
    """The boxes of the copies of each thing, before the things are put in their places."""
    sides = [SIDE[thing.size][COUNTS.index(thing.count)] for thing in spec.things]
    if spec.relation == "inside":
        sides[:2] = SIDE["small"][-1], SIDE_OF_CONTAINER
    return [boxes_of(thing.kind, thing.count, side) for thing, side in zip(spec.things, sides, strict=True)]


def columns(spec: Scene, groups: list[list[Box]]) -> list[list[dict[int, list[Box]]]]:
    """The scene as columns, left to right, of layers, top to bottom: each layer is {index of thing: boxes}.

    The last thing of the last layer of a column is the one that stands on the ground, at y = 0.
    """
    if spec.relation in ("on", "inside"):
        kind = spec.things[1].kind
        foot_x, foot_y = (SEATS if spec.relation == "on" else INSIDES)[kind]
        box, (x0, y0, x1, _) = pictogram(kind).box, groups[1][0]
        scale = (x1 - x0) / (box[2] - box[0])
        width = around(groups[0])[2]
        upper = moved(groups[0], x0 + (foot_x - box[0]) * scale - width / 2, y0 + (foot_y - box[1]) * scale)
        result = [[{0: upper, 1: groups[1]}]]
    elif spec.relation == "above":
        result = [[{0: groups[0]}, {1: groups[1]}]]
    else:
        result = [[{i: group}] for i, group in enumerate(groups[:2])]
    if spec.third:
        result.insert(0 if spec.third == "left" else len(result), [{2: groups[2]}])
    return result


def extent(layer: dict[int, list[Box]]) -> Box:
    return around([box for boxes in layer.values() for box in boxes])


def size_of(layer: dict[int, list[Box]]) -> tuple[float, float]:
    x0, y0, x1, y1 = extent(layer)
    return x1 - x0, y1 - y0


def fits(spec: Scene) -> bool:
    """Whether there is room for all things of a scene, whatever its variation."""
    largest = columns(spec, groups_of(spec, most))
    width = sum(max(size_of(layer)[0] for layer in column) + GAP for column in largest) - GAP
    height = max(sum(size_of(layer)[1] + GAP for layer in column) - GAP for column in largest)
    headroom = HORIZON[spec.place] - GAP - MARGIN  # things in the air must not seem to stand far away on the ground
    flying = max((size_of(column[0])[1] for column in largest if len(column) == 2), default=0)
    return width <= 100 - 2 * MARGIN and height <= 100 - 2 * MARGIN and flying <= headroom


def arrange(spec: Scene) -> list[Group]:
    """Where each thing of a scene is: one group for each."""
    if not fits(spec):
        raise ValueError(f"There is no room for {spec.things} ({spec.relation!r}). Take smaller or fewer things.")
    uniform = Random(spec.variation).uniform
    shrink = uniform(0.93, 1)
    groups = groups_of(spec, lambda kind, count, side: copies(kind, count, side * shrink, uniform))
    scene = columns(spec, groups)
    widths = [max(size_of(layer)[0] for layer in column) for column in scene]
    heights = [sum(size_of(layer)[1] + GAP for layer in column) - GAP for column in scene]
    free = 100 - 2 * MARGIN - sum(widths) - GAP * (len(scene) - 1)
    shifts = sorted(uniform(0, free) for _ in scene)
    # All columns stand at about the same height on the ground, or fly with their middles at about the same height.
    half = max(heights) / 2 + MARGIN
    level = uniform(half, 100 - half) if spec.place == "sky" else uniform(70, 100 - MARGIN)

    placed = {}
    for n, (column, width, height) in enumerate(zip(scene, widths, heights, strict=True)):
        middle = MARGIN + sum(widths[:n]) + GAP * n + shifts[n] + width / 2
        if spec.place == "sky":
            bottom = level + height / 2 + uniform(-3, 3)
        else:  # the rear row, too, stands below the horizon
            rear = -min(box[3] for box in list(column[-1].values())[-1])
            bottom = max(level + uniform(-4, 4), HORIZON[spec.place] + 7 + rear)
        bottom = min(max(bottom, height + MARGIN), 100 - MARGIN)
        placed |= place_column(spec, column, middle, bottom, width, uniform)
    return [placed[i] for i in range(len(spec.things))]


def place_column(spec: Scene, column, middle: float, bottom: float, width: float, uniform) -> dict[int, Group]:
    """The groups of one column, whose lowest layer ends at y = bottom."""
    placed = {}
    for layer in reversed(column):
        x0, y0, x1, y1 = extent(layer)
        slack = (width - (x1 - x0)) / 4
        dx, dy = middle - (x0 + x1) / 2 + uniform(-slack, slack), bottom - y1
        mirrored = uniform(0, 1) < 0.5 and not any(spec.things[i].kind in NEVER_MIRRORED for i in layer)
        for i, boxes in layer.items():
            if mirrored:
                boxes = [(x0 + x1 - right, top, x0 + x1 - left, foot) for left, top, right, foot in boxes]
            grounded = layer is column[-1] and i == max(layer) and spec.place != "sky"
            placed[i] = Group(moved(boxes, dx, dy), mirrored, grounded)
        if layer is not column[0]:  # the next one is above: in the air, not far away on the ground
            ceiling = min(bottom - (y1 - y0), HORIZON[spec.place]) - GAP
            bottom = uniform(max(ceiling - 10, MARGIN + size_of(column[0])[1]), ceiling)
    return placed


def relation_between(a: Box, b: Box) -> tuple[bool, str] | None:
    """(whether the pair must be swapped, "left of" or "above") if one of the two is plainly true of two boxes."""
    dx, dy = (b[0] + b[2] - a[0] - a[2]) / 2, (b[1] + b[3] - a[1] - a[3]) / 2
    (left, right), (upper, lower) = ((b, a) if dx < 0 else (a, b)), ((b, a) if dy < 0 else (a, b))
    if right[0] - left[2] >= GAP / 2 and abs(dx) > abs(dy):
        return dx < 0, "left of"
    if lower[1] - upper[3] >= GAP / 2 and abs(dy) > abs(dx) and left[2] > right[0]:
        return dy < 0, "above"
    return None


# --- painting ---------------------------------------------------------------------------------------------------------

INK = "#2E2A3B"
SKIES = {
    "day": ("#3F9DEB", "#8CCBF5", "#DDF2FB"),
    "sunset": ("#6B4A94", "#EE7A5A", "#FFD37E"),
    "night": ("#101A47", "#24367A", "#5870B2"),
}
FOG = {"day": "#FFFFFF", "sunset": "#F9B59A", "night": "#32447F"}
LIGHT = {"day": ("#FFFFFF", 0), "sunset": ("#DB5A3B", 0.24), "night": ("#20307A", 0.46)}  # colour, and how much of it
ALL = 'd="M0 0H100V100H0Z"'
VEILS = {
    "day": "",
    "sunset": f'<path {ALL} fill="#FF6A2C" fill-opacity=".1"/>',
    "night": f'<path {ALL} fill="#1A2A7A" fill-opacity=".1"/>',
}
STAR, BIG_STAR = "l.2 .5.5 .2-.5 .2-.2 .5-.2-.5-.5-.2.5-.2z", "l.3 .9.9 .3-.9 .3-.3 .9-.3-.9-.9-.3.9-.3z"
TUFT, FLOWER = "l-.9-2.6 1.5 2 .8-2.9.5 3.2z", "c1.3-1 2 .3.9.9c1.1.6.4 1.9-.9.9c-1.3 1-2-.3-.9-.9c-1.1-.6-.4-1.9.9-.9z"
FLAKE = "a.6.6 0 1 0 1.2 0a.6.6 0 1 0-1.2 0z"
# Bands of land, far to near: (distance below the horizon, how wavy their upper edge is), and their colours.
BANDS = {
    "grass": ((-7, 5), (0, 3), (13, 4), (29, 4)),
    "desert": ((-6, 7), (0, 3), (14, 5), (30, 5)),
    "snow": ((-9, 6), (0, 2.5), (15, 4), (30, 4)),
    "sea": ((0, 0), (8, 1), (20, 1.5), (36, 2)),
}
COLORS_OF_LAND = {  # where a time of day is missing, it is the land by day in another light
    ("grass", "day"): ("#86C3A6", "#A5D86C", "#8ACB5A", "#6FB84D"),
    ("grass", "sunset"): ("#97A582", "#B0BE5C", "#8FAB4D", "#6F9846"),
    ("desert", "day"): ("#DDA45E", "#F3CC85", "#EDBB6E", "#E3A959"),
    ("desert", "night"): ("#5A4560", "#94766C", "#836560", "#705457"),
    ("snow", "day"): ("#C7DAEE", "#FFFFFF", "#F0F6FC", "#DFEAF6"),
    ("sea", "day"): ("#74C7DE", "#4DB0D2", "#3299C4", "#1F7FB0"),
    ("sea", "sunset"): ("#F3A184", "#C77F93", "#94689B", "#67559A"),
    ("sea", "night"): ("#3C5A99", "#2E4A89", "#243D7B", "#1B316B"),
}


@cache
def mix(color: str, other: str, part: float) -> str:
    """A colour between two others: "#RRGGBB"."""
    pairs = ((int(color[i : i + 2], 16), int(other[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(a + (b - a) * part):02X}" for a, b in pairs)


def gradient(name: str, *colors: str) -> str:
    stops = "".join(f'<stop offset="{i / (len(colors) - 1):.2f}" stop-color="{c}"/>' for i, c in enumerate(colors))
    return f'<linearGradient id="{name}" x1="0" y1="0" x2="0" y2="1">{stops}</linearGradient>'


def path(d: str, fill: str, **attributes) -> str:
    more = "".join(f' {key.replace("_", "-")}="{value}"' for key, value in attributes.items())
    return f'<path d="{d}" fill="{fill}"{more}/>'


def line(d: str, color: str, width: float, opacity: float = 1) -> str:
    return path(d, "none", stroke=color, stroke_width=width, stroke_opacity=opacity, stroke_linecap="round")


def ellipse(x: float, y: float, rx: float, ry: float) -> str:
    return f"M{x - rx:.1f} {y:.1f}a{rx:.1f} {ry:.1f} 0 1 0 {2 * rx:.1f} 0a{rx:.1f} {ry:.1f} 0 1 0 {-2 * rx:.1f} 0z"


def disc(x: float, y: float, r: float, fill: str, opacity: float = 1) -> str:
    return path(ellipse(x, y, r, r), fill, fill_opacity=opacity)


def hill(rng: Random, y: float, swing: float) -> str:
    """Land with a wavy upper edge at about y."""
    a, b, c, d = (y + rng.uniform(-swing, swing) for _ in range(4))
    return f"M0 {a:.1f}C{rng.uniform(20, 45):.0f} {b:.1f} {rng.uniform(55, 80):.0f} {c:.1f} 100 {d:.1f}V100H0Z"


def scattered(rng: Random, n: int, top: float, bottom: float, mark: str) -> str:
    """A path of n equal marks."""
    return "".join(f"M{rng.uniform(1, 99):.1f} {rng.uniform(top, bottom):.1f}{mark}" for _ in range(n))


def clouds(rng: Random, n: int, top: float, bottom: float) -> str:
    return "".join(cloud(100 * (i + rng.uniform(0.1, 0.7)) / n, rng.uniform(top, bottom), rng) for i in range(n))


def cloud(x: float, y: float, rng: Random) -> str:
    a, b, c, d, e, f = (k * rng.uniform(0.6, 1.2) for k in (5.5, 6.5, 1, 10, 12, 5))
    left = f"c-{a:.1f} 0-{a:.1f}-{b:.1f} 0-{b:.1f}c{c:.1f}-{a:.1f} {d:.1f}-{b:.1f} {e:.1f}-{c:.1f}"
    g, h = f / 2, b + c - f / 2
    right = f"c{f:.1f}-{g:.1f} {d:.1f} 0 {d:.1f} {g:.1f}c{f:.1f} 0 {f:.1f} {h:.1f} 0 {h:.1f}"
    return f"M{x:.1f} {y:.1f}{left}{right}z"


def paint_sky(time: str, rng: Random, horizon: float) -> str:
    """The sky with its sun, or moon and stars, and clouds."""
    sky = f'<defs>{gradient("sky", *SKIES[time])}</defs><rect width="100" height="{horizon + 10}" fill="url(#sky)"/>'
    n, lowest = (3, 92) if horizon == 100 else (2, horizon - 22)
    fog = path(clouds(rng, n, 14, lowest), FOG[time], fill_opacity=0.85)
    x, y = rng.uniform(12, 88), rng.uniform(9, 20)
    if time == "night":
        stars = path(scattered(rng, 20, 2, horizon, STAR) + scattered(rng, 7, 2, horizon, BIG_STAR), "#FFF8DC")
        crescent = path(f"M{x:.1f} {y - 6.5:.1f}a6.5 6.5 0 1 0 6 9a5.4 5.4 0 0 1-6-9z", "#FFF3C4")
        return sky + stars + fog + disc(x, y, 10, "#FFF3C4", 0.1) + crescent
    if time == "sunset":
        y = min(horizon - 3, 84)
        return sky + disc(x, y, 15, "#FFE9A8", 0.35) + disc(x, y, 9.5, "#FFF0B8") + fog
    return sky + disc(x, y, 9.5, "#FFF3B0", 0.45) + disc(x, y, 6, "#FFE36E") + fog


def paint_place(place: str, time: str, rng: Random) -> str:
    """The background of a picture."""
    y = HORIZON[place]

    def lit(color: str) -> str:
        return mix(color, *LIGHT[time])

    if place == "room":
        return paint_room(time, rng, lit)
    sky = paint_sky(time, rng, y)
    if place == "sky":
        return sky
    if place == "street":
        return sky + paint_street(time, rng, lit, y)
    land = COLORS_OF_LAND.get((place, time)) or [lit(color) for color in COLORS_OF_LAND[place, "day"]]
    bands = [path(hill(rng, y + dy, swing), color) for (dy, swing), color in zip(BANDS[place], land, strict=True)]
    if place == "grass":
        tufts = path(scattered(rng, 22, y + 8, 99, TUFT), lit("#3C7F38"))
        flowers = [path(scattered(rng, 8, y + 8, 99, FLOWER), lit(color)) for color in ("#FFF6D6", "#F7B7D2")]
        details = [*bands, tufts, *flowers]
    elif place == "desert":
        ripples = scattered(rng, 8, y + 6, 98, "q3-1.5 6 0t6 0")
        details = [*bands, line(ripples, mix(land[-1], "#7A4A1E", 0.5), 0.6)]
    elif place == "snow":
        spruces = [(rng.uniform(0, 94), rng.uniform(8, 14)) for _ in range(9)]
        wood = path("".join(f"M{x:.1f} {y + 1}l3-{h:.1f}l3 {h:.1f}z" for x, h in spruces), lit("#3F6F66"))
        details = [bands[0], wood, *bands[1:], path(scattered(rng, 28, 2, 98, FLAKE), "#FFFFFF", fill_opacity=0.9)]
    else:
        foam = mix(land[0], "#FFFFFF", 0.75)
        far, near = (
            scattered(rng, 7, y + 2, y + 16, "q1.5-1.4 3 0t3 0"),
            scattered(rng, 9, y + 18, 98, "q2.5-2.4 5 0t5 0"),
        )
        details = [*bands, line(far, foam, 0.6), line(near, foam, 1)]
    return sky + "".join(details)


def paint_street(time: str, rng: Random, lit, y: float) -> str:
    """A row of houses, a pavement, a road."""
    houses, windows, x = ["", ""], "", -2.0
    while x < 100:
        width, top = rng.uniform(10, 16), rng.uniform(14, 36)
        houses = [houses[1], houses[0] + f"M{x:.1f} {y}V{top:.1f}h{width:.1f}V{y}z"]
        for row in range(int((y - top - 4) / 7)):
            for column in range(int((width - 2) / 4)):
                windows += f"M{x + 2.5 + 4 * column:.1f} {top + 3 + 7 * row:.1f}h2v3h-2z"
        x += width
    slabs = "".join(f"M{x} {y}l{(x - 50) / 6:.1f} 14" for x in range(10, 100, 16))
    dashes = "".join(f"M{x} 86h12v2.2h-12z" for x in range(int(rng.uniform(-14, 6)), 100, 22))
    parts = (
        path(houses[0], lit("#C98F7B")),
        path(houses[1], lit("#A9A3BE")),
        path(windows, {"day": "#D4ECF7", "sunset": "#FFD98A", "night": "#FFD866"}[time], fill_opacity=0.85),
        path(f"M0 {y}H100V72H0Z", lit("#D3CFC8")),
        line(f"M0 {y + 5}H100{slabs}", lit("#B1ACA6"), 0.6),
        path("M0 72H100V100H0Z", lit("#6A6E7A")),
        path("M0 71.5H100V74H0Z", lit("#EDEAE2")),
        path(dashes, lit("#F7EFC9")),
    )
    return "".join(parts)


def paint_room(time: str, rng: Random, lit) -> str:
    """A wall with a window and a picture, and a wooden floor."""
    y, x = HORIZON["room"], rng.choice((8, 56)) + rng.uniform(0, 8)
    picture = 82 - x + rng.uniform(-4, 4)
    sun_x, sun_y, sun = (
        x + rng.uniform(7, 21),
        34 if time == "sunset" else 18,
        "#FFE36E" if time == "day" else "#FFF0B8",
    )
    stars = "".join(
        f"M{x + a:.1f} {b}{BIG_STAR}" for a, b in ((4, 12), (10, 27), (17, 13), (24, 24), (6, 35), (21, 37))
    )
    stripes = "".join(f"M{k} 0h5V{y}h-5z" for k in range(2, 100, 12))
    planks = (
        f"M0 {y + 9}H100M0 {y + 21}H100M18 {y}v9M62 {y}v9M40 {y + 9}v12M84 {y + 9}v12M24 {y + 21}v20M70 {y + 21}v20"
    )
    parts = (
        f"<defs>{gradient('sky', *SKIES[time])}</defs>",
        path(f"M0 0H100V{y}H0Z", lit(rng.choice(("#F3D9C4", "#D9E4D0", "#E2D6EA", "#F5E6B8")))),
        path(stripes, lit("#FFFFFF"), fill_opacity=0.3),
        path(f"M{x:.1f} 8h28v34h-28z", "url(#sky)"),
        path(stars, "#FFF8DC") if time == "night" else "",
        disc(sun_x, sun_y, 4, sun),
        line(f"M{x:.1f} 8h28v34h-28zM{x + 14:.1f} 8v34M{x:.1f} 25h28", lit("#FFFFFF"), 2),
        path(f"M{picture:.1f} 16h14v12h-14z", lit("#BFE0DC"), stroke=lit("#9A6A42"), stroke_width=1.6),
        path(f"M{picture + 1:.1f} 27l4-6l3 3.5l2-2l3 4.5z", lit("#6FA58A")),
        path(f"M0 {y}H100V100H0Z", lit("#C68E58")),
        line(planks, lit("#9C6A3C"), 0.7),
        path(f"M0 {y - 3}H100V{y}H0Z", lit("#FFF7EA")),
    )
    return "".join(parts)


def draw_copy(kind: str, box: Box, mirrored: bool, color: str, layer: str) -> str:
    """The "back" or the "front" of one copy of a pictogram."""
    drawn = pictogram(kind)
    body = getattr(drawn, layer)
    scale = (box[2] - box[0]) / (drawn.box[2] - drawn.box[0])
    flip, x = (-scale, box[2] + drawn.box[0] * scale) if mirrored else (scale, box[0] - drawn.box[0] * scale)
    y = box[1] - drawn.box[1] * scale
    move = f"matrix({flip:.3f} 0 0 {scale:.3f} {x:.2f} {y:.2f})"
    return f'<g transform="{move}" color="{color}">{body}</g>' if body else ""


def draw_things(spec: Scene) -> str:
    """All things of a scene, with shadows on the ground or ripples in the sea."""
    rng = Random(spec.variation + 2)
    backs, fronts, shadows = [], [], ""
    for thing, group in zip(spec.things, arrange(spec), strict=True):
        color = mix(COLORS[thing.color], rng.choice(("#FFFFFF", "#000000")), round(rng.uniform(0, 0.08), 2))
        back, front = "", ""
        for box in group.boxes:
            x0, _, x1, y1 = box
            foot = ellipse((x0 + x1) / 2, y1 - 0.4, (x1 - x0) * 0.52, 1.2 + (x1 - x0) * 0.05)
            back += front + draw_copy(thing.kind, box, group.mirrored, color, "back")
            front = draw_copy(thing.kind, box, group.mirrored, color, "front")
            if group.grounded and spec.place == "sea":
                water = COLORS_OF_LAND["sea", spec.time][2]
                front += path(foot, water, fill_opacity=0.8, stroke=mix(water, "#FFFFFF", 0.6), stroke_width=1.2)
            elif group.grounded:
                shadows += foot
        backs.append(back)
        fronts.append(front)
    if spec.relation == "inside":
        order = [backs[1], backs[0], fronts[0], fronts[1], *backs[2:], *fronts[2:]]
    else:  # what is on something is drawn after it
        order = [part for i in reversed(range(len(backs))) for part in (backs[i], fronts[i])]
    style = f'fill="currentColor" stroke="{INK}" stroke-width="2.5" stroke-linecap="round" stroke-linejoin="round"'
    shadow = path(shadows, INK, fill_opacity=0.28) if shadows else ""
    return f"{shadow}<g {style}>{''.join(order)}</g>"


# --- the world --------------------------------------------------------------------------------------------------------


class Scenes(World):
    """One to three kinds of things, somewhere, some time."""

    name = "scenes"
    KINDS = KINDS
    attributes = {"place": PLACES, "time": TIMES, "count": COUNTS, "color": tuple(COLORS), "size": SIZES}
    attributes |= {"relation": RELATIONS}
    vocabulary = language.VOCABULARY
    withheld = (
        {"present:stop sign": "yes", "place": "sky"},
        {"present:elephant": "yes", "place": "sky"},
        {"present:toilet": "yes", "place": "grass"},
        {"present:boat": "yes", "place": "desert"},
        {"present:horse": "yes", "color:horse": "pink"},
        {"present:cat": "yes", "color:cat": "blue"},
        {"present:apple": "yes", "color:apple": "purple"},
        {"present:dog": "yes", "present:guitar": "yes"},
        {"present:fish": "yes", "present:umbrella": "yes"},
        {"present:sheep": "yes", "present:bus": "yes"},
    )

    def sample(self, rng) -> Scene:
        """Any scene, whatever its split."""
        random = Random(int(rng.integers(2**62)))  # quicker than numpy at drawing one thing at a time
        n = random.choices((1, 2, 3), (30, 45, 25))[0]
        relation = random.choices(RELATIONS, (4, 3, 2, 2))[0] if n > 1 else ""
        while not fits(scene := self._draft(random, n, relation)):
            pass
        return scene

    def _draft(self, random: Random, n: int, relation: str) -> Scene:
        """A scene of n things for which there may be no room."""
        kinds = random.sample(KINDS, n)
        if n < 3:
            counts = random.choices(COUNTS, (5, 3, 3, 3), k=n)
            sizes = random.choices(SIZES, (4, 6) if n == 1 else (1, 1), k=n)
        else:  # there is room for one large thing, or for several copies of one
            counts, sizes, special = ["one"] * 3, ["small"] * 3, random.randrange(3)
            if random.random() < 0.4:
                sizes[special] = "large"
            else:
                counts[special] = random.choice(COUNTS)
        if relation in ("on", "inside"):
            below = SEATS if relation == "on" else INSIDES
            kinds[1] = random.choice([kind for kind in below if kind not in (kinds[0], kinds[-1])])
            counts[:2], sizes[:2] = ("one", "one"), ("small", "large")
        things = map(Thing, kinds, counts, random.choices(tuple(COLORS), k=n), sizes)
        third = random.choice(("left", "right")) if n == 3 else ""
        return Scene(
            tuple(things), relation, third, random.choice(PLACES), random.choice(TIMES), random.getrandbits(31)
        )

    @staticmethod
    def things(spec: Scene) -> tuple[Thing, ...]:
        """The things of a scene: (kind, count, color, size)."""
        return spec.things

    def truth(self, spec: Scene) -> dict[str, str]:
        """Everything that is true of a scene, with every relation that is plain to see between two of its things."""
        truth = {"place": spec.place, "time": spec.time}
        for thing in spec.things:
            truth[f"present:{thing.kind}"] = "yes"
            for attribute in ("count", "color", "size"):
                truth[f"{attribute}:{thing.kind}"] = getattr(thing, attribute)
        boxes = [around(group.boxes) for group in arrange(spec)]
        for i, j in combinations(range(len(boxes)), 2):
            if (i, j) == (0, 1) and spec.relation in ("on", "inside"):
                swap, relation = False, spec.relation
            elif found := relation_between(boxes[i], boxes[j]):
                swap, relation = found
            else:
                continue
            a, b = (spec.things[k].kind for k in ((j, i) if swap else (i, j)))
            truth[f"relation:{a}|{b}"] = relation
        return truth

    def describe(self, spec: Scene, rng) -> tuple[str, dict[str, str]]:
        """One caption, and the facts that it promises."""
        return language.write(spec, self.truth(spec), rng)

    def facts(self, caption: str) -> dict[str, str]:
        """What a caption promises. Raises `UnknownWord` for a word without a meaning here."""
        return language.read(caption)

    def sources(self) -> list[Path]:
        return [*super().sources(), *map(pictogram_file, KINDS)]
