"""Pictures and films as files, written whole or not at all."""

import io
from pathlib import Path

import numpy as np

from ..paths import write_atomically

_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


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
    from PIL import Image

    images = [Image.fromarray(frame).quantize(128, dither=Image.Dither.NONE) for frame in frames]
    each = max(20, int(1000 * seconds / len(images)))  # browsers slow down anything faster than 20 ms
    durations = [each] * (len(images) - 1) + [each + int(1000 * hold)]
    buffer = io.BytesIO()
    images[0].save(buffer, "GIF", save_all=True, append_images=images[1:], duration=durations, loop=0, optimize=False)
    return buffer.getvalue()
