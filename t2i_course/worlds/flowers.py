"""Flowers, captioned in the manner of Oxford-102: "this flower has five pointed red petals with white edges".

What a picture is made of (`Flower`), what may occur together (`COUNTS`, `shapes_of`), and what a phrase promises:

- *Petals.* "five petals" counts what is seen: all petals of an open flower, the outer ring of a layered one, the lobes
  of a bell that face us. "a lot of" petals is `many` (twelve in a ring). A dome always has many. Many petals and bells
  come only in the shapes that stay visible there: round, pointed, narrow. "small" or "large" petals promise nothing.
- *Colours.* Of "petals that are pink, white, and yellow" the first is `color`, the second `second_color`, the third
  `center_color`. "red with white edges" and "white-edged" name the second colour by its pattern; in "blue striped
  petals" blue is the main one. `centre` is the pattern of petals whose inner half has the second colour, said as
  "a white base" or "white towards the centre"; "a white centre" is the disc of stamens, `center_color`.
- *plain* petals have no second colour. "red petals" alone promise only red: they may still have white edges.
- *Leaves* without a colour are green ones. Sizes and shapes of leaves, stems and of the whole flower promise nothing.
- *Backgrounds*: a blue one is the sky, a green one the meadow, a dark one the night.

An attribute that is promised twice with different values is a `ValueError`, and so is a flower that cannot grow here.
"""

import colorsys
import math
from dataclasses import dataclass
from functools import cache
from random import Random

from .base import World
from .language import NUMBERS, a_or_an, check_words, join, pick, words

# --- values, and the words for them -----------------------------------------------------------------------------------

