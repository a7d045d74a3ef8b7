"""Flowers in the manner of Oxford-102: "this flower has five pointed red petals with white edges".

What a picture is made of (`Flower`), and what may occur together (`COUNTS`, `shapes_of`, `patterns_of`):

- The petal count is what is seen: all petals of an open flower, the outer ring of a layered one, the lobes of a bell
  that face us. A dome always has many, which is twelve in a ring. Many petals and bells come only in the shapes that
  stay visible there: round, pointed, narrow.
- A pattern shows the second colour on petals of the first; `centre` petals have it on their inner half, `plain` ones
  have no second colour. The centre of the flower, its disc of stamens, has a colour of its own.

What captions say about flowers, and how they are read, is in `flowers_language.py`.
"""

import colorsys
import math
import re
from dataclasses import dataclass
from functools import cache
from random import Random

from . import flowers_language as language
from .base import World
from .language import pick

PETALS = {"three": 3, "four": 4, "five": 5, "six": 6, "eight": 8, "many": 12}
# What can be counted in which arrangement.
COUNTS = {"open": tuple(PETALS), "layered": tuple(PETALS), "bell": ("three", "four", "five"), "dome": ("many",)}
SIMPLE_SHAPES = ("round", "pointed", "narrow")
SHAPES = (*SIMPLE_SHAPES, "heart", "ruffled")
COLORS = {
    "red": "#d81e34",
    "orange": "#f8801a",
    "yellow": "#fcd92b",
    "pink": "#f78bb9",
    "purple": "#7d3bb8",
    "blue": "#2c62dc",
    "white": "#fcfbf6",
}
CENTERS = {
    "yellow": "#fbd020",
    "white": "#fffdf5",
    "green": "#5faa2e",
    "brown": "#6e4120",
    "purple": "#6a2f9e",
    "red": "#c81d2c",
}
LEAVES = {"green": "#3f8f34", "red": "#a23440", "silver": "#b9cbd0"}
PATTERNS = ("plain", "edges", "striped", "spotted", "centre")
HORIZON = {"sky": 88, "meadow": 36, "dusk": 78, "night": 92, "cream": 94}  # below it the land hides the sky
ATTRIBUTES = {
    "petal_count": tuple(PETALS),
    "petal_shape": SHAPES,
    "arrangement": tuple(COUNTS),
    "color": tuple(COLORS),
    "second_color": ("none", *COLORS),
    "pattern": PATTERNS,
    "center_color": tuple(CENTERS),
    "center_size": ("small", "large"),
    "leaves": ("none", *LEAVES),
    "background": tuple(HORIZON),
}


def shapes_of(arrangement: str, petal_count: str) -> tuple[str, ...]:
    """The petal shapes that can be told apart in such a flower."""
    return SIMPLE_SHAPES if arrangement in ("bell", "dome") or petal_count == "many" else SHAPES


def patterns_of(arrangement: str, petal_count: str, petal_shape: str) -> tuple[str, ...]:
    """The patterns that can be seen on such petals: on slim ones, and on many, small marks would only blur."""
    if petal_shape == "narrow":
        return "plain", "centre"
    if petal_count == "many" and arrangement != "dome":
        return "plain", "edges", "centre"
    return PATTERNS


FORMS = tuple(
    (arrangement, count, shape, pattern)
    for arrangement, counts in COUNTS.items()
    for count in counts
    for shape in shapes_of(arrangement, count)
    for pattern in patterns_of(arrangement, count, shape)
)


@dataclass(frozen=True, slots=True)
class Flower:
    """One flower: its attributes, and the seed of its natural variation (tilt, exact hue, wobble of the petals ...)."""

    petal_count: str
    petal_shape: str
    arrangement: str
    color: str
    second_color: str
    pattern: str
    center_color: str
    center_size: str
    leaves: str
    background: str
    variation: int = 0

    def svg(self) -> str:
        """The picture as a complete SVG, 100 units wide and high."""
        return draw(self)


# --- colours and SVG elements -----------------------------------------------------------------------------------------


def mix(color: str, other: str, part: float) -> str:
    """A colour between two others: "#rrggbb"."""
    a, b = int(color[1:], 16), int(other[1:], 16)
    parts = ((a >> s & 255) * (1 - part) + (b >> s & 255) * part for s in (16, 8, 0))
    return "#" + "".join(f"{round(value):02x}" for value in parts)


