"""A recogniser names every attribute of a picture of its world: the eyes of the judge.

A small residual network looks at 64x64 pictures (others are resized). What is asked of its feature map depends on the
world:

* Flowers and birds have one value per attribute: one linear layer answers all of them (`AttributeReader`).
* Scenes hold several things: one learned query per kind of thing looks for it in the feature map, as in
  cross-attention; its count, color and size are read where it was found, and pairs of things give relations
  (`SceneReader`).

It is trained on pictures that are also shifted, blurred, noisy and compressed, so that it keeps reading pictures that
a generator drew. B pictures, D features, K kinds, N cells of the feature map.
"""

from __future__ import annotations

import io
import json
import math
from collections import Counter
from dataclasses import replace
from functools import cache
from itertools import count, permutations

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from t2i_course.nn.world_cnn import WIDTHS, ResBlock, Trunk
from t2i_course.paths import DATA
from t2i_course.training import Recipe
from t2i_course.weights import load_weights
from t2i_course.worlds.base import PICTURES, to_float, to_uint8
from t2i_course.worlds.cache import cached_pictures

from .caption_accuracy import group

SIZE = 64  # of the pictures that the network sees
GRID = 16  # cells of the feature map in which things are looked for
STEPS = {"flowers": 6000, "birds": 2600, "scenes": 3300}  # until the targets were reached
IGNORE = -100  # a target that cross-entropy leaves out


# --- the network ------------------------------------------------------------------------------------------------------


class AttributeReader(nn.Module):
    """One value for each attribute, by one linear layer on pooled features."""

    def __init__(self, attributes: dict[str, tuple[str, ...]]):
        super().__init__()
        self.attributes = attributes
        self.linear = nn.Linear(2 * WIDTHS[-1], sum(map(len, attributes.values())))

    def forward(self, fine: Tensor, coarse: Tensor) -> dict[str, Tensor]:
        cells = coarse.flatten(2).transpose(1, 2)  # (B, N, D); a view, as the maps are stored channels last
        pooled = torch.cat([cells.mean(1), cells.amax(1)], 1)  # (B, 2D)
        logits = self.linear(pooled).split([len(values) for values in self.attributes.values()], dim=1)
        return dict(zip(self.attributes, logits, strict=True))  # {attribute: (B, values)}

    def targets(self, specs, truth: list[dict[str, str]]) -> dict[str, Tensor]:
        """Truths as class numbers, {attribute: (B,)}."""
        return {
            name: torch.tensor([values.index(t[name]) if name in t else IGNORE for t in truth])
            for name, values in self.attributes.items()
        }

    def losses(self, logits: dict[str, Tensor], targets: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: F.cross_entropy(logits[name].float(), targets[name], ignore_index=IGNORE) for name in logits}

    def answers(self, logits: dict[str, Tensor]) -> list[dict[str, str]]:
        """The likeliest value of each attribute, picture by picture."""
        numbers = {name: values.argmax(1).tolist() for name, values in logits.items()}
        n = len(next(iter(numbers.values())))
        return [{name: self.attributes[name][numbers[name][i]] for name in numbers} for i in range(n)]


