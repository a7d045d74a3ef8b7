"""Birds: one bird per picture, captioned in the manner of the CUB-200 captions of Reed et al. (2016).

"this small bird has a pink breast and crown, and black primaries and secondaries"
"this magnificent fellow is almost all black with a red crest, and white cheek patch"

What the words mean here. A bird has five main parts, each in one colour: crown (the whole upper head, also "head"),
breast ("chest", "throat"), belly, wings ("back", "primaries", "secondaries": in this world they share a colour), and
tail. "A red bird" and "almost all red" promise all five, except those that the caption names otherwise. "Body" and
"underparts" mean breast and belly, "upperparts" crown, wings, and tail, again unless a part is named otherwise.
Crest, cheek patch, and eye ring are a colour or "none". "Ground" means grass.

A bird is drawn in its own coordinates, facing right, with its body around (0, 0); its head has coordinates of its own.
"""

from dataclasses import dataclass
from math import cos, radians, sin
from random import Random

from .base import World
from .language import a_or_an, check_words, join, pick, words

# --- values -----------------------------------------------------------------------------------------------------------

COLOURS = {
    "red": (214, 48, 44),
    "orange": (246, 138, 30),
    "yellow": (250, 216, 52),
    "green": (70, 158, 74),
    "blue": (40, 104, 200),
    "pink": (246, 150, 186),
    "brown": (122, 72, 40),
    "grey": (142, 148, 158),
    "black": (40, 38, 48),
    "white": (252, 250, 246),
}
MAIN_PARTS = ("crown", "breast", "belly", "wings", "tail")
PAINTED = (*MAIN_PARTS, "bill", "crest", "cheek_patch", "eye_ring")
OUTLINE = (46, 42, 59)
WHITE = (255, 255, 255)

ATTRIBUTES = {
    "size": ("small", "medium", "large"),
    "pose": ("perched", "standing", "feeding", "wading", "flying"),
    "place": ("branch", "grass", "snow", "water", "sky"),
    **{part: tuple(COLOURS) for part in MAIN_PARTS},
    "bill": ("red", "orange", "yellow", "blue", "grey", "black"),
    "bill_length": ("short", "long"),
    "bill_shape": ("conical", "pointed", "hooked", "curved"),
    "crest": ("none", *COLOURS),
    "cheek_patch": ("none", "red", "yellow", "blue", "black", "white"),
    "eye_ring": ("none", "red", "yellow", "blue", "white"),
}

# What can be told apart in a picture, and what nature does: a conical bill is short, a curved one long; the sky is for
# flying; cheek patches and eye rings do not have a colour too close to that of the head around them.
POSES = [("perched", "branch")] * 4 + [("standing", "grass"), ("standing", "snow"), ("feeding", "grass")] * 2
POSES += [("feeding", "snow"), ("wading", "water"), ("wading", "water"), ("flying", "water"), *[("flying", "sky")] * 3]
BILLS = (("short", "conical"), ("short", "pointed"), ("short", "hooked"), ("long", "pointed"), ("long", "hooked"))
BILLS += (("long", "curved"), ("long", "curved"))
SCHEMES = (*["aaaaa"] * 4, "abbaa", "abbaa", "aabaa", "abaaa", "baaaa", "aabbb", "aaabb", "abbca", "abbcc", "aabcb")
SCHEMES += ("abcaa", *["abcde"] * 5)  # which of crown, breast, belly, wings, tail share a colour
PLUMAGE = (*COLOURS, "brown", "grey", "black", "black", "white", "blue", "red")
CLOSE = ["red orange pink brown", "orange yellow", "yellow white", "white grey", "white pink", "blue black grey"]
CLOSE += ["brown black", "blue green", "blue brown"]
STANDS_OUT = {
    part: {c: [v for v in values if v != c and not any({v, c} <= set(g.split()) for g in CLOSE)] for c in COLOURS}
    for part, values in ((p, ATTRIBUTES[p][1:]) for p in ("cheek_patch", "eye_ring"))
}


@dataclass(frozen=True, slots=True)
class Bird:
    """Everything that is true of one picture; `variation` seeds what no caption speaks of (direction, hue, leaves)."""

    size: str
    pose: str
    place: str
    crown: str
    breast: str
    belly: str
    wings: str
    tail: str
    bill: str
    bill_length: str
    bill_shape: str
    crest: str
    cheek_patch: str
    eye_ring: str
    variation: int = 0

    def svg(self) -> str:
        """The picture: a square SVG of 100 x 100 units."""
        chance = Random(self.variation)
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">'
            + PLACES[self.place](chance, self.pose)
            + bird(self, chance)
            + "</svg>"
        )


# --- drawing: pens and feathers ---------------------------------------------------------------------------------------


def mix(a, b, share):
    """A colour between a and b."""
    return tuple(round(x + (y - x) * share) for x, y in zip(a, b, strict=True))


def wobble(rgb, chance):
    """Nearly the same colour: no two red birds have exactly the same red."""
    return tuple(min(255, max(0, int(value + 13 * chance.random() - 6))) for value in rgb)


def tone(colour, amount=0.3):
    """A colour to draw details with: darker, but lighter on dark colours."""
    return mix(colour, WHITE, amount * 0.8) if sum(colour) < 240 else mix(colour, OUTLINE, amount)


def ink(rgb):
    """A colour as SVG writes it."""
    return "#{:02x}{:02x}{:02x}".format(*rgb)


def path(d, fill=None, stroke=None, width=1.0, more=""):
    """One filled and/or stroked path."""
    line = f' stroke="{ink(stroke)}" stroke-width="{width:.2f}"' if stroke else ""
    return f'<path d="{d}" fill="{ink(fill) if fill else "none"}"{line}{more}/>'