def light(color: str, part: float) -> str:
    return mix(color, "#ffffff", part)


def dark(color: str, part: float) -> str:
    return mix(color, "#2a1446", part)  # shadows lean to violet, as in a water-colour


def vary(color: str, rng: Random) -> str:
    """The same colour, as another plant of its kind would have it."""
    hue, lightness, saturation = colorsys.rgb_to_hls(*(int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)))
    hue, lightness = (hue + rng.uniform(-0.013, 0.013)) % 1, lightness * rng.uniform(0.95, 1.03)
    rgb = colorsys.hls_to_rgb(hue, lightness, saturation)
    return "#" + "".join(f"{min(255, round(255 * value)):02x}" for value in rgb)


def gradient(name: str, *stops: tuple[float, str], kind: str = "linear", where: str) -> str:
    inner = "".join(f'<stop offset="{at:g}" stop-color="{color}"/>' for at, color in stops)
    return f'<{kind}Gradient id="{name}" gradientUnits="userSpaceOnUse" {where}>{inner}</{kind}Gradient>'


def path(d: str, fill: str, more: str = "") -> str:
    return f'<path d="{d}" fill="{fill}" {more}/>'


def line(d: str, color: str, width: float, more: str = "") -> str:
    return f'<path d="{d}" fill="none" stroke="{color}" stroke-width="{width:g}" stroke-linecap="round" {more}/>'


def outlined(color: str, width: float) -> str:
    return f'stroke="{dark(color, 0.42)}" stroke-width="{width:g}" stroke-linejoin="round"'


def dots(places) -> str:
    """One path of many discs (x, y, radius): cheaper to draw than as many circles."""
    return "".join(f"M{x - r:.2f} {y:.2f}a{r:g} {r:g} 0 1 1 0 .01z" for x, y, r in places)


def use(symbol: str, x: float, y: float, turn: float, sx: float, sy: float) -> str:
    return f'<use href="#{symbol}" transform="translate({x:.2f} {y:.2f})rotate({turn:.1f})scale({sx:.3f} {sy:.3f})"/>'


def along(curve, t: float) -> tuple[float, float]:
    """The point at t (0 to 1) of a cubic Bezier curve."""
    weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
    return tuple(sum(w * point[axis] for w, point in zip(weights, curve, strict=True)) for axis in (0, 1))


# --- petals -----------------------------------------------------------------------------------------------------------

OUTLINES = {  # of petals that grow upwards from 0,0 to the height 1; the unit of x is half of their breadth
    "round": "M0,0 C-.75,.15 -1.15,.5 -1,.72 C-.85,1.09 .85,1.09 1,.72 C1.15,.5 .75,.15 0,0 Z",
    "pointed": "M0,0 C-.75,.12 -1.2,.42 -.92,.6 C-.7,.76 -.2,.86 0,1.06 C.2,.86 .7,.76 .92,.6 C1.2,.42 .75,.12 0,0 Z",
    "narrow": "M0,0 C-.34,.2 -.5,.5 -.46,.85 C-.44,1.05 .44,1.05 .46,.85 C.5,.5 .34,.2 0,0 Z",
    "heart": "M0,0 C-.6,.15 -1.45,.7 -1.08,.92 C-.8,1.12 -.2,1.08 0,.74 C.2,1.08 .8,1.12 1.08,.92 "
    "C1.45,.7 .6,.15 0,0 Z",
    "ruffled": "M0,0 C-.5,.12 -1.05,.35 -.98,.52 C-1.5,.58 -1.42,.8 -.92,.78 C-1.1,1.02 -.55,1.1 -.4,.9 "
    "C-.36,1.16 .36,1.16 .4,.9 C.55,1.1 1.1,1.02 .92,.78 C1.42,.8 1.5,.58 .98,.52 C1.05,.35 .5,.12 0,0 Z",
}


@cache
def petal(shape: str, length: float, width: float, start: float = 0) -> str:
    """The outline of a petal from (0, -start) to (0, -length); `width` is half of its breadth."""

    def placed(pair) -> str:
        return f"{float(pair[1]) * width:.2f} {-start - float(pair[2]) * (length - start):.2f} "

    return re.sub(r"([-.\d]+),([-.\d]+) ", placed, OUTLINES[shape])