class SceneReader(nn.Module):
    """Finds each kind of thing with a query of its own, and reads its attributes where it was found."""

    def __init__(self, attributes: dict[str, tuple[str, ...]], kinds: tuple[str, ...], dim: int = 96):
        super().__init__()
        self.kinds = kinds
        self.of_thing = {name: attributes[name] for name in ("count", "color", "size")}
        self.whole = {name: v for name, v in attributes.items() if name not in (*self.of_thing, "relation")}
        self.relations = ("none", *attributes["relation"])

        b, c = WIDTHS[1:]
        self.from_fine, self.from_coarse = nn.Conv2d(b, dim, 1), nn.Conv2d(c, dim, 1)
        self.merge = nn.Sequential(nn.BatchNorm2d(dim), nn.ReLU(), ResBlock(dim, dim))
        self.queries = nn.Parameter(torch.randn(1 + len(kinds), dim) * dim**-0.5)  # the first one: nothing is here
        self.name_of_kind = nn.Parameter(torch.randn(len(self.kinds), 32) * 0.1)
        self.describe = nn.Sequential(
            nn.Linear(dim + 6 + 32, dim),
            nn.LayerNorm(dim),
            nn.ReLU(),
            nn.Linear(dim, dim),
            nn.LayerNorm(dim),
            nn.ReLU(),
        )
        self.whole_heads = nn.ModuleDict({name: nn.Linear(c, len(values)) for name, values in self.whole.items()})
        self.thing_heads = nn.ModuleDict({name: nn.Linear(dim, len(v)) for name, v in self.of_thing.items()})
        self.present = nn.Linear(dim + 6, 1)
        self.relate = nn.Sequential(
            nn.Linear(2 * (dim + 6), dim), nn.LayerNorm(dim), nn.ReLU(), nn.Linear(dim, len(self.relations))
        )

    def forward(self, fine: Tensor, coarse: Tensor, where: Tensor | None = None) -> dict[str, Tensor]:
        """Logits by name. `where` (B, K, N): in training, also look at the true places, to learn what is seen there."""
        up = F.interpolate(self.from_coarse(coarse), scale_factor=2.0)
        cells = self.merge(self.from_fine(fine) + up).flatten(2).transpose(1, 2)  # (B, N, D)
        kind_of_cell = (cells @ self.queries.T).float().log_softmax(-1)  # (B, N, 1 + K): kinds compete for each cell
        found = kind_of_cell[..., 1:].exp().transpose(1, 2)  # (B, K, N)
        things = self.look(cells.float(), found)
        out = {name: head(coarse.mean((2, 3))) for name, head in self.whole_heads.items()}
        out |= {"kind_of_cell": kind_of_cell, "present": self.present(things).squeeze(-1)}
        if where is not None:  # half of the pictures: there must be practice with places that were found, too
            told = torch.rand(len(where), 1, 1, device=where.device) < 0.5
            things = self.look(cells.float(), torch.where(told, where, found))
        out |= {name: head(things[..., :-6]) for name, head in self.thing_heads.items()}  # (B, K, values)
        return out | {"things": things}

    def look(self, cells: Tensor, attention: Tensor) -> Tensor:
        """What is seen where the attention (B, K, N) is, and where that is: (B, K, D + 6)."""
        mass = attention.sum(-1, keepdim=True)  # (B, K, 1): there is more of a herd than of one cow
        share = attention / (mass + 1e-3)
        xy = _coordinates(cells)  # (N, 2)
        mean = share @ xy  # (B, K, 2)
        spread = (share @ xy.square() - mean.square()).clamp(min=1e-6).sqrt()
        place = torch.cat([mean, spread, mass.log1p(), attention.amax(-1, keepdim=True)], -1)  # (B, K, 6)
        names = self.name_of_kind.expand(len(cells), -1, -1)
        return torch.cat([self.describe(torch.cat([share @ cells, place, names], -1)), place], -1)

    def relation(self, things: Tensor, pairs: Tensor) -> Tensor:
        """Logits (P, relations) for pairs (P, 3) of (picture, kind, other kind)."""
        picture, a, b = pairs.unbind(1)
        return self.relate(torch.cat([things[picture, a], things[picture, b]], -1))

    def targets(self, specs, truth: list[dict[str, str]]) -> dict[str, Tensor]:
        """Truths as class numbers: (B,) for the whole picture, (B, K) for things, (P,) for pairs of things present.

        "where" (B, K, N) is 1 in the boxes of each kind of thing: what the attention should find.
        """

        def number(values, value):
            return IGNORE if value is None else values.index(value)

        there = [[t.get(f"present:{kind}") == "yes" for kind in self.kinds] for t in truth]
        pairs = [(i, a, b) for i, row in enumerate(there) for a, b in permutations(np.flatnonzero(row).tolist(), 2)]
        out = {name: torch.tensor([number(v, t.get(name)) for t in truth]) for name, v in self.whole.items()}
        for name, values in self.of_thing.items():
            out[name] = torch.tensor([[number(values, t.get(f"{name}:{k}")) for k in self.kinds] for t in truth])
        out["present"] = torch.tensor(there).float()
        out["where"] = torch.zeros(len(specs), len(self.kinds), GRID, GRID)
        for i, spec in enumerate(specs):
            for kind, *box in spec.boxes():
                x0, y0, x1, y1 = (min(max(round(GRID * v), 0), GRID) for v in box)
                out["where"][i, self.kinds.index(kind), y0:y1, x0:x1] = 1
        out["where"] = out["where"].flatten(2)
        out["pairs"] = torch.tensor(pairs, dtype=torch.long).view(-1, 3)
        related = [truth[i].get(f"relation:{self.kinds[a]}|{self.kinds[b]}", "none") for i, a, b in pairs]
        return out | {"relation": torch.tensor([number(self.relations, r) for r in related], dtype=torch.long)}

    def losses(self, logits: dict[str, Tensor], targets: dict[str, Tensor]) -> dict[str, Tensor]:
        present = F.binary_cross_entropy_with_logits(logits["present"].float(), targets["present"], reduction="none")
        where = targets["where"].transpose(1, 2)  # (B, N, K)
        where = torch.cat([(where.sum(-1, keepdim=True) == 0).float(), where], -1)  # (B, N, 1 + K)
        where = where / where.sum(-1, keepdim=True)  # where things overlap, each gets its share
        located = -(where * logits["kind_of_cell"]).sum(-1).mean()
        terms = {"present": present.sum(1).mean() / 2, "where": 3 * located}
        for name in (*self.whole, *self.of_thing):
            rows = logits[name].float().flatten(0, -2)
            terms[name] = F.cross_entropy(rows, targets[name].flatten(), ignore_index=IGNORE)
        if len(targets["pairs"]):
            pairs = self.relation(logits["things"], targets["pairs"]).float()
            terms["relation"] = F.cross_entropy(pairs, targets["relation"])
        return terms

    def answers(self, logits: dict[str, Tensor]) -> list[dict[str, str]]:
        """What is there, how many, how it looks, and how it stands to the others, picture by picture."""
        numbers = {name: logits[name].argmax(-1).tolist() for name in (*self.whole, *self.of_thing)}
        there = logits["present"] > 0  # (B, K)
        answers = []
        for i in range(len(there)):
            answer = {name: values[numbers[name][i]] for name, values in self.whole.items()}
            for k in there[i].nonzero().flatten().tolist():
                kind = self.kinds[k]
                answer[f"present:{kind}"] = "yes"
                answer |= {f"{name}:{kind}": values[numbers[name][i][k]] for name, values in self.of_thing.items()}
            answers.append(answer)
        pairs = [(i, a, b) for i, row in enumerate(there) for a, b in permutations(row.nonzero().flatten().tolist(), 2)]
        if pairs:
            related = self.relation(logits["things"], torch.tensor(pairs, device=there.device)).argmax(-1).tolist()
            for (i, a, b), number in zip(pairs, related, strict=True):
                if number:
                    answers[i][f"relation:{self.kinds[a]}|{self.kinds[b]}"] = self.relations[number]
        return answers