def circle(x, y, r, fill, more=""):
    """One circle; `fill` is a colour or a reference to a gradient."""
    fill = fill if isinstance(fill, str) else ink(fill)
    return f'<circle cx="{x:.2f}" cy="{y:.2f}" r="{r:.2f}" fill="{fill}"{more}/>'


def gradient(name, stops, kind='linearGradient x1="0" y1="0" x2="0" y2="1"'):
    """A gradient from (offset, colour, opacity) stops, downwards unless `kind` says otherwise."""
    inner = "".join(f'<stop offset="{o}" stop-color="{ink(c)}" stop-opacity="{a}"/>' for o, c, a in stops)
    tag = kind.split()[0]
    return f'<{tag} id="{name}"{kind[len(tag) :]}>{inner}</{tag}>'


def polar(x, y, angle, r):
    """The point at a distance from (x, y); 90 degrees is down."""
    return x + r * cos(radians(angle)), y + r * sin(radians(angle))


def fan(x, y, angles, lengths, root=(0, 0)):
    """Feathers spread from (x, y), the first edge straight from `root`: the outline, and the lines between feathers."""
    step = (angles[1] - angles[0]) / 2
    edges = [polar(x, y, a - step, 0.9 * r) for a, r in zip(angles, lengths, strict=True)]
    edges.append(polar(x, y, angles[-1] + step, 0.85 * lengths[-1]))
    tips = [polar(x, y, a, 1.1 * r) for a, r in zip(angles, lengths, strict=True)]
    bumps = "".join(f"Q{a:.1f} {b:.1f} {c:.1f} {d:.1f}" for (a, b), (c, d) in zip(tips, edges[1:], strict=True))
    shafts = "".join(f"M{x + 0.45 * (a - x):.1f} {y + 0.45 * (b - y):.1f}L{a:.1f} {b:.1f}" for a, b in edges[1:-1])
    return f"M{x + root[0]:.1f} {y + root[1]:.1f}L{edges[0][0]:.1f} {edges[0][1]:.1f}{bumps}L{x:.1f} {y:.1f}Z", shafts


def leaf(x, y, angle, length, width=0.34):
    """The outline of a leaf (or a blade of grass, where it is narrow)."""
    tip, left, right = (
        polar(x, y, angle + turn, length * r) for turn, r in ((0, 1), (-35, width * 2), (35, width * 2))
    )
    return "M{:.1f} {:.1f}Q{:.1f} {:.1f} {:.1f} {:.1f}Q{:.1f} {:.1f} {:.1f} {:.1f}Z".format(
        x, y, *left, *tip, *right, x, y
    )


# --- drawing: places --------------------------------------------------------------------------------------------------


def backdrop(chance, top, bottom):
    """A sky from one colour to another, each a little different every time."""
    name = f"sky{chance.getrandbits(40):x}"
    stops = ((0, wobble(top, chance), 1), (1, wobble(bottom, chance), 1))
    return gradient(name, stops) + f'<rect width="100" height="100" fill="url(#{name})"/>'


def clouds(chance, n, lowest):
    """A few clouds, in one path."""
    puffs = ""
    for _ in range(n):
        x, y, r = chance.uniform(5, 95), chance.uniform(6, lowest), chance.uniform(3.5, 6.5)
        puffs += (
            f"M{x - 2.4 * r:.1f} {y:.1f}a{r:.1f} {r:.1f} 0 0 1 {1.3 * r:.1f} {-0.9 * r:.1f}"
            f"a{1.35 * r:.1f} {1.35 * r:.1f} 0 0 1 {2.4 * r:.1f} {-0.2 * r:.1f}"
            f"a{0.9 * r:.1f} {0.9 * r:.1f} 0 0 1 {1.3 * r:.1f} {1.1 * r:.1f}Z"
        )
    return path(puffs, WHITE, more=' fill-opacity="0.85"')


def sky(chance, pose):
    return backdrop(chance, (136, 196, 240), (226, 242, 250)) + clouds(chance, chance.randint(3, 5), lowest=92)


def water(chance, pose):
    level = chance.uniform(72, 76) if pose == "wading" else chance.uniform(80, 84)
    waves = ""
    for i in range(9):
        x, y = chance.uniform(-5, 95), level + 3 + i * (100 - level) / 9
        waves += f"M{x:.1f} {y:.1f}q3 -2 6 0t6 0t6 0"
    picture = backdrop(chance, (206, 230, 244), (246, 240, 224)) + clouds(chance, 2, lowest=30)
    picture += path(f"M0 {level:.1f}H100V100H0Z", (84, 158, 186))
    picture += path(f"M0 {level:.1f}H100V{level + 5:.1f}H0Z", (122, 186, 206))
    picture += path(waves, stroke=(190, 226, 236), width=1)
    if pose == "wading":
        x = chance.choice((5, 90))
        reeds = "".join(
            leaf(x + 2 * i, 84, -90 + chance.uniform(-14, 14), chance.uniform(26, 44), 0.05) for i in range(4)
        )
        picture += path(reeds, (96, 140, 78))
    return picture


