"""Composes the chosen pictures into one SVG: cards on warm paper, arrows for verbs, no words.

Lengths are in units of a canvas of 100 by 100.
"""

import base64
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from .pictures import LibraryPicture

INK, RED = "#2E2A3B", "#E4572E"
TINTS = {  # behind the picture, by category
    "people": "#FDE6D2",
    "animals": "#E5F2D9",
    "food": "#FFF1C7",
    "plants": "#DFF0D3",
    "vehicles": "#DBECF9",
    "buildings": "#F5E2DA",
    "tools": "#E8EAF0",
    "household": "#F1E7F6",
    "clothes": "#FBE2EC",
    "weather": "#DCEFFA",
    "places": "#DDEFE4",
    "actions": "#FFF9EE",
    "body": "#FDE6D2",
}
COPIES = {  # how many: (x, y, size) of each copy, in parts of the card
    1: [(0.5, 0.5, 0.78)],
    2: [(0.31, 0.38, 0.5), (0.68, 0.64, 0.5)],
    3: [(0.5, 0.3, 0.46), (0.29, 0.69, 0.46), (0.71, 0.69, 0.46)],
    4: [(0.29, 0.29, 0.44), (0.71, 0.29, 0.44), (0.29, 0.71, 0.44), (0.71, 0.71, 0.44)],
}


@dataclass(frozen=True)
class Card:
    """One picture at its place: centre, side, depth (0 is nearest), tilt in degrees, its colour and how many of it."""

    picture: LibraryPicture
    x: float
    y: float
    side: float
    depth: float = 0.0
    tilt: float = 0.0
    colour: str | None = None
    number: int = 1


@dataclass(frozen=True)
class Arrow:
    """From one square to another, with the picture of the verb on it if there is one.

    Given a width it is straight; otherwise it is bent around what lies in between, and its width suits the cards.
    """

    source: "Card | Box"
    target: "Card | Box"
    verb: LibraryPicture | None = None
    width: float | None = None


@dataclass(frozen=True)
class Box:
    """A square that arrows start or end at, such as a group of cards."""

    x: float
    y: float
    side: float


def frame_around(
    boxes: list[tuple[float, float, float]], margin: float, largest: float = 46
) -> tuple[float, float, float]:
    """The part (x, y, side) of the canvas that shows all boxes (x, y, side) with a margin, none above `largest`."""
    left, right = min(x - s / 2 for x, _, s in boxes), max(x + s / 2 for x, _, s in boxes)
    top, bottom = min(y - s / 2 for _, y, s in boxes), max(y + s / 2 for _, y, s in boxes)
    extent = max(right - left, bottom - top) * 100 / (100 - 2 * margin)
    side = max(extent, max(s for _, _, s in boxes) * 100 / largest)
    return (left + right - side) / 2, (top + bottom - side) / 2, side


def compose(cards: list[Card], arrows: Sequence[Arrow] = ()) -> str:
    """The whole picture as SVG text: cards from the farthest to the nearest, then arrows, then their badges."""
    farthest_first = sorted(cards, key=lambda card: -card.depth)
    crowd = [(card.x, card.y, 0.36 * card.side) for card in cards]
    shafts, badges = [], []
    for arrow in arrows:
        curve = _curve(arrow, crowd)
        discs = _discs(arrow, curve)
        crowd += discs
        shafts.append(_shaft(arrow, curve))
        badges += [_badge(arrow.verb, discs[0])] if arrow.verb else []
    parts = [_paper(), *map(_card, farthest_first), *shafts, *badges]
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">{"".join(parts)}</svg>'


def _paper() -> str:
    return (
        '<defs><radialGradient id="paper" cx="50%" cy="42%" r="75%"><stop offset="0" stop-color="#FFFCF5"/>'
        '<stop offset="1" stop-color="#F6E8D0"/></radialGradient></defs>'
        '<rect width="100" height="100" fill="url(#paper)"/>'
    )


def _card(card: Card) -> str:
    s, r = card.side, card.side * 0.13
    tint = TINTS.get(card.picture.category, "#EFEAF8")
    shadows = "".join(
        f'<rect x="{-grow:.2f}" y="{drop - grow:.2f}" width="{s + 2 * grow:.2f}" height="{s + 2 * grow:.2f}" '
        f'rx="{r + grow:.2f}" fill="#5F3A24" fill-opacity="0.05"/>'
        for drop, grow in ((0.03 * s, 0.018 * s), (0.026 * s, 0.009 * s), (0.022 * s, 0))
    )
    inset = 0.045 * s
    copies = "".join(
        embed(card.picture, s * (x - size / 2), s * (y - size / 2), s * size, card.colour)
        for x, y, size in COPIES[min(card.number, 4)]
    )
    return (
        f'<g transform="rotate({card.tilt:.2f} {card.x:.2f} {card.y:.2f}) '
        f'translate({card.x - s / 2:.2f} {card.y - s / 2:.2f})">{shadows}'
        f'<rect width="{s:.2f}" height="{s:.2f}" rx="{r:.2f}" fill="#FFFFFF"/>'
        f'<rect x="{inset:.2f}" y="{inset:.2f}" width="{s - 2 * inset:.2f}" height="{s - 2 * inset:.2f}" '
        f'rx="{r - inset / 2:.2f}" fill="{tint}"/>{copies}</g>'
    )