def _coordinates(cells: Tensor) -> Tensor:
    """Positions of the cells (B, N, D) of a square feature map: (N, 2) of (x, y) in [-1, 1]."""
    line = torch.linspace(-1, 1, math.isqrt(cells.shape[1]), device=cells.device)
    return torch.cartesian_prod(line, line).flip(1)


class Recogniser(nn.Module):
    """Reads pictures of one world."""

    def __init__(self, world):
        super().__init__()
        self.world_name = world.name
        self.attributes = {name: tuple(values) for name, values in world.attributes.items()}
        self.trunk = Trunk()
        kinds = getattr(world, "KINDS", None)  # of things, in a world of scenes
        self.reader = SceneReader(self.attributes, kinds) if kinds else AttributeReader(self.attributes)

    def forward(self, x: Tensor, **told):
        """Pictures (B, 3, 64, 64) in [-1, 1] -> what the reader says, as logits."""
        return self.reader(*self.trunk(x), **told)

    def read(self, pictures) -> list[dict[str, str]]:
        """Each picture's attributes as the recogniser sees them, in the form of `world.truth`."""
        return [answer for x in self._batches(pictures) for answer in self.reader.answers(self(x))]

    def features(self, pictures) -> Tensor:
        """Pooled features (N, D): what FID (world) compares."""
        return torch.cat([self.trunk(x)[1].mean((2, 3)) for x in self._batches(pictures)])

    def logits(self, pictures) -> list[Tensor]:
        """Logits (N, values) of each attribute of the picture as a whole: what the Inception score of a world uses.

        Of scenes these are place and time: counts, colors and sizes belong to things, not to the picture.
        """
        batches = [self(x) for x in self._batches(pictures)]
        whole = [name for name in self.attributes if name in batches[0] and batches[0][name].ndim == 2]
        return [torch.cat([out[name] for out in batches]) for name in whole]

    def _batches(self, pictures):
        """Pictures in portions that fit the memory; uint8 (N, H, W, 3), or float (N, 3, H, W) in [-1, 1]."""
        pictures = to_float(pictures)
        if not len(pictures):
            raise ValueError("There are no pictures to look at.")
        parameter = next(self.parameters())
        self.eval()
        with torch.inference_mode():
            for portion in pictures.split(256):
                yield resized(portion.to(parameter), SIZE)