def grass(chance, pose):
    top, peak = chance.uniform(64, 70), chance.uniform(15, 45)
    hill = f"M0 {top:.1f}Q{peak:.0f} {top - 8:.1f} 60 {top - 1:.1f}T100 {top - 4:.1f}V100H0Z"
    blades = "".join(
        leaf(chance.uniform(0, 100), chance.uniform(88, 102), chance.uniform(-108, -72), chance.uniform(7, 13), 0.13)
        for _ in range(17)
    )
    flowers = "".join(
        circle(chance.uniform(3, 97), chance.uniform(89, 97), chance.uniform(1, 1.5), (255, 246, 214)) for _ in range(4)
    )
    return (
        backdrop(chance, (196, 226, 244), (250, 244, 220))
        + clouds(chance, 2, lowest=26)
        + path(hill, (176, 210, 130))
        + path("M0 78Q30 73 60 77T100 75V100H0Z", (142, 190, 98))
        + path(blades, (104, 160, 76))
        + flowers
    )


def snow(chance, pose):
    firs = ""
    for _ in range(4):
        x, h = chance.uniform(2, 98), chance.uniform(12, 24)
        firs += f"M{x:.1f} {72 - h:.1f}l{h * 0.28:.1f} {h:.1f}h{-h * 0.56:.1f}Z"
    flakes = "".join(f"M{chance.uniform(0, 100):.1f} {chance.uniform(0, 96):.1f}h0" for _ in range(24))
    return (
        backdrop(chance, (168, 188, 214), (222, 228, 240))
        + path(firs, (140, 166, 182))
        + path(f"M0 70Q{chance.uniform(15, 40):.0f} 62 55 68T100 66V100H0Z", (232, 238, 248))
        + path("M0 80Q30 75 60 79T100 77V100H0Z", (250, 251, 255))
        + path(flakes, stroke=WHITE, width=1.7, more=' stroke-linecap="round"')
    )


def branch(chance, pose):
    glow = "".join(
        circle(chance.uniform(0, 100), chance.uniform(0, 100), chance.uniform(8, 18), (220, 232, 196)) for _ in range(3)
    )
    left, right = chance.uniform(73, 77), chance.uniform(71, 75)
    wood = f"M-2 {left + 2:.1f}Q25 {left - 3:.1f} 50 74T102 {right - 1:.1f}v3Q75 79.5 50 79T-2 {left + 7:.1f}Z"
    bark = f"M4 {left + 3:.1f}Q25 {left:.1f} 44 76.2M58 76.6Q75 77 96 {right + 0.4:.1f}"
    back, front = "", ""
    for x in (1, 7, 13, 20, 79, 85, 91, 98):
        side = chance.choice((-1, 1))
        one = leaf(x + chance.uniform(-2, 2), 76, side * chance.uniform(40, 140), chance.uniform(8, 13))
        back, front = (back + one, front) if side < 0 else (back, front + one)
    corner = chance.choice((0, 100))
    for reach in range(0, 24, 3):
        inward = 45 + (reach % 2 * 2 - 1) * chance.uniform(25, 60)
        side = chance.uniform(0, 3) + reach
        front += leaf(abs(corner - side), 1 + reach / 8, inward if corner == 0 else 180 - inward, 13 - reach / 4)
    return (
        backdrop(chance, (232, 240, 214), (248, 242, 222))
        + glow
        + path(back, (92, 140, 76))
        + path(wood, (150, 108, 78), (94, 66, 50), 0.7)
        + path(bark, stroke=(190, 150, 116), width=0.8)
        + path(front, (128, 174, 90))
    )


PLACES = {"branch": branch, "grass": grass, "snow": snow, "water": water, "sky": sky}

# --- drawing: the bird ------------------------------------------------------------------------------------------------

SCALE = {"small": 0.62, "medium": 0.77, "large": 0.95}
HEAD = {"small": 14, "medium": 11.4, "large": 10}  # small birds have large heads
STANCE = {  # tilt of the body, centre of the head (x, y), its turn, length of the legs, height of the ground
    "perched": (-24, 16, -15, 18, 4, 75),
    "standing": (-10, 17, -15, 6, 12, 86),
    "feeding": (24, 24, -8, 14, 10, 86),
    "wading": (-8, 18, -17, 4, 19, 86),
    "flying": (-6, 22, -6, 4, 0, 58),
}
BILL_LENGTH = {"short": 0.95, "long": 2.0}


def bird(spec, chance):
    """The bird of a spec, in the coordinates of the picture."""
    tilt, hx, hy, turn, legs, ground = STANCE[spec.pose]
    scale, r = SCALE[spec.size] * chance.uniform(0.96, 1.03), HEAD[spec.size]
    tilt, turn = tilt + chance.uniform(-4, 4), turn + chance.uniform(-4, 4)
    name = f"b{chance.getrandbits(40):x}"
    paint = {name: wobble(rgb, chance) for name, rgb in COLOURS.items()}
    colour = {part: paint.get(getattr(spec, part)) for part in PAINTED}
    width = 0.8 / scale**0.5

    front = hx + r * (1.0 + BILL_LENGTH[spec.bill_length])
    side = chance.choice((-1, 1))
    slack = max(0.0, 97 - scale * (48 + front)) / 2
    x = 50 - side * scale * (front - 48) / 2 + chance.uniform(-0.4, 0.4) * slack
    y = ground - (1 - scale) * (14 if legs > 4 else 0) - scale * (14 + legs) * (legs > 0) + (0 if legs else 10 * scale)

    shapes = ""
    if spec.pose == "flying":
        shapes += spread_wing(9, -5, 30, mix(colour["wings"], OUTLINE, 0.22), width, chance)
    shapes += tail(colour["tail"], width, spec.pose)
    shapes += body(colour, hx, hy, r, width, name, spec.pose)
    shapes += f'<g transform="translate({hx} {hy}) rotate({turn:.1f}) scale({r / 10})">'
    shapes += head(spec, colour, width * 10 / r, name) + "</g>"
    if spec.pose == "flying":
        shapes += spread_wing(1, -4, 0, colour["wings"], width, chance)
    else:
        shapes += folded_wing(colour["wings"], width, chance)
    feet = leg_pair(legs, spec.pose, chance) if legs else ""
    return (
        f'<g transform="translate({x:.2f} {y:.2f}) scale({side * scale:.3f} {scale:.3f})" stroke-linejoin="round" '
        f'stroke-linecap="round">{feet}<g transform="rotate({tilt:.1f})">{shapes}</g></g>'
    )