PETALS = {"three": 3, "four": 4, "five": 5, "six": 6, "eight": 8, "many": 12}
COUNTS = {  # what can be counted in which arrangement
    "open": tuple(PETALS),
    "layered": tuple(PETALS),
    "bell": ("three", "four", "five", "six"),
    "dome": ("many",),
}
SIMPLE_SHAPES = ("round", "pointed", "narrow")
SHAPES = (*SIMPLE_SHAPES, "heart", "ruffled")
PALETTE = {
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
BACKGROUNDS = ("sky", "meadow", "dusk", "night", "cream")
ATTRIBUTES = {
    "petal_count": tuple(PETALS),
    "petal_shape": SHAPES,
    "arrangement": tuple(COUNTS),
    "color": tuple(PALETTE),
    "second_color": ("none", *PALETTE),
    "pattern": PATTERNS,
    "center_color": tuple(CENTERS),
    "center_size": ("small", "large"),
    "leaves": ("none", *LEAVES),
    "background": BACKGROUNDS,
}


def shapes_of(arrangement: str, petal_count: str) -> tuple[str, ...]:
    """The petal shapes that can be told apart in such a flower."""
    return SIMPLE_SHAPES if arrangement in ("bell", "dome") or petal_count == "many" else SHAPES


FORMS = tuple((a, count, shape) for a, counts in COUNTS.items() for count in counts for shape in shapes_of(a, count))


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
        """The picture, a square SVG with a view box of 100 by 100."""
        return _draw(self)


# --- drawing ----------------------------------------------------------------------------------------------------------


def _mix(color: str, other: str, amount: float) -> str:
    """`amount` of the way from one "#rrggbb" to another."""
    a, b = int(color[1:], 16), int(other[1:], 16)
    parts = ((a >> s & 255) * (1 - amount) + (b >> s & 255) * amount for s in (16, 8, 0))
    return "#" + "".join(f"{round(part):02x}" for part in parts)


def _light(color: str, amount: float) -> str:
    return _mix(color, "#ffffff", amount)


def _dark(color: str, amount: float) -> str:
    return _mix(color, "#2a1446", amount)  # shadows lean to violet, as in a water-colour


def _vary(color: str, rng: Random) -> str:
    """The same colour, as another plant of its kind would have it."""
    r, g, b = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    h, lightness, s = colorsys.rgb_to_hls(r, g, b)
    varied = colorsys.hls_to_rgb((h + rng.uniform(-0.013, 0.013)) % 1, lightness * rng.uniform(0.95, 1.03), s)
    return "#" + "".join(f"{min(255, round(255 * c)):02x}" for c in varied)


def _gradient(name: str, *stops: tuple[float, str], kind: str = "linear", where: str) -> str:
    inner = "".join(f'<stop offset="{at:g}" stop-color="{color}"/>' for at, color in stops)
    return f'<{kind}Gradient id="{name}" gradientUnits="userSpaceOnUse" {where}>{inner}</{kind}Gradient>'


def _fill(d: str, fill: str, more: str = "") -> str:
    return f'<path d="{d}" fill="{fill}" {more}/>'


def _line(d: str, color: str, width: float, more: str = "") -> str:
    return f'<path d="{d}" fill="none" stroke="{color}" stroke-width="{width:g}" stroke-linecap="round" {more}/>'


def _dots(dots) -> str:
    """One path of many discs (x, y, radius): cheaper to draw than as many circles."""
    return "".join(f"M{x - r:.2f} {y:.2f}a{r:g} {r:g} 0 1 1 0 .01z" for x, y, r in dots)


@cache
def _petal(shape: str, length: float, width: float, start: float = 0) -> str:
    """The outline of a petal that grows upwards from (0, -start) to (0, -length); `width` is half of its breadth."""

    def path(text):  # numbers in units of width and length
        pairs = (pair.split(",") for pair in text.split() if "," in pair)
        placed = iter([f"{float(x) * width:.2f} {-start - float(y) * (length - start):.2f}" for x, y in pairs])
        return "".join(next(placed) + " " if "," in part else part for part in text.split())

    return path(
        {
            "round": "M 0,0 C -.75,.15 -1.15,.5 -1,.72 C -.85,1.09 .85,1.09 1,.72 C 1.15,.5 .75,.15 0,0 Z",
            "pointed": "M 0,0 C -.75,.12 -1.2,.42 -.92,.6 C -.7,.76 -.2,.86 0,1.06 C .2,.86 .7,.76 .92,.6 "
            "C 1.2,.42 .75,.12 0,0 Z",
            "narrow": "M 0,0 C -.34,.2 -.5,.5 -.46,.85 C -.44,1.05 .44,1.05 .46,.85 C .5,.5 .34,.2 0,0 Z",
            "heart": "M 0,0 C -.6,.15 -1.45,.7 -1.08,.92 C -.8,1.12 -.2,1.08 0,.74 C .2,1.08 .8,1.12 1.08,.92 "
            "C 1.45,.7 .6,.15 0,0 Z",
            "ruffled": "M 0,0 C -.5,.12 -1.05,.35 -.98,.52 C -1.5,.58 -1.42,.8 -.92,.78 C -1.1,1.02 -.55,1.1 -.4,.9 "
            "C -.36,1.16 .36,1.16 .4,.9 C .55,1.1 1.1,1.02 .92,.78 C 1.42,.8 1.5,.58 .98,.52 C 1.05,.35 .5,.12 0,0 Z",
        }[shape]
    )


def _petal_symbol(spec: Flower, length: float, width: float, main: str, second: str) -> tuple[str, str]:
    """One petal with its pattern as `<g id="petal">`, and the gradient "main" that colours it."""
    shadow = 0.16 if spec.color == "white" else 0.3
    stops = [(0.08, _dark(main, shadow)), (0.8, _light(main, 0.1))]
    if spec.pattern == "centre" and spec.arrangement != "dome":
        reach = 0.74 if spec.arrangement == "layered" else 0.56
        stops = [(0.1, _dark(second, 0.15)), (reach, second), (reach + 0.06, main)]
        gradient = _gradient("main", *stops, kind="radial", where=f'cx="0" cy="0" r="{length}"')
    else:  # along a petal a linear gradient looks the same as a radial one, and is drawn faster
        gradient = _gradient("main", *stops, where=f'x2="0" y2="-{length}"')
    edged = spec.pattern == "edges"
    # The outline is a larger, darker petal below: cheaper to draw than a stroke.
    parts = [
        _fill(_petal(spec.petal_shape, length + 0.5, width + 0.6, start=-0.5), _dark(second if edged else main, 0.42)),
        _fill(_petal(spec.petal_shape, length, width), second if edged else "url(#main)"),
    ]
    breadth = width * (0.46 if spec.petal_shape == "narrow" else 1)
    if edged:
        rim = max(1.9, 0.25 * breadth)
        parts.append(_fill(_petal(spec.petal_shape, length - rim, width * (1 - rim / breadth), start=1), "url(#main)"))
    elif spec.pattern == "striped":
        if breadth > 5.5:
            bend = "".join(
                f"M{0.3 * o * breadth:.2f} {-0.22 * length:.2f}Q{1.1 * o * breadth:.2f} {-0.5 * length:.2f} "
                f"{o * breadth:.2f} {-(0.87 - 0.22 * abs(o)) * length:.2f}"
                for o in ((-0.44, 0, 0.44) if breadth > 7 else (-0.4, 0.4))
            )
            parts.append(_line(bend, second, min(2.8, 0.24 * breadth)))
        else:  # one stripe along a narrow petal would look like edges, so its stripes run across
            bands = "".join(f"M{-0.5 * breadth:.2f} {-y * length:.2f}h{breadth:.2f}" for y in (0.42, 0.62, 0.82))
            parts.append(_line(bands, second, 2.4))
    elif spec.pattern == "spotted":
        x, r = 0.4 * breadth, max(1.25, min(2, 0.2 * breadth))
        places = [(0, 0.47), (-1, 0.66), (1, 0.66), (0, 0.84)] if breadth > 4.5 else [(0, 0.5), (0, 0.67), (0, 0.84)]
        tall = 0.88 if spec.petal_shape == "heart" else 1
        parts.append(_fill(_dots((sx * x, -sy * tall * length, r) for sx, sy in places), second))
    if spec.pattern in ("plain", "centre", "edges") and spec.petal_count != "many":
        veins = "".join(
            f"M0 {-0.2 * length:.2f}Q{o * breadth:.2f} {-0.45 * length:.2f} {o * breadth:.2f} {-0.68 * length:.2f}"
            for o in (-0.45, 0, 0.45)
        )
        parts.append(_line(veins, _dark(main, 0.4), 0.5, 'stroke-opacity=".4"'))
    return f'<g id="petal">{"".join(parts)}</g>', gradient


def _use(symbol: str, x=0.0, y=0.0, turn=0.0, sx=1.0, sy=1.0) -> str:
    return f'<use href="#{symbol}" transform="translate({x:.2f} {y:.2f})rotate({turn:.1f})scale({sx:.3f} {sy:.3f})"/>'


def _center_radius(spec: Flower) -> float:
    small, large = (4.2, 8) if spec.arrangement == "bell" else (4.6, 9.6)
    return large if spec.center_size == "large" else small


def _center(spec: Flower, color: str, x: float = 0, y: float = 0) -> str:
    """The disc of stamens."""
    r = _center_radius(spec)
    grains = [(math.sqrt(k / 14) * 0.82 * r, 2.39996 * k) for k in range(1, 15 if r > 7 else 5)]
    grains = _dots((x + d * math.cos(a), y + d * math.sin(a), 0.06 * r + 0.2) for d, a in grains)
    shade = _dark(color, 0.45)
    disc = f'<circle cx="{x:.2f}" cy="{y:.2f}" r="{r}" fill="url(#disc)" stroke="{shade}" stroke-width="1"/>'
    return disc + _fill(grains, shade, 'fill-opacity=".55"')


def _rosette(spec: Flower, rng: Random, length: float, width: float) -> str:
    """Petals around the centre, seen from the front: one ring, or a second, smaller one on top of it."""
    n, first = PETALS[spec.petal_count], rng.uniform(-10, 10)
    rings = [(1.0, 0.0)] if spec.arrangement == "open" else [(1.06, 0.0), (0.67, 0.5)]
    parts = []
    for scale, offset in rings:
        n = min(n, 8) if scale < 1 else n  # the inner ring of many petals would only blur
        for k in range(n):
            turn = first + 360 * (k + offset) / n + rng.uniform(-0.05, 0.05) * 360 / n
            parts.append(_use("petal", 0, 0, turn, scale * rng.uniform(0.93, 1.04), scale * rng.uniform(0.93, 1.04)))
    return "".join(parts)


def _dome(spec: Flower, rng: Random, main: str) -> str:
    """A half-sphere seen from the side: rows of small petals that overlap like tiles, from the rim to the top."""
    parts = [_fill("M-24 12C-25 -32 25 -32 24 12Q0 22 -24 12Z", _dark(main, 0.3))]
    breadth = 1.35 if spec.petal_shape == "narrow" else 1
    for row, (elevation, n) in enumerate([(0.0, 7), (0.46, 6), (0.95, 4)]):
        radius, height = 25 * math.cos(elevation), 4 - 30 * math.sin(elevation)
        petal = "inner" if spec.pattern == "centre" and row >= 2 else "petal"
        for k in sorted(range(n), key=lambda k: -abs(k - (n - 1) / 2)):  # the ones in front come last
            angle = (k - (n - 1) / 2) / (n - 1) * (2.7 - 0.3 * row) + rng.uniform(-0.05, 0.05)
            x, y = radius * math.sin(angle), height + 0.32 * radius * math.cos(angle)
            size = rng.uniform(0.94, 1.08)
            parts.append(_use(petal, x, y, 180 - 44 * angle, size * breadth, size))
    return "".join(parts)


BELL_LENGTH, BELL_RADIUS = 37, 29


def _rib(f: float, length: float) -> list[tuple[float, float]]:
    """The line from the stalk to the mouth of a bell at the fraction f of its breadth (-1 left, 1 right): a Bezier."""
    return [
        (3 * f, 0),
        (1.15 * BELL_RADIUS * f, 0),
        (0.52 * BELL_RADIUS * f, -0.6 * length),
        (BELL_RADIUS * f, -length),
    ]


def _along(rib, t: float) -> tuple[float, float]:
    weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
    return tuple(sum(w * point[axis] for w, point in zip(weights, rib, strict=True)) for axis in (0, 1))


def _lobe(shape: str, left: float, right: float, length: float) -> str:
    """One lobe of a bell between two of its ribs, with its tip."""
    middle, breadth = (left + right) / 2, right - left
    if shape == "narrow":
        left, right = middle - 0.27 * breadth, middle + 0.27 * breadth
    a, b = _rib(left, length), _rib(right, length)
    (x0, _), (x1, y1) = a[3], b[3]
    x = BELL_RADIUS * middle * 1.06
    tip = {
        "round": f"C{x0 - 0.6:.2f} {-length - 9:.2f} {x1 + 0.6:.2f} {-length - 9:.2f} ",
        "pointed": f"L{x:.2f} {-length - 11:.2f} L",
        "narrow": f"C{x0 + x * 0.1:.2f} {-length - 12:.2f} {x1 + x * 0.1:.2f} {-length - 12:.2f} ",
    }[shape]
    down = " ".join(f"{px:.2f} {py:.2f}" for px, py in a[1:])
    up = " ".join(f"{px:.2f} {py:.2f}" for px, py in b[2::-1])
    return f"M{a[0][0]:.2f} 0C{down}{tip}{x1:.2f} {y1:.2f}C{up}Z"


def _bell(spec: Flower, rng: Random, main: str, second: str, center: str) -> str:
    """A bell seen from the side, opening upwards; the lobes of its rim are its petals."""
    n, length = PETALS[spec.petal_count], BELL_LENGTH
    cuts = [-1 + 2 * k / n + (rng.uniform(-0.05, 0.05) * 2 / n if 0 < k < n else 0) for k in range(n + 1)]
    edged = spec.pattern == "edges"
    outline = f'stroke="{_dark(second if edged else main, 0.42)}" stroke-width="1" stroke-linejoin="round"'
    disc_y = -length - 10 - 0.75 * _center_radius(spec)  # clear of the tips
    threads = "".join(f"M0 {-0.6 * length:.2f}L{x} {disc_y + 2:.2f}" for x in (-2.5, 0, 2.5))
    throat = _fill(_lobe("round", -0.84, 0.84, 0.84 * length), _dark(main, 0.5))
    parts = [throat, _line(threads, _dark(center, 0.3), 1.1), _center(spec, center, 0, disc_y)]
    for k in sorted(range(n), key=lambda k: -abs(k - (n - 1) / 2)):
        left, right = cuts[k], cuts[k + 1]
        middle, half = (left + right) / 2, (right - left) / 2
        tall = length * rng.uniform(0.97, 1.03)
        parts.append(_fill(_lobe(spec.petal_shape, left, right, tall), second if edged else "url(#main)", outline))
        slim = 0.5 if spec.petal_shape == "narrow" else 1
        if edged:
            keep = max(0.42, 1 - 2.2 / (half * slim * BELL_RADIUS))
            inner = _lobe(spec.petal_shape, middle - keep * half, middle + keep * half, tall - 3)
            parts.append(_fill(inner, "url(#main)"))
        elif spec.pattern == "striped":
            reach = 0.62 * half * slim
            ends = [[_along(_rib(middle + f, tall), t) for f in (-reach, reach)] for t in (0.36, 0.64, 0.92)]
            parts.append(_line("".join(f"M{a[0]:.2f} {a[1]:.2f}L{b[0]:.2f} {b[1]:.2f}" for a, b in ends), second, 2.8))
        elif spec.pattern == "spotted":
            side = 0.45 if half * slim > 0.2 else 0
            places = [(0, 0.3), (-side, 0.55), (side, 0.55), (0, 0.8), (-side, 1.02), (side, 1.02)]
            dots = (_along(_rib(middle + f * half, tall), t) for f, t in places)
            parts.append(_fill(_dots((x, y, 1.6) for x, y in dots), second))
    calyx = _fill("M-5 3C-6 -3 -4 -6 -3.500 -8Q-2 -4 0 -4Q2 -4 3.500 -8C4 -6 6 -3 5 3Z", "url(#leafy)")
    return "".join([*parts, calyx])


def _sky(rng):
    x, y = rng.uniform(5, 35), rng.uniform(12, 30)
    puffs = [(0, 0, 7), (9, -4, 9), (19, 0, 7), (9, 2, 7)]
    clouds = [(x + dx, y + dy, r) for dx, dy, r in puffs] + [(x + 55 + dx, y + 32 + dy, r) for dx, dy, r in puffs]
    far = _fill("M0 86Q25 76 52 84T100 80V100H0Z", "#bfe0c9") + _fill("M0 93Q30 86 60 92T100 90V100H0Z", "#a9d6b0")
    return ((0, "#a9dcf7"), (1, "#ecf8fd")), _fill(_dots(clouds), "#ffffff", 'fill-opacity=".8"') + far


def _meadow(rng):
    tips = [(8 * k + rng.uniform(-3, 3), rng.uniform(76, 88)) for k in range(14)]
    blades = "".join(f"M{x - 1.5:.1f} 100L{x + rng.uniform(-5, 5):.1f} {y:.1f}L{x + 1.5:.1f} 100Z" for x, y in tips)
    daisies = [(rng.uniform(2, 98), rng.uniform(40, 74), rng.uniform(0.7, 1.3)) for _ in range(10)]
    hills = _fill("M0 30Q30 16 60 28T100 24V100H0Z", "#bfe08a") + _fill("M0 58Q35 44 70 56T100 52V100H0Z", "#a6d270")
    grass = _fill(_dots(daisies), "#f9fbe0", 'fill-opacity=".8"') + _fill(blades, "#86bd55")
    return ((0, "#e3f3b9"), (1, "#9fce69")), hills + grass


def _dusk(rng):
    x, y = rng.uniform(15, 85), rng.uniform(58, 66)
    sun = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="13" fill="#ffe9c4"/>'
    hills = _fill("M0 76Q22 64 48 74T100 68V100H0Z", "#8d6489") + _fill("M0 88Q30 78 62 86T100 82V100H0Z", "#6f4d78")
    bands = _fill("M-5 30Q30 26 60 31T105 29V33Q60 36 30 32T-5 35Z", "#ffd9c0", 'fill-opacity=".45"')
    return ((0, "#a88bc0"), (0.5, "#e2a9ae"), (0.72, "#f6c9a6")), bands + sun + hills


def _night(rng):
    stars = [(rng.uniform(2, 98), rng.uniform(2, 84), rng.uniform(0.35, 0.9)) for _ in range(18)]
    x, y = rng.choice([rng.uniform(8, 16), rng.uniform(84, 92)]), rng.uniform(9, 16)
    moon = _fill(f"M{x:.1f} {y - 6:.1f}a6 6 0 1 0 5 9a5 5 0 0 1 -5 -9z", "#fdf3c8")
    return ((0, "#141a3f"), (1, "#2f3768")), _fill(_dots(stars), "#f4efcf", 'fill-opacity=".85"') + moon + _fill(
        "M0 90Q30 80 60 88T100 84V100H0Z", "#10142f"
    )


def _cream(rng):
    x = rng.uniform(40, 60)
    arch = _fill(f"M{x - 36:.1f} 100V46A36 36 0 0 1 {x + 36:.1f} 46V100Z", "#efdcbc", 'fill-opacity=".75"')
    table = _fill("M0 92H100V100H0Z", "#d9bd94")
    return ((0, "#fbf3e2"), (1, "#f3e3c8")), arch + table


HORIZON = {"sky": 88, "meadow": 36, "dusk": 78, "night": 92, "cream": 94}  # below it the scenery hides the sky
SCENERY = {"sky": _sky, "meadow": _meadow, "dusk": _dusk, "night": _night, "cream": _cream}


def _stem_and_leaves(spec: Flower, rng: Random, x: float, y: float, drooping: bool) -> tuple[str, str]:
    """The stem from the head of the flower at (x, y) to the ground, its leaves, and the gradients of both."""
    side = rng.choice([-1, 1])
    foot = 50 + rng.uniform(-9, 9) + (20 * side if drooping else 0)
    if drooping:  # the stem rises beside the bell and bends over
        curve = [(foot, 104), (foot - 2 * side, 30), (x + 14 * side, y - 16), (x, y)]
    else:
        bend = foot + rng.uniform(-12, 12)
        curve = [(foot, 104), (bend, 88), ((x + bend) / 2, 70), (x, y)]
    p = [f"{px:.2f} {py:.2f}" for px, py in curve]
    d = f"M{p[0]}C{p[1]} {p[2]} {p[3]}"
    stem = "#57983c"
    parts = [_line(d, _dark(stem, 0.1), 2.8)]
    gradients = _gradient("leafy", (0, _dark(stem, 0.15)), (1, _light(stem, 0.2)), where='x1="-5" y1="0" x2="5" y2="0"')
    if spec.leaves == "none":
        return "".join(parts), gradients
    color = _vary(LEAVES[spec.leaves], rng)
    blade = "M0 0C-11 -7 -9 -21 0 -31C9 -21 11 -7 0 0Z"
    ribs = "M0 0V-26M0 -8L-5 -13M0 -8L5 -13M0 -15L-4.500 -19.500M0 -15L4.500 -19.500"
    outline = f'stroke="{_dark(color, 0.42)}" stroke-width="1.6" stroke-linejoin="round"'
    leaf = _fill(blade, color, outline) + _line(ribs, _light(color, 0.45), 0.8)
    at = [(0.02, -1), (0.06, 1)] if not drooping else [(0.04, -1), (0.13, 1)]
    for t, direction in at:
        lx, ly = _along(curve, t)
        size = rng.uniform(0.9, 1.15)
        parts.append(_use("leaf-blade", lx, min(ly, 99), direction * rng.uniform(48, 66), size, size))
    return "".join(parts), gradients + f'<g id="leaf-blade">{leaf}</g>'


def _draw(spec: Flower) -> str:
    rng = Random(spec.variation)
    main, center = _vary(PALETTE[spec.color], rng), _vary(CENTERS[spec.center_color], rng)
    second = _vary(PALETTE.get(spec.second_color, PALETTE[spec.color]), rng)
    sky, scenery = SCENERY[spec.background](rng)
    drooping = spec.arrangement == "bell" and rng.random() < 0.5
    x, y = 50 + rng.uniform(-4, 4), 41 + rng.uniform(-3, 3)
    scale, tilt = rng.uniform(0.9, 1.02), rng.uniform(-14, 14)
    length, n = 30, PETALS[spec.petal_count]
    slim = {"pointed": 0.76, "ruffled": 0.68, "heart": 0.9, "round": 0.94}.get(spec.petal_shape, 1)
    width = length * slim * (0.76 * math.tan(math.pi / n) if n > 4 else 0.52)

    if spec.arrangement == "bell":
        symbol, gradient = "", _petal_symbol(spec, BELL_LENGTH + 8, 10, main, second)[1]
        head = _bell(spec, rng, main, second, center)
        y, tilt = (15 if drooping else 71) + rng.uniform(-2, 2), tilt + 180 * drooping
        squash = 1.0
    elif spec.arrangement == "dome":
        symbol, gradient = _petal_symbol(spec, 18, 8.2, main, second)
        if spec.pattern == "centre":  # the petals around the disc have the second colour
            inner, shades = _petal_symbol(spec, 18, 8.2, second, second)
            symbol += inner.replace('"petal"', '"inner"').replace("#main", "#second")
            gradient += shades.replace('"main"', '"second"')
        head = _dome(spec, rng, main) + _center(spec, center, 0, -25)
        squash = 1.0
    else:
        symbol, gradient = _petal_symbol(spec, length, width, main, second)
        head = _rosette(spec, rng, length, width) + _center(spec, center)
        squash = rng.uniform(0.86, 1)
    stem, greens = _stem_and_leaves(spec, rng, x, y, drooping)
    top = " ".join(f'<stop offset="{at}" stop-color="{color}"/>' for at, color in sky)
    defs = [
        f'<linearGradient id="sky" gradientUnits="userSpaceOnUse" x2="0" y2="100">{top}</linearGradient>',
        symbol,
        gradient,
        greens,
        f'<radialGradient id="disc" cx=".38" cy=".35" r=".7"><stop stop-color="{_light(center, 0.25)}"/>'
        f'<stop offset=".55" stop-color="{center}"/><stop offset="1" stop-color="{_dark(center, 0.22)}"/>'
        "</radialGradient>",
    ]
    place = f"translate({x:.2f} {y:.2f})rotate({tilt:.1f})scale({scale:.3f} {scale * squash:.3f})"
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">'
        f"<defs>{''.join(defs)}</defs>"
        f'<rect width="100" height="{HORIZON[spec.background]}" fill="url(#sky)" shape-rendering="crispEdges"/>'
        f"{scenery}{stem}"
        f'<g transform="{place}">{head}</g></svg>'
    )