def resized(x: Tensor, size: int) -> Tensor:
    """Pictures (B, 3, H, W) at size x size, without aliasing."""
    if x.shape[-2:] == (size, size):
        return x
    return F.interpolate(x, (size, size), mode="bilinear", antialias=True, align_corners=False)


@cache
def load_recogniser(world) -> Recogniser:
    """The recogniser that ships with the course for a world."""
    file = DATA / "weights" / f"recogniser_{world.name}.safetensors"
    how = f"Train it: t2i train recogniser_{world.name} --export {file}"
    record = file.with_suffix(".json")
    try:
        known = json.loads(record.read_text())["attributes"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{record}, the record of the recogniser of {world.name}, cannot be read. {how}") from error
    if known != {name: list(values) for name, values in world.attributes.items()}:
        raise ValueError(f"{file} was trained on other attributes than {world.name} has now. {how}")
    recogniser = Recogniser(world)
    load_weights(recogniser, file, how)
    return recogniser.requires_grad_(False).eval().to(memory_format=torch.channels_last)


# --- damaged pictures: for training, and to measure how robust the recogniser is --------------------------------------


def blurred(x: Tensor, sigma: float) -> Tensor:
    """Gaussian blur; sigma in pixels."""
    taps = torch.arange(-3, 4, dtype=x.dtype)
    kernel = torch.exp(-taps.square() / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, 7)
    x = F.conv2d(F.pad(x, (3, 3, 0, 0), mode="replicate"), kernel, groups=3)
    return F.conv2d(F.pad(x, (0, 0, 3, 3), mode="replicate"), kernel.transpose(2, 3), groups=3)


def noisy(x: Tensor, sigma: float | Tensor) -> Tensor:
    """Gaussian noise; sigma in units of [-1, 1]."""
    return (x + sigma * torch.randn_like(x)).clamp(-1, 1)


def jpeg(x: Tensor, quality: int) -> Tensor:
    """Compressed and read again."""

    def round_trip(picture):
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=quality)
        return np.array(Image.open(file))

    return to_float(np.stack([round_trip(picture) for picture in to_uint8(x)]))


