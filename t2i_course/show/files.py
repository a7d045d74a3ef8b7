"""Sheets, pictures and films; files are written whole or not at all."""

import io
import math
from pathlib import Path

import numpy as np

from ..paths import write_atomically

_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


def grid(pictures: np.ndarray, columns: int | None = None, gap: int | None = None) -> np.ndarray:
    """uint8 (B, H, W, 3) -> one uint8 sheet (rows * H + gaps, columns * W + gaps, 3) on white."""
    if pictures.ndim != 4 or pictures.shape[-1] != 3 or pictures.dtype != np.uint8 or not len(pictures):
        raise ValueError(f"A grid is made of uint8 (B, H, W, 3) pictures, not {pictures.dtype} {pictures.shape}.")
    n, height, width, _ = pictures.shape
    columns = min(n, columns or math.ceil(math.sqrt(n)))
    rows = math.ceil(n / columns)
    gap = max(2, width // 32) if gap is None else gap
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), 255, np.uint8)
    for i, picture in enumerate(pictures):
        y, x = gap + i // columns * (height + gap), gap + i % columns * (width + gap)
        sheet[y : y + height, x : x + width] = picture
    return sheet


def check_picture_path(path: str | Path, film: bool = False) -> None:
    """Say early, before minutes of work, that a file could not be written."""
    path = Path(path)
    known = {".gif": "GIF"} if film else _FORMATS
    if path.suffix.lower() not in known:
        raise ValueError(f"{path}: the name of a {'film' if film else 'picture'} ends in {' or '.join(known)}.")
    if not path.parent.is_dir():
        raise ValueError(f"{path}: the folder {path.parent} does not exist.")
    if path.is_dir():
        raise ValueError(f"{path} is a folder.")


def save_picture(path: str | Path, picture: np.ndarray) -> None:
    """Write one uint8 (H, W, 3) picture; the name's ending decides the format."""
    from PIL import Image

    check_picture_path(path)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, _FORMATS[Path(path).suffix.lower()])
    write_atomically(path, buffer.getvalue())


def save_film(path: str | Path, frames: np.ndarray, seconds: float = 6.0, hold: float = 2.0) -> None:
    """Write uint8 (T, H, W, 3) frames as a GIF that runs about `seconds` and then holds its last frame."""
    check_picture_path(path, film=True)
    write_atomically(path, gif(frames, seconds, hold))


def gif(frames: np.ndarray, seconds: float = 6.0, hold: float = 2.0) -> bytes:
    """uint8 (T, H, W, 3) frames -> an animated GIF, endless."""
    return _animation(frames, "GIF", seconds, hold)


def animated_png(frames: np.ndarray, seconds: float = 6.0, hold: float = 2.0) -> bytes:
    """uint8 (T, H, W, 3) frames -> an animated PNG, endless."""
    return _animation(frames, "PNG", seconds, hold)


def _animation(frames, kind, seconds, hold):
    from PIL import Image

    # One palette for all frames, taken from some of them: small files, and colours that do not flicker.
    some = frames[:: max(1, len(frames) // 8)]
    palette = Image.fromarray(np.concatenate([*some, frames[-1]])).quantize(255)
    images = [Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    each = max(20, int(1000 * seconds / len(images)))  # browsers slow down anything faster than 20 ms
    durations = [each] * (len(images) - 1) + [each + int(1000 * hold)]
    buffer = io.BytesIO()
    images[0].save(buffer, kind, save_all=True, append_images=images[1:], duration=durations, loop=0)
    return buffer.getvalue()