def body(colour, hx, hy, r, width, name, pose):
    """Body and neck in one outline, along whose pieces back, breast, and shadow are painted (clipping is slower)."""

    def around_head(*offsets):
        return " ".join(f"{hx + dx * r:.1f} {hy + dy * r:.1f}" for dx, dy in offsets)

    nape = around_head((-0.8, -0.3))
    back = f"C{around_head((-1.1, 0.8))} -4 -11 -13 -8.5C-19 -6 -24 -4 -28 -2L-28 3"
    belly = "C-24 7 -16 15.8 -4 16.4"
    flank = "C2 16.7 8 15.8 12 12.8"
    front = f"C17 9 21 5 {max(20.5, hx - 1):.1f} -1C{around_head((0.7, 1.2), (0.8, 0.9), (0.75, 0.4))}"
    if pose == "flying":  # the breast reaches further back, where neither wing nor head hides it
        breast = f"M-4 16.4{flank}{front}L{hx - r:.1f} -9L-4 -4"
        breast += "Q-7 0 -4.6 3Q-2 4.4 -1.4 3.6Q-4 8 -1.6 9.4Q.4 10 1 8.6Q-1 13 -4 16.4Z"
    else:
        breast = f"M12 12.8{front}L{around_head((-0.5, 0))}L2 -6L1 5"
        breast += "Q3 8.6 5 7Q4.4 10.4 7 10.8Q8.6 10.8 9.4 9.8Q9.4 12.6 12 12.8Z"
    outline = f"M{nape}{back}{belly}{flank}{front}Z"
    shadow = f"M-28 3{belly}{flank}Q0 9 -28 3Z"
    return (
        gradient(f"{name}s", ((0, OUTLINE, 0), (1, OUTLINE, 0.32)))
        + circle(hx, hy, r, OUTLINE, f' stroke="{ink(OUTLINE)}" stroke-width="{2 * width:.2f}"')
        + path(outline, colour["belly"], OUTLINE, 2 * width)
        + path(f"M{nape}{back}Q-10 -3 2 -3Z", colour["wings"])
        + path(breast, colour["breast"])
        + path(
            f"M{nape}Q{around_head((-0.9, 0.7), (-0.65, 1.2))}Q{around_head((-0.35, 1.15), (-0.2, 0.8))}Z",
            colour["crown"],
        )
        + f'<path d="{shadow}" fill="url(#{name}s)"/>'
    )


def head(spec, colour, width, name):
    """The head, in a circle of radius 10: crest, bill, crown, throat, cheek patch, eye ring, and eye."""
    shapes = ""
    if spec.crest != "none":
        shapes += path(
            "M7 -6.5C5 -13 -1 -19.5 -10.5 -21.5Q-7.5 -18.5 -8 -15.8Q-11.5 -17.6 -15.5 -16.4Q-11.5 -14 -11 -11"
            "Q-14 -11.4 -17 -9.4C-12.5 -8.4 -11 -5 -8.5 -1Z",
            colour["crest"],
            OUTLINE,
            width,
        )
        shapes += path(
            "M3 -8Q-.5 -13.5 -5.5 -17M-1 -8Q-5 -12 -10 -13.6M-4 -7Q-8 -8.6 -11.5 -8.8",
            stroke=tone(colour["crest"], 0.4),
            width=0.9,
        )
    shapes += beak(spec, colour["bill"], width)
    shapes += circle(0, 0, 10, colour["crown"])
    shapes += path("M9.4 3.4A10 10 0 0 1 -4 9.2Q1 3.4 9.4 3.4Z", colour["breast"])
    glow = ((0, WHITE, 0.24), (1, OUTLINE, 0.06))
    shapes += gradient(f"{name}h", glow, 'radialGradient cx="0.55" cy="0.25" r="0.8"')
    shapes += circle(0, 0, 10, f"url(#{name}h)")
    if spec.cheek_patch != "none":
        shapes += path(
            "M-8.2 2.6C-8 -.9 -2.6 -1.4 1.2 2.2C2.3 5.4 -1.2 7.9 -4.7 7.2C-7 6.7 -8.3 4.9 -8.2 2.6Z",
            colour["cheek_patch"],
        )
    if spec.eye_ring != "none":
        shapes += circle(3.6, -2.4, 4.8, colour["eye_ring"])
    else:
        shapes += circle(3.6, -2.4, 2.9, tone(colour["crown"], 0.3))
    return shapes + circle(3.6, -2.4, 2.4, (26, 22, 30)) + circle(4.4, -3.3, 0.85, WHITE)


def beak(spec, colour, width):
    """The bill, from the head's edge to the right; its two halves meet in a line."""
    n = 10 * BILL_LENGTH[spec.bill_length]
    outline, line = {
        "conical": (f"M8 -4.6Q14 -4.6 {9 + n} 1.6Q14 6.4 8 6Z", f"M9 1.2L{6 + n} 1.4"),
        "pointed": (f"M8 -2.8L{10 + n} 1L8 4.6Z", f"M9 .9L{6 + n} .9"),
        "hooked": (
            f"M8 -3.4Q{4 + n} -4 {8 + n} -1.2C{11 + n} 1 {10.5 + n} 4.6 {9 + n} 6.4Q{8.4 + n} 3.4 {5 + n} 3.2L8 4.4Z",
            f"M9 1Q{3 + n} .4 {6 + n} 1.2",
        ),
        "curved": (
            f"M8 -2.8Q{4 + 0.7 * n:.1f} -4 {7 + n} 10Q{2 + 0.6 * n:.1f} 1.6 8 3.4Z",
            f"M9 .4Q{4 + 0.6 * n:.1f} -.8 {2 + n} 5",
        ),
    }[spec.bill_shape]
    return path(outline, colour, OUTLINE, width) + path(line, stroke=tone(colour, 0.45), width=0.7)