# --- words ------------------------------------------------------------------------------------------------------------

COLOR_WORDS = {
    "red": ("red", "crimson", "scarlet", "reddish"),
    "orange": ("orange", "tangerine"),
    "yellow": ("yellow", "golden", "yellowish"),
    "pink": ("pink", "rosy", "pinkish"),
    "purple": ("purple", "violet", "lavender", "lilac"),
    "blue": ("blue", "bluish", "azure"),
    "white": ("white", "ivory", "whitish"),
    "green": ("green",),
    "brown": ("brown", "brownish"),
    "silver": ("silver", "silvery", "grey", "gray"),
    "black": ("black",),
    "cream": ("cream", "beige"),
}
COUNT_WORDS = {n: (n,) for n in NUMBERS[1:]} | {"many": ("many", "lots", "lot", "numerous", "dozens")}
SHAPE_WORDS = {
    "round": ("round", "rounded"),
    "pointed": ("pointed", "pointy", "sharp"),
    "narrow": ("narrow", "thin", "slender"),
    "heart": ("heart", "notched", "hearts"),
    "ruffled": ("ruffled", "wavy", "frilly"),
}
ARRANGEMENT_WORDS = {
    "open": ("open", "flat"),
    "layered": ("layered", "layers", "rings", "double"),
    "bell": ("bell", "bells"),
    "dome": ("dome", "domed", "globe"),
}
PATTERN_WORDS = {
    "plain": ("plain", "unpatterned", "solid"),
    "edges": ("edges", "edge", "edged", "rims", "rim", "borders", "border", "tips", "tipped"),
    "striped": ("striped", "stripes", "stripe", "stripy", "streaked"),
    "spotted": ("spotted", "spots", "spot", "dots", "dotted", "speckled", "speckles"),
    "centre": ("base", "bases", "throat"),
}
SIZE_WORDS = {"small": ("small", "tiny", "little"), "large": ("large", "big", "huge", "wide")}
BACKGROUND_WORDS = {
    "sky": ("sky", "clouds"),
    "meadow": ("meadow", "grass", "field"),
    "dusk": ("dusk", "sunset", "evening"),
    "night": ("night", "stars", "moon"),
    "cream": ("studio", "paper"),
}
NOUNS = {
    "flower": ("flower", "flowers", "bloom", "blooms", "blossom", "blossoms"),
    "petals": ("petals", "petal", "lobes"),
    "center": ("center", "centre", "centers", "centres", "middle", "stamen", "stamens", "pistil", "disc", "disk"),
    "leaves": ("leaves", "leaf", "foliage"),
    "stem": ("stem", "stalk"),
    "second": ("touches", "hints", "accents"),
    "background": ("background", "backdrop"),
}
PARTICIPLES = ("edged", "tipped", "striped", "stripy", "streaked", "spotted", "dotted", "speckled")
BACKGROUND_COLORS = {"blue": "sky", "green": "meadow", "purple": "dusk", "pink": "dusk", "black": "night"}
BACKGROUND_COLORS |= {"cream": "cream", "white": "cream"}
SEPARATORS = {",", "and", "but", "while"}
BREAKS = frozenset(words("with in on at by around against before under over that which who has have having whose"))
SMALL_WORDS = words("""
    a an the this these it its their there here is are be of to for from front one or as like each all very quite some
    another other also no without color colors colour colours coloured colored shade shades shape shaped form forming
    formed configuration arrangement arranged number single several dark deep light pale bright soft clear starry long
    short fully pretty lovely beautiful delicate picture close view look looks show shows showing grow grows growing
    stand stands standing blooming surround surrounds surrounding surrounded turn turns turning fade fades fading
    toward towards near leafless hanging hangs down upright multi
""")
KINDS = {
    "color": COLOR_WORDS,
    "count": COUNT_WORDS,
    "shape": SHAPE_WORDS,
    "arrangement": ARRANGEMENT_WORDS,
    "pattern": PATTERN_WORDS,
    "size": SIZE_WORDS,
    "background": BACKGROUND_WORDS,
    "noun": NOUNS,
}
LEXICON = {word: (kind, value) for kind, table in KINDS.items() for value, said in table.items() for word in said}