def petal_gradient(spec: Flower, length: float, main: str, second: str, name: str = "main") -> str:
    """The colours along a petal."""
    if spec.pattern == "centre" and spec.arrangement != "dome":
        reach = 0.74 if spec.arrangement == "layered" else 0.56
        stops = [(0.1, dark(second, 0.15)), (reach, second), (reach + 0.06, main)]
        return gradient(name, *stops, kind="radial", where=f'cx="0" cy="0" r="{length}"')
    # Along a petal a linear gradient looks the same as a radial one, and is drawn faster.
    stops = [(0.08, dark(main, 0.16 if spec.color == "white" else 0.3)), (0.8, light(main, 0.1))]
    return gradient(name, *stops, where=f'x2="0" y2="-{length}"')


def petal_symbol(spec: Flower, length: float, width: float, main: str, second: str, name="petal", fill="main") -> str:
    """One petal with its pattern as a group called `name`, coloured by the gradient called `fill`."""
    shape, edged = spec.petal_shape, spec.pattern == "edges"
    breadth = width * (0.46 if shape == "narrow" else 1)
    # The outline is a larger, darker petal below: cheaper to draw than a stroke.
    outline = path(petal(shape, length + 0.5, width + 0.6, start=-0.5), dark(second if edged else main, 0.42))
    parts = [outline, path(petal(shape, length, width), second if edged else f"url(#{fill})")]
    if edged:
        rim = max(1.9, 0.25 * breadth)
        parts.append(path(petal(shape, length - rim, width * (1 - rim / breadth), start=1), f"url(#{fill})"))
    elif spec.pattern == "striped" and breadth > 7:
        bends = "".join(
            f"M{0.3 * o * breadth:.2f} {-0.22 * length:.2f}Q{1.1 * o * breadth:.2f} {-0.5 * length:.2f} "
            f"{o * breadth:.2f} {-(0.87 - 0.22 * abs(o)) * length:.2f}"
            for o in (-0.44, 0, 0.44)
        )
        parts.append(line(bends, second, min(2.8, 0.24 * breadth)))
    elif spec.pattern == "striped":  # one stripe along a narrow petal would look like edges, so its stripes run across
        bands = "".join(f"M{-0.5 * breadth:.2f} {-y * length:.2f}h{breadth:.2f}" for y in (0.42, 0.62, 0.82))
        parts.append(line(bands, second, 2.4))
    elif spec.pattern == "spotted":
        x, tall, r = 0.4 * breadth, 0.88 if shape == "heart" else 1, max(1.6, min(2.2, 0.22 * breadth))
        places = [(0, 0.47), (-1, 0.66), (1, 0.66), (0, 0.84)] if breadth > 4.5 else [(0, 0.5), (0, 0.67), (0, 0.84)]
        parts.append(path(dots((sx * x, -sy * tall * length, r) for sx, sy in places), second))
    if spec.pattern in ("plain", "centre", "edges") and spec.petal_count != "many":
        veins = "".join(
            f"M0 {-0.2 * length:.2f}Q{o * breadth:.2f} {-0.45 * length:.2f} {o * breadth:.2f} {-0.68 * length:.2f}"
            for o in (-0.45, 0, 0.45)
        )
        parts.append(line(veins, dark(main, 0.4), 0.5, 'stroke-opacity=".4"'))
    return f'<g id="{name}">{"".join(parts)}</g>'


# --- heads of flowers: each is (definitions, drawing around the point 0, 0) -------------------------------------------


def from_the_sides(n: int) -> list[int]:
    """0 ... n - 1, those in the middle last: they are in front of the others."""
    return sorted(range(n), key=lambda k: -abs(k - (n - 1) / 2))


def center_radius(spec: Flower) -> float:
    small, large = (4.2, 8) if spec.arrangement == "bell" else (4.6, 9.6)
    return large if spec.center_size == "large" else small


def stamens(spec: Flower, color: str, y: float = 0) -> str:
    """The disc of stamens around (0, y)."""
    r, shade = center_radius(spec), dark(color, 0.45)
    grains = [(math.sqrt(k / 14) * 0.82 * r, 2.39996 * k) for k in range(1, 15 if r > 7 else 5)]  # a golden spiral
    grains = dots((d * math.cos(a), y + d * math.sin(a), 0.06 * r + 0.2) for d, a in grains)
    disc = f'<circle cx="0.00" cy="{y:.2f}" r="{r}" fill="url(#disc)" stroke="{shade}" stroke-width="1"/>'
    return disc + path(grains, shade, 'fill-opacity=".55"')