def shifted(x: Tensor, shift: float = 0.06, zoom: float = 0.08) -> Tensor:
    """Moved by up to `shift` of the width and zoomed a little, each picture differently."""
    b = len(x)
    theta = torch.zeros(b, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 + zoom * (2 * torch.rand(b) - 1)
    theta[:, :, 2] = 2 * shift * (2 * torch.rand(b, 2) - 1)
    where = F.affine_grid(theta, x.shape, align_corners=False)
    return F.grid_sample(x, where, padding_mode="border", align_corners=False)


def augmented(x: Tensor) -> Tensor:
    """A batch for training: each damage hits its own random part of the pictures."""

    def some(share, damage):
        chosen = torch.rand(len(x)) < share
        if chosen.any():
            x[chosen] = damage(x[chosen])

    def uniform(low, high):
        return low + (high - low) * float(torch.rand(()))

    x = x.clone()
    some(0.5, shifted)
    some(0.2, lambda y: resized(resized(y, int(uniform(40, 129))), SIZE))
    some(0.2, lambda y: blurred(y, uniform(0.3, 1.1)))
    some(0.3, lambda y: (y * uniform(0.85, 1.1) + uniform(-0.08, 0.08)).clamp(-1, 1))
    some(0.3, lambda y: noisy(y, 0.15 * torch.rand(len(y), 1, 1, 1)))
    some(0.3, lambda y: jpeg(y, int(uniform(50, 96))))
    return x


# --- training and measuring -------------------------------------------------------------------------------------------


def recipe(
    world, pictures: int = 40_000, steps: int = 4000, batch_size: int = 128, checked: int = 1000, novel: float = 0.2
) -> Recipe:
    """How the recogniser of a world is trained.

    It sees `pictures` of the split train and `novel` times as many of novel: a judge that never met a pair of
    attributes would not believe its eyes. The pictures of novel that systems are judged by are not among them.
    """
    reader = Recogniser(world).reader  # made here, as it draws random numbers that belong to no step
    more, kept = round(novel * pictures), PICTURES["novel"]

    def batches(seed, start):
        seen = cached_pictures(world, "train", SIZE, pictures)
        others = cached_pictures(world, "novel", SIZE, kept + more) if more else ()
        specs = [world.spec("train", i) for i in range(pictures)] + [world.spec("novel", kept + i) for i in range(more)]
        for step in count(start):
            chosen = np.random.default_rng([seed, step]).integers(len(specs), size=batch_size).tolist()
            x = np.stack([seen[i] if i < pictures else others[kept + i - pictures] for i in chosen])
            of_batch = [specs[i] for i in chosen]
            yield augmented(to_float(x)), reader.targets(of_batch, [world.truth(spec) for spec in of_batch])

    def losses(model, batch):
        x, targets = batch
        told = {"where": targets["where"]} if "where" in targets else {}
        terms = model.reader.losses(model(x, **told), targets)
        yield "model", {"loss": sum(terms.values()) / len(terms), **terms}

    return Recipe(
        name=f"recogniser_{world.name}",
        build=lambda: Recogniser(world),
        batches=batches,
        losses=losses,
        optimisers=lambda model: {"model": torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=0.02)},
        steps=steps,
        warmup=steps // 15,
        ema=0.99,
        evaluate=lambda model: accuracies(model, world, checked),
        record={"attributes": {name: list(v) for name, v in world.attributes.items()}, "pictures": pictures + more},
    )


def named_recipe(name: str) -> Recipe:
    """ "recogniser_flowers" -> how the recogniser of flowers is trained."""
    from t2i_course import worlds

    world = worlds.load(name.removeprefix("recogniser_"))
    return recipe(world, steps=STEPS[world.name])