def embed(picture: LibraryPicture, x: float, y: float, size: float, colour: str | None = None) -> str:
    """A library picture at the given place and size; a pictogram in `colour` where it can take one."""
    place = f'x="{x:.2f}" y="{y:.2f}" width="{size:.2f}" height="{size:.2f}"'
    if not picture.is_pictogram:  # as an image of its own: styles and ids of two files must not meet
        data = base64.b64encode(picture.source.encode()).decode()
        return f'<image {place} href="data:image/svg+xml;base64,{data}"/>'
    opening = re.search(r"<svg\b[^>]*>", picture.source)
    default = re.search(r'\scolor="([^"]*)"', opening.group())
    shown = colour or (default.group(1) if default else INK)
    inner = picture.source[opening.end() : picture.source.rindex("</svg>")]
    return f'<svg {place} viewBox="0 0 64 64" color="{shown}">{inner}</svg>'


Disc = tuple[float, float, float]  # x, y, radius


def _curve(arrow: Arrow, crowd: list[Disc]) -> list[tuple[float, float]]:
    """Start, control point and end of the arrow's curve; of several bends, the one that meets least of the crowd."""
    source, target = arrow.source, arrow.target
    length = math.dist((source.x, source.y), (target.x, target.y)) or 1.0
    across = ((source.y - target.y) / length, (target.x - source.x) / length)

    def bent(bend: float) -> list[tuple[float, float]]:
        cx, cy = (source.x + target.x) / 2 + across[0] * bend, (source.y + target.y) / 2 + across[1] * bend
        return [_rim(source, cx, cy), (cx, cy), _rim(target, cx, cy)]

    def crowding(bend: float) -> float:
        met = 0.1 * abs(bend)
        for x, y, r in _discs(arrow, bent(bend)):
            met += 50 * max(0.0, r + 2 - min(x, y, 100 - x, 100 - y))  # outside of the canvas
            met += 3 * sum(max(0.0, radius + r - math.dist((x, y), (cx, cy))) for cx, cy, radius in crowd)
        return met

    # A badge needs an arc that is long enough to be seen on both sides of it.
    parts = (0.0,) if arrow.width else (0.75, 0.9, 1.05) if arrow.verb else (0.25, 0.4, 0.6, 0.85)
    return bent(min((sign * part * length for part in parts for sign in (1, -1)), key=crowding))


def _discs(arrow: Arrow, curve: list[tuple[float, float]]) -> list[Disc]:
    """Discs that cover the middle of an arrow; the first is its badge, a little nearer to the start than to the end."""
    radius = 0.2 * min(arrow.source.side, arrow.target.side)
    (x1, y1), (cx, cy), (x2, y2) = curve
    discs = []
    for t, r in ((0.4, radius if arrow.verb else radius / 3), (0.25, radius / 3), (0.7, radius / 3)):
        a, b, c = (1 - t) ** 2, 2 * t * (1 - t), t**2
        discs.append((a * x1 + b * cx + c * x2, a * y1 + b * cy + c * y2, r))
    return discs


def _shaft(arrow: Arrow, curve: list[tuple[float, float]]) -> str:
    """The arrow itself, in red on a white rim."""
    width = arrow.width or 0.042 * min(arrow.source.side, arrow.target.side)
    (x1, y1), (cx, cy), (x2, y2) = curve
    angle = math.atan2(y2 - cy, x2 - cx)
    # The shaft ends inside the head, so that its round end does not show at the tip.
    bx, by = x2 - 2 * width * math.cos(angle), y2 - 2 * width * math.sin(angle)
    path = f"M{x1:.2f} {y1:.2f}Q{cx:.2f} {cy:.2f} {bx:.2f} {by:.2f}"
    head = f"M{-3.4 * width:.2f} {-1.9 * width:.2f}L0 0L{-3.4 * width:.2f} {1.9 * width:.2f}Z"
    place = f'transform="translate({x2:.2f} {y2:.2f}) rotate({math.degrees(angle):.1f})"'
    rounded = 'stroke-linecap="round" stroke-linejoin="round"'
    return "".join(
        f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{thick:.2f}" {rounded}/>'
        f'<path d="{head}" {place} fill="{colour}" stroke="{colour}" stroke-width="{edge:.2f}" {rounded}/>'
        for colour, thick, edge in (("#FFFFFF", 2.4 * width, 2.2 * width), (RED, width, 0.8 * width))
    )


def _badge(verb: LibraryPicture, disc: Disc) -> str:
    x, y, r = disc
    return (
        f'<circle cx="{x:.2f}" cy="{y:.2f}" r="{1.13 * r:.2f}" fill="#FFFFFF"/><circle cx="{x:.2f}" cy="{y:.2f}" '
        f'r="{r:.2f}" fill="#FFF9EE" stroke="{RED}" stroke-width="{0.14 * r:.2f}"/>'
        + embed(verb, x - 0.78 * r, y - 0.78 * r, 1.56 * r)
    )


def _rim(card: Card | Box, towards_x: float, towards_y: float) -> tuple[float, float]:
    """Where a line from the middle of a card leaves it (a little inside, so that arrows touch what they join)."""
    dx, dy = towards_x - card.x, towards_y - card.y
    reach = 0.46 * card.side / (max(abs(dx), abs(dy)) or 1.0)
    return card.x + dx * min(reach, 1.0), card.y + dy * min(reach, 1.0)
