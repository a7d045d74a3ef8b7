"""Many pictures on one sheet."""

import math

import numpy as np


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
