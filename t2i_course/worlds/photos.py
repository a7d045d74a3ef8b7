"""The data sets of the papers, read from the layouts they were published in; they give the same batches as the worlds.

| data set | folder | where it comes from |
|---|---|---|
| Oxford Flowers-102 | `jpg/image_00001.jpg`, and Reed's `cvpr2016_flowers/` | Nilsback 2008; Reed et al. 2016 |
| CUB-200-2011 | `CUB_200_2011/images/CLASS/NAME.jpg`, and Reed's `cvpr2016_cub/` | Wah et al. 2011; Reed et al. 2016 |
| MS-COCO 2014 | `train2014/`, `val2014/`, `annotations/captions_train2014.json` … | Lin et al. 2014 |

Reed's folders hold `text_c10/CLASS/NAME.txt`, ten captions a file, and the lists of classes of each split, e.g.
`testclasses.txt`: classes of the test split are never seen in training. Nothing is downloaded.
"""

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np

from .base import Batch, check_request, to_float

# The published archives differ in how they number the first of several splits.
_CLASS_LISTS = {
    "train": ("trainclasses.txt", "trainclasses1.txt", "trainvalclasses.txt"),
    "val": ("valclasses.txt", "valclasses1.txt"),
    "test": ("testclasses.txt",),
}


class Photos:
    """Photographs with captions that people wrote: `items` is a list of (path, captions)."""

    def __init__(self, name: str, items: list[tuple[Path, list[str]]]):
        self.name = name
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def picture(self, index: int, size: int) -> np.ndarray:
        """The centre square of a photograph: uint8 (size, size, 3)."""
        from PIL import Image, ImageOps

        path = self.items[index][0]
        try:
            with Image.open(path) as image:
                upright = ImageOps.exif_transpose(image).convert("RGB")
                return np.array(ImageOps.fit(upright, (size, size), Image.Resampling.LANCZOS))
        except OSError as error:
            raise ValueError(f"{self.name}: the picture {path} cannot be read ({error}); extract it again.") from None

    def batches(
        self, size: int, batch_size: int, seed: int = 0, *, start: int = 0, epochs: int | None = 1, shuffle: bool = True
    ) -> Iterator[Batch]:
        """Batches as `World.batches` gives them; each picture comes with one of its captions, another in each epoch."""
        check_request(size, batch_size, start, epochs)
        n = len(self.items)
        per_epoch = n // batch_size if epochs is None else -(-n // batch_size)
        if not per_epoch:
            raise ValueError(f"{self.name}: a batch of {batch_size} needs as many pictures, but there are {n}.")
        for step in count(start) if epochs is None else range(start, epochs * per_epoch):
            epoch, position = divmod(step, per_epoch)
            order = np.random.default_rng([seed, epoch]).permutation(n) if shuffle else np.arange(n)
            chosen = order[position * batch_size : (position + 1) * batch_size]
            captions = []
            for i in chosen:
                written = self.items[i][1]
                captions.append(written[int(np.random.default_rng([seed, epoch, i]).integers(len(written)))])
            pictures = np.stack([self.picture(i, size) for i in chosen])
            yield Batch(to_float(pictures), captions, [{} for _ in chosen], [{} for _ in chosen])


def oxford_flowers(images: str | Path, captions: str | Path, split: str = "train") -> Photos:
    """Oxford Flowers-102: `images` is the folder that holds `jpg/`, `captions` is Reed's `cvpr2016_flowers/`."""
    jpg = _folder(Path(images) / "jpg", "Oxford Flowers-102", "extract 102flowers.tgz there, so that it holds jpg/")
    return _reed("Oxford Flowers-102", Path(captions), split, lambda class_name, stem: jpg / f"{stem}.jpg")


def cub(images: str | Path, captions: str | Path, split: str = "train") -> Photos:
    """CUB-200-2011: `images` is the folder `CUB_200_2011/`, `captions` is Reed's `cvpr2016_cub/`."""
    folder = _folder(Path(images) / "images", "CUB-200-2011", "extract CUB_200_2011.tgz and give its CUB_200_2011/")
    return _reed("CUB-200-2011", Path(captions), split, lambda class_name, stem: folder / class_name / f"{stem}.jpg")


def coco(folder: str | Path, split: str = "train") -> Photos:
    """MS-COCO 2014: `folder` holds `train2014/`, `val2014/` and `annotations/`; splits are "train" and "val"."""
    name = "MS-COCO 2014"
    if split not in ("train", "val"):
        raise ValueError(f"{name} has captions for the splits train and val, not {split!r}.")
    pictures = _folder(Path(folder) / f"{split}2014", name, f"extract {split}2014.zip there")
    hint = "extract annotations_trainval2014.zip there"
    annotations = _folder(Path(folder) / "annotations", name, hint) / f"captions_{split}2014.json"
    try:
        content = json.loads(annotations.read_text(encoding="utf-8"))
        files = {image["id"]: pictures / image["file_name"] for image in content["images"]}
        captions: dict[int, list[str]] = {}
        for annotation in content["annotations"]:
            captions.setdefault(annotation["image_id"], []).append(" ".join(annotation["caption"].split()))
    except FileNotFoundError:
        raise ValueError(f"{name}: {annotations} is missing; {hint}.") from None
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{name}: {annotations} is not the published file ({error!r}); extract it again.") from None
    return _photos(name, [(files[i], captions[i]) for i in sorted(captions) if i in files])


def _reed(name, captions, split, picture_of) -> Photos:
    text = _folder(captions / "text_c10", name, "get the captions of Reed et al. 2016 and give their folder")
    if split not in _CLASS_LISTS:
        raise ValueError(f"{name} has the splits train, val and test, not {split!r}.")
    lists = [captions / file for file in _CLASS_LISTS[split] if (captions / file).is_file()]
    if not lists:
        raise ValueError(f"{name}: {captions / _CLASS_LISTS[split][0]} is missing; it lists the classes of {split}.")
    items = []
    for class_name in lists[0].read_text(encoding="utf-8").split():
        files = sorted((text / class_name).glob("*.txt"))
        if not files:
            raise ValueError(f"{name}: {text / class_name} holds no captions; extract the captions again.")
        for file in files:
            content = file.read_text(encoding="utf-8", errors="replace")
            lines = [line.strip() for line in content.splitlines() if line.strip()]
            if not lines:
                raise ValueError(f"{name}: {file} holds no caption; extract it again.")
            items.append((picture_of(class_name, file.stem), lines))
    return _photos(name, items)


def _photos(name, items) -> Photos:
    if not items:
        raise ValueError(f"{name}: no captioned picture was found; are the folders those of the published archives?")
    missing = [path for path, _ in items if not path.is_file()]
    if missing:
        raise ValueError(f"{name}: {len(missing)} of {len(items)} pictures are missing, the first is {missing[0]}.")
    return Photos(name, items)


def _folder(path: Path, name: str, hint: str) -> Path:
    if not path.is_dir():
        raise ValueError(f"{name}: the folder {path} does not exist; {hint}.")
    return path