def tail(colour, width, pose):
    """Long feathers behind the body; a flying bird spreads them."""
    angles = (160, 171, 182, 193) if pose == "flying" else (167, 176, 185)
    outline, shafts = fan(-20, 0, angles, [25] * len(angles), (0, -3))
    return path(outline, colour, OUTLINE, width) + path(shafts, stroke=tone(colour, 0.4), width=0.8)


def folded_wing(colour, width, chance):
    """A wing at rest: coverts in scales, secondaries, and the long primaries towards the tail."""
    tip = chance.uniform(0, 2.5)
    outline = (
        f"M9.5 -6C5 -11.5 -6 -11 -16 -7.5L-33 {tip:.1f}Q-25 {tip + 3.5:.1f} -18 3.4C-8 6 4 6.4 8.6 0Q10.6 -3 9.5 -6Z"
    )
    quills = "M-1.6 -7.4q1.8 1.5 0 3.2M3 -6.6q1.8 1.5 0 3.2M.2 -3q1.8 1.5 0 3.2"
    quills += f"M0 2.8Q-14 2 -29.5 {tip:.1f}M-2 0Q-14 -1 -26 {tip - 1.6:.1f}M-3 -3.6Q-13 -5.4 -22 -4"
    scales = "M8.6 -6.2C3 -10.4 -5 -10 -7 -8.4Q-5.4 -6.8 -7 -5Q-4.6 -3.8 -6 -1.8Q-3.4 -1.2 -4 1.2Q-1 .8 -.4 3.2"
    scales += "Q2 2 4.2 3.2Q7 2.2 8.4 -1Z"
    return (
        path(outline, colour, OUTLINE, width)
        + path(scales, mix(colour, WHITE, 0.1), tone(colour, 0.35), 0.8)
        + path(quills, stroke=tone(colour, 0.4), width=0.9)
    )


def spread_wing(x, y, turn, colour, width, chance):
    """A raised wing of three rows of feathers (the far wing, which is turned, shows only the first of them)."""
    turn, rows_seen = turn + chance.uniform(-5, 5), () if turn else ((0.56, 0.07), (0.34, 0.14))
    angles = [-96 + turn - 11 * i for i in range(8)]
    lengths = [47, 47, 43, 37, 31, 26.5, 23.5, 21]
    outline, shafts = fan(x, y, angles, lengths, (5, 2))
    rows = path(outline, colour, OUTLINE, width) + path(shafts, stroke=tone(colour, 0.4), width=0.8)
    for share, light in rows_seen:
        outline, _ = fan(x, y, angles, [share * n for n in lengths], (5, 2))
        rows += path(outline, mix(colour, WHITE, light), tone(colour, 0.35), 0.8)
    return rows


def leg_pair(length, pose, chance):
    """Two legs down to the feet, or into the water."""
    colour, foot = (150, 104, 74), 14 + length
    toes = "" if pose == "wading" else "m-3.6 1l3.6 -1.2l4 1.2m-4 -1.2l2.6 2.2"
    d = "".join(f"M{x} 11L{x + 1} {foot - 1}{toes}" for x in (-4, 4))
    shapes = path(d, stroke=OUTLINE, width=3) + path(d, stroke=colour, width=1.5)
    if pose == "wading":
        d = f"M-9.5 {foot - 1}a6.5 1.8 0 0 0 13 0M-1.5 {foot - 1}a6.5 1.8 0 0 0 13 0M-19 {foot}a20 5 0 0 0 40 0"
        shapes += path(d, stroke=(206, 234, 242), width=1.1)
    elif pose != "perched":
        shapes = f'<ellipse cx="0" cy="{foot}" rx="22" ry="2.6" fill="{ink(OUTLINE)}" fill-opacity="0.16"/>' + shapes
    return shapes


# --- words ------------------------------------------------------------------------------------------------------------


def spell(table):
    """{value: "word word"} -> {word: value}; a value is a word for itself."""
    return {word: value for value, synonyms in table.items() for word in (value, *synonyms.split())}