# --- captions: each frame is a head and what links it to the rest -----------------------------------------------------

FRAMES = (
    ("this flower", " has {rest}"),
    ("the flower in this picture", " has {rest}"),
    ("{a_flower}", " with {rest}"),
    ("{a_flower}", " that has {rest}"),
    ("this is {a_flower}", " with {rest}"),
    ("there is {a_flower}", " that shows {rest}"),
    ("this {flower}", " has {rest}"),
    ("look at this {flower}", ", which has {rest}"),
    ("a close view of {a_flower}", " with {rest}"),
    ("{flower}", ", {list}"),
    ("{petals}", ", {list}"),
    ("a flower with {petals}", ", and with {rest}"),
    ("{petals} form this flower", ", which has {rest}"),
    ("the petals of this flower are {looks}", ", and it has {rest}"),
    ("this flower has petals that are {looks}", ", and has {rest}"),
    ("a flower whose petals are {looks}", ", with {rest}"),
    ("the petals are {looks}", ", and the flower has {rest}"),
)
ARRANGED = {
    "open": ("in an open arrangement", "that are fully open"),
    "layered": ("in layers", "in several rings"),
    "bell": ("in the shape of a bell", "that form a bell"),
    "dome": ("in a dome-like configuration", "arranged like a dome"),
}
ARRANGED_BRIEFLY = {
    "open": ("open",),
    "layered": ("layered", "double"),
    "bell": ("bell-shaped",),
    "dome": ("dome-shaped", "domed"),
}
PLACES = {
    "sky": ("against a blue sky", "under a clear sky", "in front of white clouds"),
    "meadow": ("in a green meadow", "in the grass", "in a field"),
    "dusk": ("at dusk", "at sunset", "in the evening"),
    "night": ("at night", "under the stars", "by night"),
    "cream": ("on a cream background", "in a studio", "against cream paper"),
}
PATTERN_NOUNS = {"edges": ("edges", "rims", "borders"), "striped": ("stripes",), "spotted": ("spots", "dots")}