def rosette(spec: Flower, rng: Random, main: str, second: str, center: str) -> tuple[str, str]:
    """Petals around the centre, seen from the front: one ring, or a second, smaller one on top of it."""
    length, n, first = 30, PETALS[spec.petal_count], rng.uniform(-10, 10)
    slim = {"pointed": 0.76, "ruffled": 0.68, "heart": 0.9, "round": 0.94, "narrow": 1}[spec.petal_shape]
    width = length * slim * (0.76 * math.tan(math.pi / n) if n > 4 else 0.52)
    parts = []
    for scale, offset in [(1.0, 0.0)] if spec.arrangement == "open" else [(1.06, 0.0), (0.67, 0.5)]:
        if scale < 1:
            n = min(n, 8)  # more would only blur
            parts.append(f'<circle r="{0.62 * length:.1f}" fill="{dark(main, 0.6)}" fill-opacity=".4"/>')  # its shadow
        for k in range(n):
            turn = first + 360 * (k + offset) / n + rng.uniform(-0.05, 0.05) * 360 / n
            parts.append(use("petal", 0, 0, turn, scale * rng.uniform(0.93, 1.04), scale * rng.uniform(0.93, 1.04)))
    symbol = petal_symbol(spec, length, width, main, second)
    return symbol + petal_gradient(spec, length, main, second), "".join(parts) + stamens(spec, center)


def dome(spec: Flower, rng: Random, main: str, second: str, center: str) -> tuple[str, str]:
    """A half-sphere seen from the side: rows of small petals that overlap like tiles, from the rim to the top."""
    parts = [path("M-24 12C-25 -32 25 -32 24 12Q0 22 -24 12Z", dark(main, 0.3))]
    symbols, gradients = petal_symbol(spec, 18, 8.2, main, second), petal_gradient(spec, 18, main, second)
    if spec.pattern == "centre":  # the petals around the disc have the second colour
        symbols += petal_symbol(spec, 18, 8.2, second, second, "inner", "second")
        gradients += petal_gradient(spec, 18, second, second, "second")
    breadth = 1.35 if spec.petal_shape == "narrow" else 1
    for row, (elevation, n) in enumerate([(0.0, 7), (0.46, 6), (0.95, 4)]):
        radius, height = 25 * math.cos(elevation), 4 - 30 * math.sin(elevation)
        symbol = "inner" if spec.pattern == "centre" and row == 2 else "petal"
        for k in from_the_sides(n):
            angle = (k - (n - 1) / 2) / (n - 1) * (2.7 - 0.3 * row) + rng.uniform(-0.05, 0.05)
            x, y = radius * math.sin(angle), height + 0.32 * radius * math.cos(angle)
            size = rng.uniform(0.94, 1.08)
            parts.append(use(symbol, x, y, 180 - 44 * angle, size * breadth, size))
    return symbols + gradients, "".join(parts) + stamens(spec, center, -25)


BELL_LENGTH, BELL_RADIUS = 37, 29


def rib(f: float, length: float) -> list[tuple[float, float]]:
    """The line from the stalk to the mouth of a bell at the fraction f of its breadth (-1 left, 1 right): a Bezier."""
    x = BELL_RADIUS * f
    return [(3 * f, 0), (1.15 * x, 0), (0.52 * x, -0.6 * length), (x, -length)]


def lobe(shape: str, left: float, right: float, length: float) -> str:
    """One lobe of a bell between two of its ribs, with its tip."""
    middle, breadth = (left + right) / 2, right - left
    if shape == "narrow":
        left, right = middle - 0.27 * breadth, middle + 0.27 * breadth
    a, b = rib(left, length), rib(right, length)
    x0, x, x1 = a[3][0], BELL_RADIUS * middle * 1.06, b[3][0]
    tip = {
        "round": f"C{x0 - 0.6:.2f} {-length - 9:.2f} {x1 + 0.6:.2f} {-length - 9:.2f} ",
        "pointed": f"L{x:.2f} {-length - 11:.2f} L",
        "narrow": f"C{x0 + x * 0.1:.2f} {-length - 12:.2f} {x1 + x * 0.1:.2f} {-length - 12:.2f} ",
    }[shape]
    down = " ".join(f"{px:.2f} {py:.2f}" for px, py in a[1:])
    up = " ".join(f"{px:.2f} {py:.2f}" for px, py in b[2::-1])
    return f"M{a[0][0]:.2f} 0C{down}{tip}{x1:.2f} {-length:.2f}C{up}Z"