SHADES = {"red": "scarlet crimson", "grey": "gray silver", "yellow": "gold golden", "pink": "rosy", "brown": "chestnut"}
SIZES = {"small": "tiny little", "medium": "midsized", "large": "big huge"}
LENGTHS = {"short": "stubby", "long": "lengthy"}
SHAPES = {
    "conical": "cone thick stout",
    "pointed": "pointy sharp straight",
    "hooked": "",
    "curved": "downcurved curving",
}
ADJECTIVES = {  # word -> (what it speaks of, value)
    **{word: ("colour", value) for word, value in spell(dict.fromkeys(COLOURS, "") | SHADES).items()},
    **{word: ("size", value) for word, value in spell(SIZES).items()},
    **{word: ("length", value) for word, value in spell(LENGTHS).items()},
    **{word: ("shape", value) for word, value in spell(SHAPES).items()},
}
NOUNS = spell(
    {
        "bird": "fellow creature songbird one plumage feathers",
        "body": "underparts underside",
        "upperparts": "",
        "crown": "crowns head heads cap",
        "breast": "breasts chest throat",
        "belly": "bellies abdomen stomach tummy",
        "wings": "wing primaries secondaries back",
        "tail": "tails rectrices",
        "bill": "bills beak beaks",
        "crest": "crests tuft",
        "cheek_patch": "cheek cheeks",
        "eye_ring": "ring rings eyering eyerings",
    }
)
GROUPS = {"bird": MAIN_PARTS, "body": ("breast", "belly"), "upperparts": ("crown", "wings", "tail")}
POSE_WORDS = {
    "perched": "perching perches sitting sits",
    "standing": "stands",
    "feeding": "feeds pecking pecks foraging",
    "wading": "wades",
    "flying": "flies soaring soars flight",
}
PLACE_WORDS = {
    "branch": "branches twig bough tree",
    "grass": "meadow lawn ground",
    "snow": "snowy",
    "water": "lake pond sea",
    "sky": "skies air",
}
SITUATIONS = {  # word -> (attribute, value)
    **{word: ("pose", value) for word, value in spell(POSE_WORDS).items()},
    **{word: ("place", value) for word, value in spell(PLACE_WORDS).items()},
}
DETERMINERS = frozenset(words("a an the its this whose it their his her with has have having shows wears while but"))
NEGATIONS = ("no", "without", "lacks")
UNDER_NEGATION = ("a", "an", "any", "or", "eye", "patch")  # these do not end what a "no" speaks of
BEFORE_NOUNS = ("eye", "sized", "shaped", "colored", "coloured")  # these may stand between adjective and noun
KEYWORDS = (*NEGATIONS, *UNDER_NEGATION, *BEFORE_NOUNS)
SMALL_WORDS = words(
    "and is are all almost mostly entirely completely that which on of there in at over above through from to by "
    "around eyes feather magnificent beautiful pretty lovely picture photo here look see we can be seen"
)

# Ways of saying things when captions are written. Templates are grouped by what they have room for.
PART_NOUNS = {
    "crown": ("crown", "crown", "head"),
    "breast": ("breast", "breast", "chest", "throat"),
    "belly": ("belly", "belly", "abdomen"),
    "wings": ("wings", "wings", "back"),
    "tail": ("tail", "tail", "tail feathers"),
}
PLURAL = ("wings", "primaries and secondaries", "tail feathers", "cheeks")
ADJECTIVE_CHOICES = {
    "small": ("small", "little", "tiny"),
    "medium": ("medium sized", "midsized"),
    "large": ("large", "big"),
    "conical": ("conical", "cone shaped", "thick"),
    "pointed": ("pointed", "sharp", "straight"),
}
POSE_PHRASES = {"flying": ("flying", "soaring"), "perched": ("perched", "sitting"), "feeding": ("feeding", "pecking")}
PLACE_PHRASES = {
    "branch": ("on a branch", "on a twig", "in a tree"),
    "grass": ("in the grass", "on the grass", "in a meadow"),
    "snow": ("in the snow", "on the snow"),
    "water": ("in the water", "in a pond", "in a lake"),
    "sky": ("in the sky", "in the air", "through the sky"),
}
TEMPLATES = {
    "": "this is {a_bird}|{a_bird}|a picture of {a_bird}|here we see {a_bird}|look at this {bird}"
    "|this {noun} is {adjectives}",
    "features": "this {bird} has {features}|{a_bird} with {features}|this is {a_bird} that has {features}"
    "|{features} can be seen on this {bird}|in this picture of {a_bird}, {clauses}|look at this {bird}: {clauses}"
    "|this {bird} is {patches}|this {noun} is {adjectives} and has {features}"
    "|this magnificent {noun} is {adjectives} with {features}",
    "where": "this {bird} is {where}|{a_bird} {where}|{where}, there is {a_bird}|this {noun} is {adjectives}, {where}",
    "features where": "this {bird} is {where} and has {features}|{a_bird} with {features}, {where}"
    "|{where}, this {bird} shows {features}|there is {a_bird} {where}, and it has {features}"
    "|look at this {bird}, {where}: {clauses}|this {bird}, {where}, is {patches}"
    "|this {noun} is {adjectives} with {features}, {where}",
}


def listing(phrases):
    """Phrases in a row, with a comma before "and" where they have inner parts."""
    if any(" and " in phrase or " that " in phrase for phrase in phrases) and len(phrases) == 2:
        return ", and ".join(phrases)
    return join(phrases)


# --- the world --------------------------------------------------------------------------------------------------------


