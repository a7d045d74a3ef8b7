"""Birds: one bird per picture, captioned in the manner of the CUB-200 captions of Reed et al. (2016).

"this small bird has a pink breast and crown, and black primaries and secondaries"
"this magnificent fellow is almost all black with a red crest, and white cheek patch"

A bird is drawn in its own coordinates, facing right, with its body around (0, 0); its head has coordinates of its own.
What captions say about birds, and how they are read, is in `birds_language.py`.
"""

from dataclasses import dataclass
from math import cos, radians, sin
from random import Random

from . import birds_language as language
from .base import World
from .language import join

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
MAIN_PARTS = language.MAIN_PARTS  # crown, breast, belly, wings, tail
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
# flying; cheek patches and eye rings do not have a colour too close to that of the head around them. Where a choice is
# listed several times, it is as many times as likely.
POSES = [("perched", "branch")] * 4 + [("standing", "grass"), ("standing", "snow"), ("feeding", "grass")] * 2
POSES += [("feeding", "snow"), ("wading", "water"), ("wading", "water"), ("flying", "water"), *[("flying", "sky")] * 3]
BILLS = [("short", "conical"), ("short", "pointed"), ("short", "hooked"), ("long", "pointed"), ("long", "hooked")]
BILLS += [("long", "curved"), ("long", "curved")]
SCHEMES = [*["aaaaa"] * 4, "abbaa", "abbaa", "aabaa", "abaaa", "baaaa", "aabbb", "aaabb", "abbca", "abbcc", "aabcb"]
SCHEMES += ["abcaa", *["abcde"] * 5]  # which of crown, breast, belly, wings, tail share a colour
PLUMAGE = (*COLOURS, "brown", "grey", "black", "black", "white", "blue", "red")
CLOSE = ["red orange pink brown", "orange yellow", "yellow white", "white grey", "white pink", "blue black grey"]
CLOSE += ["brown black", "blue green", "blue brown", *COLOURS]
STANDS_OUT = {  # mark -> colour of the head -> colours that the mark may have
    mark: {
        head: [c for c in ATTRIBUTES[mark][1:] if not any({c, head} <= set(group.split()) for group in CLOSE)]
        for head in COLOURS
    }
    for mark in ("cheek_patch", "eye_ring")
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
        rng = Random(self.variation)
        background = BACKGROUNDS[self.place](rng, self.pose)
        return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">{background}{draw(self, rng)}</svg>'


# --- pens and feathers: a colour is (red, green, blue), a point (x, y) ------------------------------------------------

OUTLINE, WHITE = (46, 42, 59), (255, 255, 255)


def mix(a, b, share):
    """A colour between a and b."""
    return tuple(round(x + (y - x) * share) for x, y in zip(a, b, strict=True))


def wobble(colour, rng):
    """Nearly the same colour: no two red birds have exactly the same red."""
    return tuple(min(255, max(0, int(value + 13 * rng.random() - 6))) for value in colour)


def tone(colour, amount):
    """A colour to draw details with: darker, but lighter on dark colours."""
    return mix(colour, WHITE, amount * 0.8) if sum(colour) < 240 else mix(colour, OUTLINE, amount)


def ink(colour):
    """A colour as SVG writes it."""
    r, g, b = colour
    return f"#{r:02x}{g:02x}{b:02x}"


def path(d, fill, stroke=None, width=1.0, more=""):
    """A filled path, with a stroke around it if that has a colour."""
    if stroke:
        more = f' stroke="{ink(stroke)}" stroke-width="{width:.2f}"{more}'
    return f'<path d="{d}" fill="{ink(fill) if fill else "none"}"{more}/>'


def line(d, colour, width, more=""):
    return path(d, None, colour, width, more)


def circle(x, y, r, fill, more=""):
    return f'<circle cx="{x:.2f}" cy="{y:.2f}" r="{r:.2f}" fill="{ink(fill)}"{more}/>'


def gradient(name, *stops, kind="linearGradient", where='x1="0" y1="0" x2="0" y2="1"'):
    """A gradient from the first to the last of two (colour, opacity) stops."""
    inner = "".join(f'<stop offset="{i}" stop-color="{ink(c)}" stop-opacity="{a}"/>' for i, (c, a) in enumerate(stops))
    return f'<{kind} id="{name}" {where}>{inner}</{kind}>'


def at(*points):
    """Points as paths write them."""
    return " ".join([f"{x:.1f} {y:.1f}" for x, y in points])


def polar(x, y, angle, r):
    """The point at a distance from (x, y); 90 degrees is down."""
    return x + r * cos(radians(angle)), y + r * sin(radians(angle))


def fan(x, y, angles, lengths, root):
    """Feathers spread from (x, y), the first edge straight from `root`: the outline, and the lines between feathers."""
    step = (angles[1] - angles[0]) / 2
    edges = [polar(x, y, a - step, 0.9 * r) for a, r in zip(angles, lengths, strict=True)]
    edges.append(polar(x, y, angles[-1] + step, 0.85 * lengths[-1]))
    tips = [polar(x, y, a, 1.1 * r) for a, r in zip(angles, lengths, strict=True)]
    bumps = "".join([f"Q{at(tip, edge)}" for tip, edge in zip(tips, edges[1:], strict=True)])
    shafts = "".join([f"M{x + 0.45 * (a - x):.1f} {y + 0.45 * (b - y):.1f}L{a:.1f} {b:.1f}" for a, b in edges[1:-1]])
    return f"M{at((x + root[0], y + root[1]))}L{at(edges[0])}{bumps}L{at((x, y))}Z", shafts


def leaf(x, y, angle, length, width=0.34):
    """The outline of a leaf (or a blade of grass, where it is narrow)."""
    a, b = polar(x, y, angle - 35, 2 * width * length)
    c, d = polar(x, y, angle, length)
    e, f = polar(x, y, angle + 35, 2 * width * length)
    return f"M{x:.1f} {y:.1f}Q{a:.1f} {b:.1f} {c:.1f} {d:.1f}Q{e:.1f} {f:.1f} {x:.1f} {y:.1f}Z"


# --- places -----------------------------------------------------------------------------------------------------------


def backdrop(rng, top, bottom):
    """A sky from one colour to another, each a little different every time."""
    name = f"sky{rng.getrandbits(40):x}"
    colours = gradient(name, (wobble(top, rng), 1), (wobble(bottom, rng), 1))
    return f'{colours}<rect width="100" height="100" fill="url(#{name})"/>'


def clouds(rng, n, lowest):
    """A few clouds, in one path."""
    puffs = ""
    for _ in range(n):
        x, y, r = rng.uniform(5, 95), rng.uniform(6, lowest), rng.uniform(3.5, 6.5)
        arcs = ((r, 1.3, -0.9), (1.35 * r, 2.4, -0.2), (0.9 * r, 1.3, 1.1))
        puff = "".join([f"a{a:.1f} {a:.1f} 0 0 1 {dx * r:.1f} {dy * r:.1f}" for a, dx, dy in arcs])
        puffs += f"M{x - 2.4 * r:.1f} {y:.1f}{puff}Z"
    return path(puffs, WHITE, more=' fill-opacity="0.85"')


def sky(rng, pose):
    return backdrop(rng, (136, 196, 240), (226, 242, 250)) + clouds(rng, rng.randint(3, 5), lowest=92)


def water(rng, pose):
    level = rng.uniform(72, 76) if pose == "wading" else rng.uniform(80, 84)
    rows = [level + 3 + i * (100 - level) / 9 for i in range(9)]
    waves = "".join(f"M{rng.uniform(-5, 95):.1f} {y:.1f}q3 -2 6 0t6 0t6 0" for y in rows)
    picture = backdrop(rng, (206, 230, 244), (246, 240, 224)) + clouds(rng, 2, lowest=30)
    picture += path(f"M0 {level:.1f}H100V100H0Z", (84, 158, 186))
    picture += path(f"M0 {level:.1f}H100V{level + 5:.1f}H0Z", (122, 186, 206))
    picture += line(waves, (190, 226, 236), 1)
    if pose == "wading":
        x = rng.choice((5, 90))
        reeds = [leaf(x + 2 * i, 84, -90 + rng.uniform(-14, 14), rng.uniform(26, 44), 0.05) for i in range(4)]
        picture += path("".join(reeds), (96, 140, 78))
    return picture


def grass(rng, pose):
    uniform = rng.uniform
    top, peak = uniform(64, 70), uniform(15, 45)
    hill = f"M0 {top:.1f}Q{peak:.0f} {top - 8:.1f} 60 {top - 1:.1f}T100 {top - 4:.1f}V100H0Z"
    blades = [leaf(uniform(0, 100), uniform(88, 102), uniform(-108, -72), uniform(7, 13), 0.13) for _ in range(17)]
    flowers = [circle(uniform(3, 97), uniform(89, 97), uniform(1, 1.5), (255, 246, 214)) for _ in range(4)]
    picture = backdrop(rng, (196, 226, 244), (250, 244, 220)) + clouds(rng, 2, lowest=26)
    picture += path(hill, (176, 210, 130)) + path("M0 78Q30 73 60 77T100 75V100H0Z", (142, 190, 98))
    return picture + path("".join(blades), (104, 160, 76)) + "".join(flowers)


def snow(rng, pose):
    trees = [(rng.uniform(2, 98), rng.uniform(12, 24)) for _ in range(4)]
    firs = "".join(f"M{x:.1f} {72 - h:.1f}l{h * 0.28:.1f} {h:.1f}h{-h * 0.56:.1f}Z" for x, h in trees)
    flakes = "".join([f"M{rng.uniform(0, 100):.1f} {rng.uniform(0, 96):.1f}h0" for _ in range(24)])
    picture = backdrop(rng, (168, 188, 214), (222, 228, 240)) + path(firs, (140, 166, 182))
    picture += path(f"M0 70Q{rng.uniform(15, 40):.0f} 62 55 68T100 66V100H0Z", (232, 238, 248))
    picture += path("M0 80Q30 75 60 79T100 77V100H0Z", (250, 251, 255))
    return picture + line(flakes, WHITE, 1.7, ' stroke-linecap="round"')


def branch(rng, pose):
    uniform = rng.uniform
    glow = [circle(uniform(0, 100), uniform(0, 100), uniform(8, 18), (220, 232, 196)) for _ in range(3)]
    left, right = uniform(73, 77), uniform(71, 75)
    wood = f"M-2 {left + 2:.1f}Q25 {left - 3:.1f} 50 74T102 {right - 1:.1f}v3Q75 79.5 50 79T-2 {left + 7:.1f}Z"
    bark = f"M4 {left + 3:.1f}Q25 {left:.1f} 44 76.2M58 76.6Q75 77 96 {right + 0.4:.1f}"
    leaves = {"behind": "", "in front": ""}
    for x in (1, 7, 13, 20, 79, 85, 91, 98):
        side = rng.choice((-1, 1))
        where = "behind" if side < 0 else "in front"
        leaves[where] += leaf(x + uniform(-2, 2), 76, side * uniform(40, 140), uniform(8, 13))
    corner = rng.choice((0, 100))
    for reach in range(0, 24, 3):
        inward = 45 + (reach % 2 * 2 - 1) * uniform(25, 60)
        x, angle = abs(corner - (uniform(0, 3) + reach)), inward if corner == 0 else 180 - inward
        leaves["in front"] += leaf(x, 1 + reach / 8, angle, 13 - reach / 4)
    picture = backdrop(rng, (232, 240, 214), (248, 242, 222)) + "".join(glow)
    picture += path(leaves["behind"], (92, 140, 76)) + path(wood, (150, 108, 78), (94, 66, 50), 0.7)
    return picture + line(bark, (190, 150, 116), 0.8) + path(leaves["in front"], (128, 174, 90))


BACKGROUNDS = {"branch": branch, "grass": grass, "snow": snow, "water": water, "sky": sky}

# --- the bird ---------------------------------------------------------------------------------------------------------

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
CREST = "M7 -6.5C5 -13 -1 -19.5 -10.5 -21.5Q-7.5 -18.5 -8 -15.8Q-11.5 -17.6 -15.5 -16.4Q-11.5 -14 -11 -11"
CREST += "Q-14 -11.4 -17 -9.4C-12.5 -8.4 -11 -5 -8.5 -1Z"
CREST_SHAFTS = "M3 -8Q-.5 -13.5 -5.5 -17M-1 -8Q-5 -12 -10 -13.6M-4 -7Q-8 -8.6 -11.5 -8.8"
CHEEK_PATCH = "M-8.2 2.6C-8 -.9 -2.6 -1.4 1.2 2.2C2.3 5.4 -1.2 7.9 -4.7 7.2C-7 6.7 -8.3 4.9 -8.2 2.6Z"
COVERTS = "M8.6 -6.2C3 -10.4 -5 -10 -7 -8.4Q-5.4 -6.8 -7 -5Q-4.6 -3.8 -6 -1.8Q-3.4 -1.2 -4 1.2Q-1 .8 -.4 3.2"
COVERTS += "Q2 2 4.2 3.2Q7 2.2 8.4 -1Z"


def draw(spec, rng):
    """The bird of a spec, in the coordinates of the picture."""
    tilt, hx, hy, turn, legs, ground = STANCE[spec.pose]
    scale, r = SCALE[spec.size] * rng.uniform(0.96, 1.03), HEAD[spec.size]
    tilt, turn = tilt + rng.uniform(-4, 4), turn + rng.uniform(-4, 4)
    name = f"b{rng.getrandbits(40):x}"
    paint = {value: wobble(colour, rng) for value, colour in COLOURS.items()}
    colour = {part: paint[value] for part in ATTRIBUTES if (value := getattr(spec, part)) in paint}
    width = 0.8 / scale**0.5

    front = hx + r * (1.0 + BILL_LENGTH[spec.bill_length])
    side = rng.choice((-1, 1))
    slack = max(0.0, 97 - scale * (48 + front)) / 2
    x = 50 - side * scale * (front - 48) / 2 + rng.uniform(-0.4, 0.4) * slack
    if spec.pose == "flying":
        y = ground + 10 * scale
        far_wing = spread_wing(9, -5, 30, mix(colour["wings"], OUTLINE, 0.22), width, rng)
        near_wing = spread_wing(1, -4, 0, colour["wings"], width, rng)
    else:  # on the ground, small birds stand further away
        y = ground - (1 - scale) * (14 if spec.pose != "perched" else 0) - scale * (14 + legs)
        far_wing, near_wing = "", folded_wing(colour["wings"], width, rng)
    return (
        f'<g transform="translate({x:.2f} {y:.2f}) scale({side * scale:.3f} {scale:.3f})" stroke-linejoin="round" '
        f'stroke-linecap="round">{leg_pair(legs, spec.pose)}<g transform="rotate({tilt:.1f})">{far_wing}'
        f"{tail(colour['tail'], width, spec.pose)}{body(colour, hx, hy, r, width, name, spec.pose)}"
        f'<g transform="translate({hx} {hy}) rotate({turn:.1f}) scale({r / 10})">'
        f"{head(spec, colour, width * 10 / r, name)}</g>{near_wing}</g></g>"
    )


def body(colour, hx, hy, r, width, name, pose):
    """Body and neck in one outline, along whose pieces back, breast, and shadow are painted (clipping is slower)."""

    def around_head(*offsets):
        return at(*[(hx + dx * r, hy + dy * r) for dx, dy in offsets])

    nape = f"M{around_head((-0.8, -0.3))}"
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
    neck = f"{nape}Q{around_head((-0.9, 0.7), (-0.65, 1.2))}Q{around_head((-0.35, 1.15), (-0.2, 0.8))}Z"
    return (
        gradient(f"{name}s", (OUTLINE, 0), (OUTLINE, 0.32))
        + circle(hx, hy, r, OUTLINE, f' stroke="{ink(OUTLINE)}" stroke-width="{2 * width:.2f}"')
        + path(f"{nape}{back}{belly}{flank}{front}Z", colour["belly"], OUTLINE, 2 * width)
        + path(f"{nape}{back}Q-10 -3 2 -3Z", colour["wings"])
        + path(breast, colour["breast"])
        + path(neck, colour["crown"])
        + f'<path d="M-28 3{belly}{flank}Q0 9 -28 3Z" fill="url(#{name}s)"/>'
    )


def head(spec, colour, width, name):
    """The head, in a circle of radius 10: crest, bill, crown, throat, cheek patch, eye ring, and eye."""
    shapes = ""
    if "crest" in colour:
        shapes += path(CREST, colour["crest"], OUTLINE, width) + line(CREST_SHAFTS, tone(colour["crest"], 0.4), 0.9)
    shapes += beak(spec, colour["bill"], width) + circle(0, 0, 10, colour["crown"])
    shapes += path("M9.4 3.4A10 10 0 0 1 -4 9.2Q1 3.4 9.4 3.4Z", colour["breast"])
    shine = {"kind": "radialGradient", "where": 'cx="0.55" cy="0.25" r="0.8"'}
    shapes += gradient(f"{name}h", (WHITE, 0.24), (OUTLINE, 0.06), **shine)
    shapes += f'<circle cx="0.00" cy="0.00" r="10.00" fill="url(#{name}h)"/>'
    if "cheek_patch" in colour:
        shapes += path(CHEEK_PATCH, colour["cheek_patch"])
    ring = (4.8, colour["eye_ring"]) if "eye_ring" in colour else (2.9, tone(colour["crown"], 0.3))
    return shapes + circle(3.6, -2.4, *ring) + circle(3.6, -2.4, 2.4, (26, 22, 30)) + circle(4.4, -3.3, 0.85, WHITE)


def beak(spec, colour, width):
    """The bill, from the head's edge to the right; its two halves meet in a line."""
    n = 10 * BILL_LENGTH[spec.bill_length]
    if spec.bill_shape == "conical":
        outline, gap = f"M8 -4.6Q14 -4.6 {9 + n} 1.6Q14 6.4 8 6Z", f"M9 1.2L{6 + n} 1.4"
    elif spec.bill_shape == "pointed":
        outline, gap = f"M8 -2.8L{10 + n} 1L8 4.6Z", f"M9 .9L{6 + n} .9"
    elif spec.bill_shape == "hooked":
        upper = f"M8 -3.4Q{4 + n} -4 {8 + n} -1.2C{11 + n} 1 {10.5 + n} 4.6 {9 + n} 6.4"
        outline, gap = f"{upper}Q{8.4 + n} 3.4 {5 + n} 3.2L8 4.4Z", f"M9 1Q{3 + n} .4 {6 + n} 1.2"
    else:
        outline = f"M8 -2.8Q{4 + 0.7 * n:.1f} -4 {7 + n} 10Q{2 + 0.6 * n:.1f} 1.6 8 3.4Z"
        gap = f"M9 .4Q{4 + 0.6 * n:.1f} -.8 {2 + n} 5"
    return path(outline, colour, OUTLINE, width) + line(gap, tone(colour, 0.45), 0.7)


def tail(colour, width, pose):
    """Long feathers behind the body; a flying bird spreads them."""
    angles = (160, 171, 182, 193) if pose == "flying" else (167, 176, 185)
    outline, shafts = fan(-20, 0, angles, [25] * len(angles), (0, -3))
    return path(outline, colour, OUTLINE, width) + line(shafts, tone(colour, 0.4), 0.8)


def folded_wing(colour, width, rng):
    """A wing at rest: coverts in scales, secondaries, and the long primaries towards the tail."""
    tip = rng.uniform(0, 2.5)
    outline = f"M9.5 -6C5 -11.5 -6 -11 -16 -7.5L-33 {tip:.1f}Q-25 {tip + 3.5:.1f} -18 3.4"
    outline += "C-8 6 4 6.4 8.6 0Q10.6 -3 9.5 -6Z"
    quills = "M-1.6 -7.4q1.8 1.5 0 3.2M3 -6.6q1.8 1.5 0 3.2M.2 -3q1.8 1.5 0 3.2"
    quills += f"M0 2.8Q-14 2 -29.5 {tip:.1f}M-2 0Q-14 -1 -26 {tip - 1.6:.1f}M-3 -3.6Q-13 -5.4 -22 -4"
    coverts = path(COVERTS, mix(colour, WHITE, 0.1), tone(colour, 0.35), 0.8)
    return path(outline, colour, OUTLINE, width) + coverts + line(quills, tone(colour, 0.4), 0.9)


def spread_wing(x, y, turn, colour, width, rng):
    """A raised wing of three rows of feathers (the far wing, which is turned, shows only the first of them)."""
    rows_seen = () if turn else ((0.56, 0.07), (0.34, 0.14))
    turn += rng.uniform(-5, 5)
    angles = [-96 + turn - 11 * i for i in range(8)]
    lengths = [47, 47, 43, 37, 31, 26.5, 23.5, 21]
    outline, shafts = fan(x, y, angles, lengths, (5, 2))
    rows = path(outline, colour, OUTLINE, width) + line(shafts, tone(colour, 0.4), 0.8)
    for share, light in rows_seen:
        outline, _ = fan(x, y, angles, [share * n for n in lengths], (5, 2))
        rows += path(outline, mix(colour, WHITE, light), tone(colour, 0.35), 0.8)
    return rows


def leg_pair(length, pose):
    """Two legs down to the feet, or into the water; a flying bird hides them."""
    if pose == "flying":
        return ""
    foot, toes = 14 + length, "" if pose == "wading" else "m-3.6 1l3.6 -1.2l4 1.2m-4 -1.2l2.6 2.2"
    legs = "".join(f"M{x} 11L{x + 1} {foot - 1}{toes}" for x in (-4, 4))
    shapes = line(legs, OUTLINE, 3) + line(legs, (150, 104, 74), 1.5)
    if pose == "wading":
        ripples = f"M-9.5 {foot - 1}a6.5 1.8 0 0 0 13 0M-1.5 {foot - 1}a6.5 1.8 0 0 0 13 0M-19 {foot}a20 5 0 0 0 40 0"
        shapes += line(ripples, (206, 234, 242), 1.1)
    elif pose != "perched":
        shapes = f'<ellipse cx="0" cy="{foot}" rx="22" ry="2.6" fill="{ink(OUTLINE)}" fill-opacity="0.16"/>' + shapes
    return shapes


# --- the world --------------------------------------------------------------------------------------------------------


class Birds(World):
    """Birds of a field guide: size, pose, place, the colours of nine parts, and the length and shape of the bill."""

    name = "birds"
    attributes = ATTRIBUTES
    vocabulary = language.VOCABULARY
    withheld = (
        {"breast": "pink", "wings": "black"},
        {"crest": "red", "cheek_patch": "white"},
        {"crown": "yellow", "tail": "blue"},
        {"size": "large", "eye_ring": "red"},
        {"pose": "flying", "crest": "pink"},
    )

    def sample(self, rng) -> Bird:
        """Any bird, whatever its split."""
        chances = rng.random(20).tolist()

        def choose(values):
            return values[int(chances.pop() * len(values))]

        def maybe(values):  # half of the birds have none
            return choose(values) if choose((True, False)) else "none"

        (pose, place), (bill_length, bill_shape) = choose(POSES), choose(BILLS)
        values = {"pose": pose, "place": place, "bill_length": bill_length, "bill_shape": bill_shape}
        colours = {letter: choose(PLUMAGE) for letter in "abcde"}
        values |= zip(MAIN_PARTS, (colours[letter] for letter in choose(SCHEMES)), strict=True)
        values |= {mark: maybe(seen_on[values["crown"]]) for mark, seen_on in STANDS_OUT.items()}
        values |= {"size": choose(ATTRIBUTES["size"]), "bill": choose(ATTRIBUTES["bill"]), "crest": maybe([*COLOURS])}
        return Bird(**values, variation=int(chances.pop() * 2**48))

    def truth(self, spec: Bird) -> dict[str, str]:
        """Everything that is true of a bird."""
        return {attribute: getattr(spec, attribute) for attribute in ATTRIBUTES}

    def describe(self, spec: Bird, rng) -> tuple[str, dict[str, str]]:
        """One caption, and the facts that it promises."""
        return language.write(self.truth(spec), rng)

    def facts(self, caption: str) -> dict[str, str]:
        """What a caption promises. Raises `UnknownWord` for a word without a meaning here."""
        facts = language.read(caption, ATTRIBUTES)
        check_possible(facts, caption)
        return facts


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