def _say(told: dict, key: str, table: dict, rng) -> list[str]:
    """The attribute in words, most often by its plain name; [] if it is not to be told. It is told only once."""
    if key not in told:
        return []
    value = told.pop(key)
    return [pick(rng, table[value][:2]) if value not in table[value] or rng.random() < 0.4 else value]


def _flower(told: dict, rng) -> str:
    return " ".join(
        [*_say(told, "arrangement", ARRANGED_BRIEFLY, rng), *_say(told, "color", COLOR_WORDS, rng), "flower"]
    )


def _petals(told: dict, rng) -> str:
    """What is told of the petals as one noun phrase; "" if there is nothing to tell."""
    count = {"many": ("a lot of", "many", "lots of")} | {n: (n,) for n in PETALS if n != "many"}
    said = _say(told, "petal_count", count, rng)
    if "many" in said or "a lot of" in said or "lots of" in said:
        said += pick(rng, ([], ["small"]))
    said += [w + "-shaped" * (w == "heart") for w in _say(told, "petal_shape", SHAPE_WORDS, rng)]
    if told.get("pattern") == "plain":
        del told["pattern"], told["second_color"]
        said.append("plain")
    said += _say(told, "color", COLOR_WORDS, rng)
    if told.get("pattern") in ("striped", "spotted") and "second_color" not in told:
        said.append(told.pop("pattern"))
    arranged = _say(told, "arrangement", ARRANGED, rng)
    return " ".join([*said, "petals", *arranged]) if said or arranged else ""