def bell(spec: Flower, rng: Random, main: str, second: str, center: str) -> tuple[str, str]:
    """A bell seen from the side, opening upwards; the lobes of its rim are its petals."""
    n, length, shape, edged = PETALS[spec.petal_count], BELL_LENGTH, spec.petal_shape, spec.pattern == "edges"
    slim = 0.5 if shape == "narrow" else 1
    cuts = [-1 + 2 * k / n + (rng.uniform(-0.05, 0.05) * 2 / n if 0 < k < n else 0) for k in range(n + 1)]
    disc_y = -length - 10 - 0.75 * center_radius(spec)  # clear of the tips
    threads = "".join(f"M0 {-0.6 * length:.2f}L{x} {disc_y + 2:.2f}" for x in (-2.5, 0, 2.5))
    throat = path(lobe("round", -0.84, 0.84, 0.84 * length), dark(main, 0.5))
    parts = [throat, line(threads, dark(center, 0.3), 1.1), stamens(spec, center, disc_y)]
    fill, outline = (second, outlined(second, 1)) if edged else ("url(#main)", outlined(main, 1))
    for k in from_the_sides(n):
        middle, half = (cuts[k] + cuts[k + 1]) / 2, (cuts[k + 1] - cuts[k]) / 2
        tall = length * rng.uniform(0.97, 1.03)
        parts.append(path(lobe(shape, cuts[k], cuts[k + 1], tall), fill, outline))
        if edged:
            keep = max(0.42, 1 - 2.2 / (half * slim * BELL_RADIUS)) * half
            parts.append(path(lobe(shape, middle - keep, middle + keep, tall - 3), "url(#main)"))
        elif spec.pattern == "striped":
            reach = 0.62 * half * slim
            ends = [[along(rib(middle + f, tall), t) for f in (-reach, reach)] for t in (0.36, 0.64, 0.92)]
            parts.append(line("".join(f"M{a[0]:.2f} {a[1]:.2f}L{b[0]:.2f} {b[1]:.2f}" for a, b in ends), second, 2.8))
        elif spec.pattern == "spotted":
            side = 0.45 if half * slim > 0.2 else 0
            places = [(0, 0.3), (-side, 0.55), (side, 0.55), (0, 0.8), (-side, 1.02), (side, 1.02)]
            spots = (along(rib(middle + f * half, tall), t) for f, t in places)
            parts.append(path(dots((x, y, 1.6) for x, y in spots), second))
    calyx = path("M-5 3C-6 -3 -4 -6 -3.500 -8Q-2 -4 0 -4Q2 -4 3.500 -8C4 -6 6 -3 5 3Z", "url(#leafy)")
    return petal_gradient(spec, BELL_LENGTH + 8, main, second), "".join([*parts, calyx])


HEADS = {"open": rosette, "layered": rosette, "bell": bell, "dome": dome}


# --- everything around the head ---------------------------------------------------------------------------------------

SKIES = {  # (offset, colour) from top to bottom
    "sky": ((0, "#a9dcf7"), (1, "#ecf8fd")),
    "meadow": ((0, "#e3f3b9"), (1, "#9fce69")),
    "dusk": ((0, "#a88bc0"), (0.5, "#e2a9ae"), (0.72, "#f6c9a6")),
    "night": ((0, "#141a3f"), (1, "#2f3768")),
    "cream": ((0, "#fbf3e2"), (1, "#f3e3c8")),
}