class Birds(World):
    """Birds of a field guide: size, pose, place, the colours of ten parts, and the length and shape of the bill."""

    name = "birds"
    attributes = ATTRIBUTES
    vocabulary = frozenset((*ADJECTIVES, *NOUNS, *SITUATIONS, *DETERMINERS, *SMALL_WORDS, *KEYWORDS))
    withheld = (
        {"breast": "pink", "wings": "black"},
        {"crest": "red", "cheek_patch": "white"},
        {"crown": "yellow", "tail": "blue"},
        {"size": "large", "eye_ring": "red"},
        {"pose": "flying", "crest": "pink"},
    )

    def sample(self, rng) -> Bird:
        chances = rng.random(20).tolist()

        def choose(values):
            return values[int(chances.pop() * len(values))]

        pose, place = choose(POSES)
        bill_length, bill_shape = choose(BILLS)
        colours = {letter: choose(PLUMAGE) for letter in "abcde"}
        parts = dict(zip(MAIN_PARTS, (colours[letter] for letter in choose(SCHEMES)), strict=True))
        marks = {  # half of the birds have none
            mark: choose(STANDS_OUT[mark][parts["crown"]]) if choose((True, False)) else "none"
            for mark in ("cheek_patch", "eye_ring")
        }
        return Bird(
            size=choose(ATTRIBUTES["size"]),
            pose=pose,
            place=place,
            bill=choose(ATTRIBUTES["bill"]),
            bill_length=bill_length,
            bill_shape=bill_shape,
            crest=choose(tuple(COLOURS)) if choose((True, False)) else "none",
            variation=int(chances.pop() * 2**48),
            **parts,
            **marks,
        )

    def truth(self, spec) -> dict[str, str]:
        return {attribute: getattr(spec, attribute) for attribute in ATTRIBUTES}

    # --- writing captions ---------------------------------------------------------------------------------------------

    def describe(self, spec, rng) -> tuple[str, dict[str, str]]:
        truth, names = self.truth(spec), tuple(ATTRIBUTES)
        chosen = [names[i] for i in rng.permutation(len(names))[: 1 + int(5 * rng.random())]]
        chosen = [name for name in chosen if truth[name] != "none" or rng.random() < 0.25] or ["size"]
        facts = {name: truth[name] for name in chosen}

        colours = [truth[part] for part in MAIN_PARTS]
        main = max(colours, key=colours.count)
        whole = main if colours.count(main) >= 3 and rng.random() < 0.4 else None
        if whole:  # the parts of another colour must then be named
            facts |= {part: truth[part] for part in MAIN_PARTS}
        told = {name: value for name, value in facts.items() if not (name in MAIN_PARTS and value == whole)}

        noun = pick(rng, ("bird", "bird", "bird", "fellow", "creature"))
        size = [say(told["size"], rng)] if "size" in told else []
        words_before = [*size, whole] if whole else size
        some = {"adjectives": join([*size, f"almost all {whole}"] if whole else size)} if words_before else {}
        some |= {"noun": noun, "bird": " ".join([*words_before, noun])}
        some["a_bird"] = a_or_an(some["bird"])
        some |= features(told, rng)
        if "pose" in told or "place" in told:
            some["where"] = where(told, spec.pose, rng)
        room = " ".join(name for name in ("features", "where") if name in some)
        missing = ["{" + gap + "}" for gap in GAPS if gap not in some]
        fitting = [t for t in TEMPLATES[room].split("|") if not any(gap in t for gap in missing)]
        return pick(rng, fitting).format(**some), facts

    # --- reading captions ---------------------------------------------------------------------------------------------

    def facts(self, caption: str) -> dict[str, str]:
        tokens = words(caption)
        check_words(tokens, self.vocabulary, "the world of birds")
        promises = Promises(caption)
        read(tokens, promises)
        facts = {attribute: value for attribute, (value, _) in promises.items()}
        if {"sitting", "sits"} & set(tokens) and facts.get("place") in ("grass", "snow"):
            facts["pose"] = "standing"  # only branches are for perching
        check_possible(facts, caption)
        return facts


GAPS = ("adjectives", "clauses", "patches")  # not every caption can fill these


def say(value, rng):
    """A word for a value."""
    return pick(rng, ADJECTIVE_CHOICES.get(value, (value,)))


def where(told, pose, rng):
    """ "perched on a branch", "perched", or "on a branch"."""
    phrases = [pick(rng, POSE_PHRASES.get(told["pose"], (told["pose"],)))] if "pose" in told else []
    if "place" in told:
        over_water = pose == "flying" and told["place"] == "water"
        phrases.append(pick(rng, ("over the water", "above the sea") if over_water else PLACE_PHRASES[told["place"]]))
    return " ".join(phrases)


def features(told, rng):
    """The parts of a bird as noun phrases, as clauses, and (if all are coloured parts) as "red on its ..."."""
    phrases, clauses, patches = [], [], []
    for colour, parts in group_by_colour(told, rng):
        nouns = [pick(rng, PART_NOUNS[part]) for part in parts]
        if nouns == ["wings"] and rng.random() < 0.3:
            nouns = ["primaries and secondaries"]
        plural, all_nouns = nouns[0] in PLURAL, " and ".join(nouns)
        phrases.append(f"{colour} {all_nouns}" if plural else a_or_an(f"{colour} {all_nouns}"))
        if nouns == ["wings"] and rng.random() < 0.3:
            phrases[-1] = f"wings that are {colour}"
        clauses.append(f"its {all_nouns} {'are' if plural or len(nouns) > 1 else 'is'} {colour}")
        patches.append(f"{colour} on its {all_nouns}")
    if bill := [say(told[name], rng) for name in ("bill_length", "bill_shape", "bill") if name in told]:
        noun = pick(rng, ("bill", "bill", "beak"))
        that = f"a {noun} that is {join(bill)}"
        phrases.append(that if rng.random() < 0.25 else a_or_an(" ".join([*bill, noun])))
        clauses.append(f"its {noun} is {join(bill)}")
    for name, nouns in (("crest", ["crest"]), ("cheek_patch", ["cheek patch", "cheeks"]), ("eye_ring", ["eye ring"])):
        if colour := told.get(name):
            noun = nouns[0] if colour == "none" else pick(rng, nouns)
            phrase = f"{colour} {noun}" if noun in PLURAL else a_or_an(f"{colour} {noun}")
            phrases.append(f"no {noun}" if colour == "none" else phrase)
            verb = "are" if noun in PLURAL else "is"
            clauses.append(f"it has no {noun}" if colour == "none" else f"its {noun} {verb} {colour}")
    found = {"features": listing(phrases), "clauses": listing(clauses)} if phrases else {}
    return found | ({"patches": listing(patches)} if patches and len(patches) == len(phrases) else {})