def _looks(told: dict, rng) -> str:
    """What is told of the petals' shape and colours, to be said after "are"."""
    shape = [w + "-shaped" * (w == "heart") for w in _say(told, "petal_shape", SHAPE_WORDS, rng)]
    if told.get("pattern") == "plain":
        del told["pattern"], told["second_color"]
        shape.append("plain")
    colors = []
    if "color" in told:
        colors += _say(told, "color", COLOR_WORDS, rng)
        if "second_color" in told and ("pattern" not in told or rng.random() < 0.4):
            colors += _say(told, "second_color", COLOR_WORDS, rng)
            if "center_color" in told and "center_size" not in told and rng.random() < 0.5:
                colors += _say(told, "center_color", COLOR_WORDS, rng)
    return join(shape + colors) + (" in color" if colors and not shape and rng.random() < 0.5 else "")


def _pattern(told: dict, rng) -> list[str]:
    """The pattern and the second colour of the petals."""
    pattern, second = told.pop("pattern", None), _say(told, "second_color", COLOR_WORDS, rng)
    if pattern is None:
        return [f"{second[0]} touches"] if second else []
    if pattern == "centre":
        if not second:
            return ["petals with a base of another color"]
        return [pick(rng, (f"petals that turn {second[0]} towards the center", a_or_an(f"{second[0]} base")))]
    noun = pick(rng, PATTERN_NOUNS[pattern])
    if second:
        return [f"{second[0]} {noun}"]
    return [f"{noun} of another color" if pattern == "edges" else f"petals that are {pattern}"]