def paint_background(background: str, rng: Random) -> str:
    """What is in front of the sky."""
    if background == "sky":
        x, y = rng.uniform(5, 35), rng.uniform(12, 30)
        puffs = [(0, 0, 7), (9, -4, 9), (19, 0, 7), (9, 2, 7)]
        clouds = [(x + a + dx, y + b + dy, r) for a, b in ((0, 0), (55, 32)) for dx, dy, r in puffs]
        hills = path("M0 86Q25 76 52 84T100 80V100H0Z", "#bfe0c9") + path("M0 93Q30 86 60 92T100 90V100H0Z", "#a9d6b0")
        return path(dots(clouds), "#ffffff", 'fill-opacity=".8"') + hills
    if background == "meadow":
        tips = [(8 * k + rng.uniform(-3, 3), rng.uniform(76, 88)) for k in range(14)]
        blades = "".join(f"M{x - 1.5:.1f} 100L{x + rng.uniform(-5, 5):.1f} {y:.1f}L{x + 1.5:.1f} 100Z" for x, y in tips)
        daisies = [(rng.uniform(2, 98), rng.uniform(40, 74), rng.uniform(0.7, 1.3)) for _ in range(10)]
        hills = path("M0 30Q30 16 60 28T100 24V100H0Z", "#bfe08a") + path("M0 58Q35 44 70 56T100 52V100H0Z", "#a6d270")
        return hills + path(dots(daisies), "#f9fbe0", 'fill-opacity=".8"') + path(blades, "#86bd55")
    if background == "dusk":
        sun_x, sun_y = rng.uniform(15, 85), rng.uniform(58, 66)
        haze = path("M-5 30Q30 26 60 31T105 29V33Q60 36 30 32T-5 35Z", "#ffd9c0", 'fill-opacity=".45"')
        sun = f'<circle cx="{sun_x:.1f}" cy="{sun_y:.1f}" r="13" fill="#ffe9c4"/>'
        hills = path("M0 76Q22 64 48 74T100 68V100H0Z", "#8d6489") + path("M0 88Q30 78 62 86T100 82V100H0Z", "#6f4d78")
        return haze + sun + hills
    if background == "night":
        stars = [(rng.uniform(2, 98), rng.uniform(2, 84), rng.uniform(0.35, 0.9)) for _ in range(18)]
        x, y = rng.choice([rng.uniform(8, 16), rng.uniform(84, 92)]), rng.uniform(9, 16)
        moon = path(f"M{x:.1f} {y - 6:.1f}a6 6 0 1 0 5 9a5 5 0 0 1 -5 -9z", "#fdf3c8")
        hill = path("M0 90Q30 80 60 88T100 84V100H0Z", "#10142f")
        return path(dots(stars), "#f4efcf", 'fill-opacity=".85"') + moon + hill
    x = rng.uniform(40, 60)  # cream: an arch behind a table
    arch = path(f"M{x - 36:.1f} 100V46A36 36 0 0 1 {x + 36:.1f} 46V100Z", "#efdcbc", 'fill-opacity=".75"')
    return arch + path("M0 92H100V100H0Z", "#d9bd94")


def stem_and_leaves(spec: Flower, rng: Random, x: float, y: float, drooping: bool) -> tuple[str, str]:
    """(definitions, drawing) of the stem from the head of the flower at (x, y) to the ground, and of its leaves."""
    side, stem = rng.choice([-1, 1]), "#57983c"
    foot = 50 + rng.uniform(-9, 9) + (20 * side if drooping else 0)
    if drooping:  # the stem rises beside the bell and bends over
        curve = [(foot, 104), (foot - 2 * side, 30), (x + 14 * side, y - 16), (x, y)]
    else:
        bend = foot + rng.uniform(-12, 12)
        curve = [(foot, 104), (bend, 88), ((x + bend) / 2, 70), (x, y)]
    start, *rest = (f"{px:.2f} {py:.2f}" for px, py in curve)
    drawing = line(f"M{start}C{' '.join(rest)}", dark(stem, 0.1), 2.8)
    defs = gradient("leafy", (0, dark(stem, 0.15)), (1, light(stem, 0.2)), where='x1="-5" y1="0" x2="5" y2="0"')
    if spec.leaves != "none":
        color = vary(LEAVES[spec.leaves], rng)
        ribs = "M0 0V-26M0 -8L-5 -13M0 -8L5 -13M0 -15L-4.500 -19.500M0 -15L4.500 -19.500"
        blade = path("M0 0C-11 -7 -9 -21 0 -31C9 -21 11 -7 0 0Z", color, outlined(color, 1.6))
        defs += f'<g id="leaf-blade">{blade}{line(ribs, light(color, 0.45), 0.8)}</g>'
        for t, direction in [(0.04, -1), (0.13, 1)] if drooping else [(0.02, -1), (0.06, 1)]:
            leaf_x, leaf_y = along(curve, t)
            size = rng.uniform(0.9, 1.15)
            drawing += use("leaf-blade", leaf_x, min(leaf_y, 99), direction * rng.uniform(48, 66), size, size)
    return defs, drawing