def world_cnn_recipe(name: str = "world_cnn", *, steps: int = 1600, batch_size: int = 128) -> Recipe:
    """How the CNN of `nn.world_cnn` learns, for the systems that need one, to see what distinguishes pictures.

    It names the attributes of flowers and birds, as Inception was trained to name what is on photographs. The judge's
    recognisers have no part in it, and unlike them it never sees the split novel.
    """
    from t2i_course import worlds

    both = ("flowers", "birds")

    def build():
        # The readers first: from the same seed, the trunk would start with the very numbers that the judges had.
        readers = nn.ModuleDict({world: AttributeReader(worlds.load(world).attributes) for world in both})
        return nn.ModuleDict({"readers": readers, "trunk": Trunk()})

    def batches(seed, start):
        for batch in worlds.mixed_batches(both, "train", SIZE, batch_size, seed, start=start, epochs=None):
            yield replace(batch, pictures=augmented(batch.pictures))

    def losses(model, batch):
        fine, coarse = model["trunk"](batch.pictures)
        share = len(batch.truth) // len(both)
        terms = {}
        for i, world in enumerate(both):
            mine = slice(i * share, (i + 1) * share)
            reader = model["readers"][world]
            targets = reader.targets(None, batch.truth[mine])
            targets = {name: target.to(coarse.device) for name, target in targets.items()}
            of_world = reader.losses(reader(fine[mine], coarse[mine]), targets)
            terms[world] = sum(of_world.values()) / len(of_world)
        yield "model", {"loss": sum(terms.values()), **terms}

    def evaluate(model):
        shares = {}
        for world in both:
            batch = next(worlds.load(world).batches("val", SIZE, 500, n=500, shuffle=False))
            seen = model["readers"][world].answers(model["readers"][world](*model["trunk"](batch.pictures)))
            right = [
                truth[a] == answer[a]
                for truth, answer in zip(batch.truth, seen, strict=True)
                for a in answer
                if a in truth
            ]
            shares[world] = sum(right) / len(right)
        return shares

    return Recipe(
        name=name,
        build=build,
        batches=batches,
        losses=losses,
        optimisers=lambda model: {"model": torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=0.02)},
        steps=steps,
        warmup=steps // 15,
        ema=0.99,
        evaluate=evaluate,
        leave_out=("readers.",),
    )


def scene_cnn_recipe(name: str = "scene_cnn", *, steps: int = 1500, batch_size: int = 128) -> Recipe:
    """How the CNN of `nn.world_cnn` that knows scenes learns: as the judge's, apart from it, and without novel."""
    from t2i_course import worlds

    world = worlds.load("scenes")

    def build():
        model = Recogniser(world)
        model.trunk = Trunk()  # a second one: from the same seed, the first starts with the numbers of the judge's
        return model

    judge = recipe(world, PICTURES["train"], steps, batch_size, novel=0)
    return replace(judge, name=name, build=build, leave_out=("reader.",), record={})


DAMAGES = {
    "clean": lambda x: x,
    "blur": lambda x: blurred(x, 0.8),
    "noise": lambda x: noisy(x, 0.1),
    "jpeg": lambda x: jpeg(x, 75),
}


def accuracies(recogniser: Recogniser, world, n: int = 1000, split: str = "val", size: int = SIZE) -> dict[str, float]:
    """Share of attributes read right on clean and damaged pictures: {"clean": 0.99, "clean.color": 1.0, ...}."""
    torch.manual_seed(0)
    right, asked = Counter(), Counter()
    for batch in world.batches(split, size, 250, n=n, shuffle=False):
        for damage, apply in DAMAGES.items():
            for truth, seen in zip(batch.truth, recogniser.read(apply(batch.pictures)), strict=True):
                for attribute in truth.keys() | seen.keys():
                    for name in (damage, f"{damage}.{group(attribute)}"):
                        asked[name] += 1
                        right[name] += truth.get(attribute) == seen.get(attribute)
    return {name: right[name] / asked[name] for name in sorted(asked)}