def _rest(told: dict, rng) -> list[str]:
    """Everything that is still to be told, as noun phrases."""
    others = []
    petals = _petals(told, rng)
    others += _pattern(told, rng)
    center = [*_say(told, "center_size", SIZE_WORDS, rng), *_say(told, "center_color", COLOR_WORDS, rng)]
    if center:
        noun = pick(rng, ("center", "centre", "middle", "stamens"))
        center = " ".join([*center, noun])
        others.append(center if noun == "stamens" else a_or_an(center))
    leaves = told.pop("leaves", None)
    if leaves:
        others.append("no leaves" if leaves == "none" else pick(rng, COLOR_WORDS[leaves][:1]) + " leaves")
    return ([petals] if petals else []) + [others[i] for i in rng.permutation(len(others))]


# --- facts ------------------------------------------------------------------------------------------------------------


class _Reader:
    """Reads a caption from left to right: adjectives are held until a noun, or the end of their phrase, takes them."""

    def __init__(self):
        self.facts: dict[str, str] = {}
        self.subject = "flower"  # the noun that was named last
        self.held: list[tuple[str, str]] = []
        self.linked = False  # whether "is" or "are" has followed the subject

    def promise(self, key: str, value: str) -> None:
        if value not in ATTRIBUTES[key]:
            known = ", ".join(ATTRIBUTES[key])
            raise ValueError(f"No flower of this world has {value!r} as its {key}. It can be: {known}.")
        if self.facts.setdefault(key, value) != value:
            raise ValueError(f"The caption contradicts itself: {key} is {self.facts[key]!r} and also {value!r}.")

    def give(self, adjectives, noun: str) -> None:
        """Let a noun take its adjectives."""
        of_kind = {
            kind: [v for k, v in adjectives if k == kind] for kind in ("color", "count", "shape", "size", "plain")
        }
        colors = of_kind["color"]
        if ("no", "") in adjectives:
            if noun != "leaves":
                raise ValueError("'no' and 'without' are understood of leaves only; say what the flower does have.")
            self.promise("leaves", "none")
        keys = {
            "flower": ("color", "second_color", "center_color"),
            "petals": ("color", "second_color", "center_color"),
            "center": ("center_color",),
            "leaves": ("leaves",),
            "second": ("second_color",),
        }.get(noun, ())
        if keys and len(colors) > len(keys):
            raise ValueError(f"Too many colors for the {noun}: {', '.join(colors)}. There can be {len(keys)}.")
        for key, color in zip(keys, colors, strict=False):
            self.promise(key, color)
        if noun == "flower" and of_kind["count"]:
            raise ValueError(f"A picture holds one flower, not {of_kind['count'][0]}; say how many petals it has.")
        if noun in ("flower", "petals"):
            for key, values in (("petal_count", of_kind["count"]), ("petal_shape", of_kind["shape"])):
                for value in values:
                    self.promise(key, value)
            if of_kind["plain"]:
                self.promise("pattern", "plain")
                self.promise("second_color", "none")
        if noun == "center":
            for size in of_kind["size"]:
                self.promise("center_size", size)
        if noun == "background":
            for color in colors:
                self.promise("background", BACKGROUND_COLORS.get(color, color))

    def end_phrase(self) -> None:
        self.give([a for a in self.held if a[0] != "separator"], self.subject)
        self.held, self.linked = [], False

    def name(self, noun: str) -> None:
        """A noun takes what is held; in "the petals are red and the small centre ..." only what follows the "and"."""
        separators = [i for i, (kind, _) in enumerate(self.held) if kind == "separator"]
        if self.linked and separators and noun != self.subject:
            own = self.held[separators[-1] :]
            self.held = self.held[: separators[-1]]
            self.end_phrase()
            self.held = own
        self.subject = noun
        self.end_phrase()

    def read(self, tokens: list[str]) -> dict[str, str]:
        leaves_named = False
        for i, token in enumerate(tokens):
            kind, value = LEXICON.get(token, ("filler", token))
            before, after = tokens[max(0, i - 2) : i], tokens[i + 1 : i + 3]
            if token in SEPARATORS:
                self.held.append(("separator", ""))
            elif token in BREAKS:
                self.read_break(token, before, after)
            elif token in ("is", "are"):
                self.linked = True
            elif token in ("no", "without"):
                if token == "without":
                    self.end_phrase()
                self.held.append(("no", ""))
            elif token == "leafless":
                self.promise("leaves", "none")
            elif token in ("layers", "rings"):  # "two layers of petals"
                self.held = [a for a in self.held if a[0] != "count"]
                self.promise("arrangement", "layered")
            elif kind == "arrangement":
                self.promise("arrangement", value)
            elif value == "plain":
                self.held.append(("plain", ""))
            elif kind == "pattern":
                self.read_pattern(token, value)
            elif value == "center" and {"towards", "toward", "near"} & set(before):
                self.read_pattern(token, "centre")
            elif kind == "background":
                self.name("scenery")
                if not (value == "sky" and "background" in self.facts):  # "the evening sky" is the evening
                    self.promise("background", value)
            elif kind == "noun":
                if value == "background" and "dark" in before[-1:]:
                    self.promise("background", "night")
                leaves_named |= value == "leaves"
                self.name(value)
                self.linked = value == "second"  # "touches of red and a small centre"
            elif kind != "filler":
                self.held.append((kind, value))
        self.end_phrase()
        if leaves_named:
            self.facts.setdefault("leaves", "green")
        return self.facts

    def read_break(self, token: str, before, after) -> None:
        """A preposition or "that", "has" ... ends a phrase, but for "red at the edges"."""
        if token in ("at", "on", "around") and len(after) == 2 and LEXICON.get(after[1], "")[:1] == ("pattern",):
            return
        self.end_phrase()
        if token in ("with", "in") and before[-1:] and before[-1] in PARTICIPLES:  # "striped with white"
            self.subject, self.linked = "second", True

    def read_pattern(self, token: str, pattern: str) -> None:
        self.promise("pattern", pattern)
        if token in ("edged", "tipped"):  # "white-edged"
            colors = [a for a in self.held if a[0] == "color"]
            if colors and not (self.linked and len(colors) == 1):
                self.held.remove(colors[-1])
                self.promise("second_color", colors[-1][1])
        elif token not in PARTICIPLES:
            self.name("second")