def draw(spec: Flower) -> str:
    """The SVG of a flower: sky, land, stem, leaves, and the head on top."""
    rng = Random(spec.variation)
    main, center = vary(COLORS[spec.color], rng), vary(CENTERS[spec.center_color], rng)
    second = vary(COLORS.get(spec.second_color, COLORS[spec.color]), rng)
    land = paint_background(spec.background, rng)
    drooping = spec.arrangement == "bell" and rng.random() < 0.5
    x, y = 50 + rng.uniform(-4, 4), 41 + rng.uniform(-3, 3)
    scale, tilt, squash = rng.uniform(0.9, 1.02), rng.uniform(-14, 14), 1.0
    head_defs, head = HEADS[spec.arrangement](spec, rng, main, second, center)
    if spec.arrangement == "bell":
        y, tilt = (15 if drooping else 71) + rng.uniform(-2, 2), tilt + 180 * drooping
    elif spec.arrangement != "dome":  # seen a little from the side
        squash = rng.uniform(0.86, 1)
    stem_defs, stem = stem_and_leaves(spec, rng, x, y, drooping)
    sky = " ".join(f'<stop offset="{at}" stop-color="{color}"/>' for at, color in SKIES[spec.background])
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100"><defs>'
        f'<linearGradient id="sky" gradientUnits="userSpaceOnUse" x2="0" y2="100">{sky}</linearGradient>'
        f"{head_defs}{stem_defs}"
        f'<radialGradient id="disc" cx=".38" cy=".35" r=".7"><stop stop-color="{light(center, 0.25)}"/>'
        f'<stop offset=".55" stop-color="{center}"/><stop offset="1" stop-color="{dark(center, 0.22)}"/>'
        "</radialGradient></defs>"
        f'<rect width="100" height="{HORIZON[spec.background]}" fill="url(#sky)" shape-rendering="crispEdges"/>'
        f"{land}{stem}"
        f'<g transform="translate({x:.2f} {y:.2f})rotate({tilt:.1f})scale({scale:.3f} {scale * squash:.3f})">{head}</g>'
        "</svg>"
    )


# --- the world --------------------------------------------------------------------------------------------------------


def check_form(facts: dict[str, str]) -> None:
    """Raise `ValueError` if no flower of this world keeps all these promises."""
    form = [facts.get(key) for key in ("arrangement", "petal_count", "petal_shape", "pattern")]
    if not any(all(told in (None, real) for told, real in zip(form, real_form, strict=True)) for real_form in FORMS):
        raise ValueError(f"No flower of this world is all of this at once: {', '.join(filter(None, form))}.")
    if "color" in facts and facts["color"] == facts.get("second_color"):
        raise ValueError(f"The second color must differ from the first, which is {facts['color']!r} already.")


class Flowers(World):
    """The world of flowers: millions of different ones, and their natural variation on top."""

    name = "flowers"
    attributes = ATTRIBUTES
    vocabulary = language.VOCABULARY
    withheld = (
        {"color": "blue", "pattern": "striped"},
        {"color": "purple", "center_color": "white"},
        {"arrangement": "bell", "color": "orange"},
        {"petal_count": "five", "petal_shape": "heart"},
    )

    def sample(self, rng) -> Flower:
        """Any flower that can grow here; choices one after the other, so that rare forms are not too rare."""
        arrangement = pick(rng, ("open", "open", "layered", "bell", "dome"))
        count = pick(rng, COUNTS[arrangement])
        shape = pick(rng, shapes_of(arrangement, count))
        color, pattern = pick(rng, tuple(COLORS)), pick(rng, patterns_of(arrangement, count, shape))
        second = "none" if pattern == "plain" else pick(rng, [c for c in COLORS if c != color])
        rest = [pick(rng, ATTRIBUTES[key]) for key in ("center_color", "center_size", "leaves", "background")]
        return Flower(count, shape, arrangement, color, second, pattern, *rest, variation=int(rng.integers(2**31)))

    def truth(self, spec: Flower) -> dict[str, str]:
        """Every attribute of the flower."""
        return {key: getattr(spec, key) for key in ATTRIBUTES}

    def describe(self, spec: Flower, rng) -> tuple[str, dict[str, str]]:
        """One caption of one to five attributes, and the facts that it promises."""
        return language.write(self.truth(spec), rng)

    def facts(self, caption: str) -> dict[str, str]:
        """What a caption promises. Raises `UnknownWord` for a word without a meaning here."""
        facts = language.read(caption, ATTRIBUTES)
        check_form(facts)
        return facts