def group_by_colour(told, rng):
    """(colour, one or two parts that share it) for all main parts that are to be named."""
    groups = []
    for part in (name for name in told if name in MAIN_PARTS):
        for colour, parts in groups:
            if colour == told[part] and len(parts) < 2:
                parts.append(part)
                break
        else:
            groups.append((told[part], [part]))
    return groups


class Promises(dict):
    """attribute -> (value, rank). What is said of one part (rank 2) beats "body" (1), which beats "bird" (0)."""

    def __init__(self, caption):
        self.caption = caption

    def add(self, attribute, value, rank=2):
        if value not in ATTRIBUTES[attribute]:
            choice = join(ATTRIBUTES[attribute], "or")
            raise ValueError(f"In {self.caption!r}: {attribute} cannot be {value!r} in this world, only {choice}.")
        known, known_rank = self.get(attribute, (value, -1))
        if known_rank == rank and known != value:
            raise ValueError(f"{self.caption!r} contradicts itself: {attribute} is {known!r} and also {value!r}.")
        if rank > known_rank:
            self[attribute] = (value, rank)

    def deny(self, noun, adjectives):
        """Note that a bird has no crest, cheek patch, or eye ring."""
        if adjectives or "none" not in ATTRIBUTES.get(noun, ()):
            what = " ".join([*adjectives, noun.replace("_", " ")])
            raise ValueError(f"In {self.caption!r}: 'no {what}' promises nothing that this world can draw.")
        self.add(noun, "none")

    def describe(self, noun, adjective):
        """Note an adjective of a noun."""
        kind, value = ADJECTIVES[adjective]
        if kind == "colour":
            for part in GROUPS.get(noun, (noun,)):
                self.add(part, value, {"bird": 0, "body": 1, "upperparts": 1}.get(noun, 2))
        elif kind == "size" and noun == "bird":
            self.add("size", value)
        elif noun == "bill":
            length = {"small": "short", "large": "long"}.get(value, value)
            self.add(*(("bill_shape", value) if kind == "shape" else ("bill_length", length)))
        else:
            raise ValueError(f"In {self.caption!r}: {adjective!r} cannot be said of the {noun} in this world.")


def read(tokens, promises):
    """Give every adjective to its noun: "pink breast and crown", "wings that are black", "black on its wings"."""
    waiting = []  # adjectives whose noun is still to come
    given = []  # the colours that the last noun got, for "pink breast and crown"
    subjects = []  # the nouns that an "is" or "are" to come speaks of
    is_open = False  # whether these subjects have got nothing yet, so that "and" may add another
    predicate = joined = negated = False  # after "is"; after "and"; after "no"
    fresh = True  # after a "the" or "with", which ends what `given` reaches
    for i, word in enumerate(tokens):
        after = tokens[i + 1] if i + 1 < len(tokens) else ""
        negated = word in NEGATIONS or (negated and (word in NOUNS or word in ADJECTIVES or word in UNDER_NEGATION))
        if word in ADJECTIVES:
            if (predicate or tokens[max(i - 1, 0)] == "all") and subjects and not belongs_to_next(tokens, i):
                for noun in subjects:
                    promises.describe(noun, word)
                is_open = False
            else:
                waiting.append(word)
        elif word in NOUNS and not (word == "feathers" and tokens[i - 1] in NOUNS):
            noun = NOUNS[word]
            inherits = given and not fresh and noun != "bird" and after not in ("that", "which", "is", "are")
            if negated:
                promises.deny(noun, waiting)
            elif waiting or inherits:
                for adjective in waiting or given:
                    promises.describe(noun, adjective)
                given = [a for a in waiting or given if ADJECTIVES[a][0] == "colour"]
                subjects, is_open = [noun], False
            elif is_open and joined and "bird" not in (noun, *subjects):
                subjects = [*subjects, noun]
            elif not (noun == "bird" and subjects):
                subjects, given, is_open = [noun], [], True
            waiting, predicate, joined, fresh = [], False, False, False
        elif word in SITUATIONS:
            promises.add(*SITUATIONS[word])
            fresh, predicate = True, False
        elif word in DETERMINERS:
            fresh, predicate = True, False
        elif word in ("is", "are"):
            predicate = True
        elif word in ("and", ","):
            joined = True
    if waiting:
        raise ValueError(f"In {promises.caption!r}, {waiting[0]!r} describes nothing. Say what is {waiting[0]}.")


def belongs_to_next(tokens, i):
    """Whether the adjective at `i` speaks of a noun to come: "yellow belly", "yellow on its belly"."""
    rest = [t for t in tokens[i + 1 :] if t not in ADJECTIVES and t not in BEFORE_NOUNS]
    if rest[:1] == ["on"]:
        rest = [t for t in rest if t in NOUNS or t in SITUATIONS]
    return bool(rest) and rest[0] in NOUNS


def check_possible(facts, caption):
    """Raise ValueError for what no picture of this world can show."""
    for pair, possible in ((("pose", "place"), POSES), (("bill_length", "bill_shape"), BILLS)):
        first, second = (facts.get(name) for name in pair)
        if first and second and (first, second) not in possible:
            choice = join([b for a, b in dict.fromkeys(possible) if a == first], "or")
            raise ValueError(f"{caption!r}: {pair[0]} {first!r} goes with {pair[1]} {choice} here, not {second!r}.")
    for mark, seen_on in STANDS_OUT.items():
        colour, crown = facts.get(mark, "none"), facts.get("crown")
        if crown and colour != "none" and colour not in seen_on[crown]:
            raise ValueError(f"{caption!r}: a {colour} {mark.replace('_', ' ')} cannot be told from a {crown} head.")