def _check_possible(facts: dict[str, str]) -> None:
    """Raise `ValueError` if no flower of this world keeps all these promises."""
    form = [facts.get(key) for key in ("arrangement", "petal_count", "petal_shape")]
    if not any(all(told in (None, real) for told, real in zip(form, real_form, strict=True)) for real_form in FORMS):
        raise ValueError(f"No flower of this world is all of this at once: {', '.join(filter(None, form))}.")
    if "color" in facts and facts["color"] == facts.get("second_color"):
        raise ValueError(f"The second color must differ from the first, which is {facts['color']!r} already.")


class Flowers(World):
    """The world of flowers: 3 million different ones, and their natural variation on top."""

    name = "flowers"
    attributes = ATTRIBUTES
    vocabulary = frozenset(LEXICON) | BREAKS | SEPARATORS - {","} | frozenset(SMALL_WORDS)
    withheld = (
        {"color": "blue", "pattern": "striped"},
        {"color": "purple", "center_color": "white"},
        {"arrangement": "bell", "color": "orange"},
        {"petal_count": "five", "petal_shape": "heart"},
    )

    def sample(self, rng) -> Flower:
        """Any flower that can grow here: arrangement, then count, then shape, so that rare ones are not too rare."""
        arrangement = pick(rng, ("open", "open", "layered", "bell", "dome"))
        count = pick(rng, COUNTS[arrangement])
        color, pattern = pick(rng, tuple(PALETTE)), pick(rng, PATTERNS)
        second = "none" if pattern == "plain" else pick(rng, [c for c in PALETTE if c != color])
        return Flower(
            count,
            pick(rng, shapes_of(arrangement, count)),
            arrangement,
            color,
            second,
            pattern,
            *(pick(rng, ATTRIBUTES[key]) for key in ("center_color", "center_size", "leaves", "background")),
            variation=int(rng.integers(2**31)),
        )

    def truth(self, spec: Flower) -> dict[str, str]:
        """Every attribute of the flower."""
        return {key: getattr(spec, key) for key in ATTRIBUTES}

    def describe(self, spec: Flower, rng) -> tuple[str, dict[str, str]]:
        """One caption of one to five attributes, and what it promises."""
        keys = list(ATTRIBUTES)
        chosen = {keys[i] for i in rng.permutation(len(keys))[: rng.integers(1, 6)]}
        if spec.pattern == "plain" and chosen & {"pattern", "second_color"}:
            chosen |= {"pattern", "second_color"}  # "plain" says both
        promised = {key: getattr(spec, key) for key in keys if key in chosen}
        head, link = pick(rng, [f for f in FRAMES if _fits(f[0], chosen)])
        told = dict(promised)
        place = "".join(" " + phrase for phrase in _say(told, "background", PLACES, rng))
        fields = {}
        if "flower}" in head:
            fields["flower"] = _flower(told, rng)
            fields["a_flower"] = a_or_an(fields["flower"])
        elif "{petals}" in head:
            fields["petals"] = _petals(told, rng)
        elif "{looks}" in head:
            fields["looks"] = _looks(told, rng)
        rest = _rest(told, rng)
        text = head.format(**fields)
        if rest:
            text += link.format(rest=join(rest), list=", ".join(rest))
        return text + place, promised

    def facts(self, caption: str) -> dict[str, str]:
        """What a caption promises; see the top of this file for what each phrase does."""
        tokens = words(caption)
        check_words(tokens, self.vocabulary, "the world of flowers")
        found = _Reader().read(tokens)
        _check_possible(found)
        return {key: found[key] for key in ATTRIBUTES if key in found}


def _fits(head: str, chosen: set[str]) -> bool:
    """Whether a frame has something to say in its head."""
    if "{petals}" in head:
        return bool(chosen & {"petal_count", "petal_shape", "color", "arrangement"})
    if "{looks}" in head:
        return bool(chosen & {"petal_shape", "color"})
    return True
