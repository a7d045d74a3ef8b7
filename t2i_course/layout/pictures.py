"""Step 2 of the 2007 system: a picture for each keyphrase.

The paper took its candidates from an image search; here they come from a folder (the course's pictograms, or yours).
All the rest is reconstructed. There: the fifteen best answers are cut into segments, the segments of all of them are
clustered by colour, shape, texture and position (mean shift), and the picture is kept that owns the segment nearest to
the centre of the largest cluster, the most typical one. Here the same, with segments that are connected regions of one
coarse colour, each described by its colour, area, position and extent.
"""

import base64
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np

from ..paths import DATA
from .tagging import noun_lemma, verb_lemma

PICTOGRAMS = DATA / "pictograms"
SUFFIXES = (".svg", ".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class LibraryPicture:
    """One picture file and the words that it stands for."""

    name: str
    path: Path
    synonyms: tuple[str, ...] = ()
    pos: str = "noun"
    category: str = "things"
    attribution: str = ""

    @property
    def is_pictogram(self) -> bool:
        """Whether it is one of the course's own, which have no styles or names that could clash."""
        return self.path.parent == PICTOGRAMS

    @cached_property
    def source(self) -> str:
        """The text of an SVG file, or an SVG that wraps a PNG or JPEG file."""
        if self.path.suffix.lower() == ".svg":
            text = _read(self.path, self.path.read_text, encoding="utf-8-sig")
            if not self.is_pictogram and not self._drawn(text, 32).any():
                raise ValueError(f"{self.path} draws nothing. Replace it, or take it out.")
            return text
        picture = _read(self.path, _open_raster, self.path)
        picture.thumbnail((320, 320))
        content = io.BytesIO()
        picture.convert("RGBA").save(content, "PNG")
        data = base64.b64encode(content.getvalue()).decode()
        size = f'width="{picture.width}" height="{picture.height}"'
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {picture.width} {picture.height}">'
            f'<image {size} href="data:image/png;base64,{data}"/></svg>'
        )

    def pixels(self, size: int = 32) -> np.ndarray:
        """The picture fitted into a square, uint8 (size, size, 4)."""
        return self._drawn(self.source, size)

    def _drawn(self, svg: str, size: int) -> np.ndarray:
        import resvg_py
        from PIL import Image

        try:
            png = resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, skip_system_fonts=True)
        except ValueError as error:
            raise ValueError(f"{self.path} cannot be drawn ({error}). Replace it, or take it out.") from error
        drawn = Image.open(io.BytesIO(png)).convert("RGBA")
        square = Image.new("RGBA", (size, size))
        square.paste(drawn, ((size - drawn.width) // 2, (size - drawn.height) // 2))
        return np.array(square)


class PictureLibrary:
    """Pictures found by the words that they stand for."""

    def __init__(self, pictures: Sequence[LibraryPicture]):
        self.pictures = list(pictures)
        if not self.pictures:
            raise ValueError("A library needs at least one picture; this one is empty.")
        self._by_word: dict[tuple[str, str], list[LibraryPicture]] = {}
        for picture in self.pictures:
            for words in (picture.name, *picture.synonyms):
                found = self._by_word.setdefault((_base(words, picture.pos), picture.pos), [])
                if picture not in found:
                    found.append(picture)

    @classmethod
    @cache
    def default(cls) -> "PictureLibrary":
        """The pictograms of the course, data/pictograms/index.json."""
        return cls.from_index(PICTOGRAMS / "index.json")

    @classmethod
    def from_index(cls, path: str | Path) -> "PictureLibrary":
        """A library from a JSON list of {"name", "file", "synonyms", "category", "pos", "attribution"}."""
        path = Path(path)
        entries = json.loads(_read(path, path.read_text, encoding="utf-8"))
        return cls([_from_entry(path, entry) for entry in entries])

    @classmethod
    def from_folder(cls, path: str | Path) -> "PictureLibrary":
        """Your own pictures: files named after what they show, "dog.png" or "hot_air_balloon_2.jpg".

        Files that differ only in their number are candidates for the same word.
        """
        folder = Path(path)
        if not folder.is_dir():
            raise ValueError(f"There is no folder {folder}. Give a folder of pictures named like dog_1.png.")
        files = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)
        if not files:
            raise ValueError(f"The folder {folder} holds no {', '.join(SUFFIXES)} files. Name pictures like dog_1.png.")
        pictures = [LibraryPicture(_name_of(file), file, attribution=str(folder)) for file in files]
        for picture in pictures:
            picture.source  # noqa: B018  a broken file is reported now, by its name, not in the middle of a picture
        return cls(pictures)

    def __len__(self) -> int:
        return len(self.pictures)

    def candidates(self, words: str, pos: str = "noun") -> list[LibraryPicture]:
        """Pictures for a phrase: of all its words, else of its last ones, else of the first that has any.

        >>> [p.name for p in PictureLibrary.default().candidates("two fat cows")]
        ['cow']
        """
        parts = words.lower().split()
        spans = [parts[start:] for start in range(len(parts))]  # "red fire truck", "fire truck", "truck"
        spans += [parts[start:end] for end in range(len(parts) - 1, 0, -1) for start in range(end)]
        for span in spans:
            if found := self._by_word.get((_base(" ".join(span), pos), pos)):
                return found
        return []

    def __contains__(self, word: str) -> bool:
        return (_base(word, "noun"), "noun") in self._by_word

    def has_action(self, word: str) -> bool:
        """Whether a verb has a picture."""
        return (_base(word, "verb"), "verb") in self._by_word


def most_typical(candidates: Sequence[LibraryPicture]) -> LibraryPicture:
    """The candidate that owns the segment nearest to the centre of the largest cluster of all candidates' segments."""
    if len(candidates) <= 2:  # two pictures have no majority
        return candidates[0]
    described = [segments(candidate.pixels()) for candidate in candidates]
    owners = np.repeat(np.arange(len(candidates)), [len(rows) for rows in described])
    points = np.concatenate(described)
    if not len(points):
        return candidates[0]
    labels, centres = mean_shift(points, bandwidth=0.35)
    # A cluster is as large as the number of pictures it has segments in: ten petals of one flower are no majority.
    sizes = [len(set(owners[labels == label])) for label in range(len(centres))]
    largest = int(np.argmax(sizes))
    distance = np.where(labels == largest, np.linalg.norm(points - centres[largest], axis=1), np.inf)
    return candidates[int(owners[distance.argmin()])]


def segments(pixels: np.ndarray, smallest: float = 0.02) -> np.ndarray:
    """Connected regions of one coarse colour in (H, W, 4) -> (N, 8).

    Red, green, blue, square root of area, centre x and y, extent x and y, all in [0, 1]. Transparent pixels and regions
    under `smallest` of the picture are left out.
    """
    from scipy.ndimage import label

    size = pixels.shape[0]
    colours = pixels[..., :3] / 255
    coarse = (pixels[..., :3] // 64).astype(int) @ (1, 4, 16)
    coarse[pixels[..., 3] < 128] = -1
    found = []
    for colour in np.unique(coarse[coarse >= 0]):
        regions, count = label(coarse == colour)
        for region in range(1, count + 1):
            mask = regions == region
            if mask.mean() >= smallest:
                y, x = np.nonzero(mask)
                shape = (x.mean() / size, y.mean() / size, 3 * x.std() / size, 3 * y.std() / size)
                found.append((*colours[mask].mean(0), mask.mean() ** 0.5, *shape))
    return np.array(found).reshape(-1, 8)


def mean_shift(points: np.ndarray, bandwidth: float) -> tuple[np.ndarray, np.ndarray]:
    """Cluster (N, D) points by moving a copy of each uphill on a Gaussian density: labels (N,), centres (K, D)."""
    modes = points.copy()
    for _ in range(30):
        distance = ((modes[:, None] - points) ** 2).sum(-1)
        weight = np.exp(-distance / (2 * bandwidth**2))
        modes = weight @ points / weight.sum(1, keepdims=True)
    labels, centres = np.zeros(len(points), int), []
    for i, mode in enumerate(modes):
        near = [k for k, centre in enumerate(centres) if np.linalg.norm(mode - centre) < bandwidth / 2]
        labels[i] = near[0] if near else len(centres)
        if not near:
            centres.append(mode)
    return labels, np.array(centres)


def _base(words: str, pos: str) -> str:
    *first, last = words.lower().replace("-", " ").split() or [""]
    return " ".join([*first, noun_lemma(last) if pos == "noun" else verb_lemma(last)])


def _name_of(file: Path) -> str:
    return re.sub(r"[_\s-]*\d*$", "", file.stem).replace("_", " ") or file.stem


def _from_entry(index: Path, entry: dict) -> LibraryPicture:
    missing = {"name", "file"} - set(entry)
    if missing:
        raise ValueError(f"{index}: the entry {entry} lacks {' and '.join(sorted(missing))}.")
    file, rest = index.parent / entry["file"], {k: v for k, v in entry.items() if k not in ("name", "file", "synonyms")}
    return LibraryPicture(entry["name"], file, tuple(entry.get("synonyms", ())), **rest)


def _open_raster(path: Path):
    from PIL import Image, ImageOps

    picture = Image.open(path)
    picture.load()
    return ImageOps.exif_transpose(picture)  # a photograph taken sideways stands upright


def _read(path: Path, reader, *arguments, **options):
    try:
        return reader(*arguments, **options)
    except (OSError, SyntaxError, ValueError) as error:  # what PIL and decoding raise for damaged files
        reason = getattr(error, "strerror", None) or str(error) or "damaged file"
        raise ValueError(
            f"{path} cannot be read as a picture or index ({reason}). Replace it, or take it out."
        ) from error
