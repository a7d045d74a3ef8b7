"""One training loop for everything in the course: recognisers, GANs, autoencoders, transformers, diffusion.

A `Recipe` says what is particular to a system: how to build it, where its batches come from, its losses, its
optimisers. `train` does the rest: mixed precision, EMA, budgets in steps and minutes, a CSV log, sample grids, and
checkpoints from which a killed run goes on as if nothing had happened.

Two decisions make that last promise easy to keep:

* *No hidden random state.* Before step k every generator is seeded from (seed, k), so step k sees the same random
  numbers whether or not the run was interrupted, and nothing about them has to be stored.
* *A checkpoint appears complete or not at all.* What a run writes, and how, is in `run_files`.

Several GPUs: `accelerate launch -m t2i_course.cli train NAME`. Every process draws its own batches and gradients are
averaged before each optimiser step. (Wrapping the network for that would hide the methods that losses call.)
"""

from __future__ import annotations

import contextlib
import copy
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device, set_seed
from safetensors.torch import load_model
from torch import Tensor, nn
from tqdm.auto import tqdm

from . import run_files as files
from .run_files import export, hardware, last_metrics

LOG_EVERY = 10
START_OVER = "start over with resume=False (t2i train --fresh)"
__all__ = ["Recipe", "TrainingDiverged", "constant", "cosine", "export", "hardware", "last_metrics", "train"]


class TrainingDiverged(FloatingPointError):
    """A loss or a gradient stopped being a number. The last checkpoint on disk is from before that."""


def cosine(progress: float) -> float:
    """Learning-rate factor that falls from 1 to 0 as progress goes from 0 to 1."""
    return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def constant(progress: float) -> float:
    """Learning-rate factor 1 throughout, as most GANs have it."""
    return 1.0


@dataclass(frozen=True)
class Recipe:
    """How one small model is trained.

    losses(model, batch) is a generator of (optimiser name, terms), in the order in which the optimisers step;
    terms["loss"] is what is minimised, other terms are only logged. Most systems yield once. A GAN yields
    "discriminator" and then "generator"; what stands after the first yield runs after the discriminator's step.
    """

    name: str
    build: Callable[[], nn.Module]
    batches: Callable[[int, int], Iterator]  # (seed, start) -> endless batches from step `start` on
    losses: Callable[[nn.Module, Any], Iterator[tuple[str, dict[str, Tensor]]]]
    optimisers: Callable[[nn.Module], dict[str, torch.optim.Optimizer]]
    steps: int
    warmup: int = 100  # steps in which the learning rate rises from 0
    schedule: Callable[[float], float] = cosine  # progress in [0, 1] -> factor on the learning rate
    ema: float | None = None  # decay of the moving average of the weights
    grad_clip: float | None = 1.0
    sample: Callable[[nn.Module, int], np.ndarray] | None = None  # (model, step) -> uint8 (H, W, 3)
    evaluate: Callable[[nn.Module], dict[str, float]] | None = None
    every: int = 500  # steps between checkpoints, samples and evaluations
    record: dict = field(default_factory=dict)  # plain data that exported weights should carry, such as their config
    leave_out: tuple[str, ...] = ()  # beginnings of the names of weights that are not exported, as of a discriminator


def train(
    recipe: Recipe,
    folder: str | Path,
    steps: int | None = None,
    minutes: float | None = None,
    seed: int = 0,
    resume: bool = True,
    precision: str = "auto",
) -> nn.Module:
    """Train, or go on training, in `folder`; returns the network (its moving average if the recipe has one).

    Stops at `steps` (the recipe's by default), counted over all calls, or after `minutes` of training in this call,
    whichever comes first. Drawing the first batch, evaluations and samples are not counted. The learning rate follows
    the budget that runs out first: with `minutes` it ends at 0 (cosine), and a later call goes on from where the steps
    alone would have it. With resume=False the run in `folder` is deleted and started over. precision: "bf16", "fp32",
    or "auto".

    Ctrl-C (or SIGTERM) finishes the step, saves, and raises KeyboardInterrupt, lest the run be taken for finished.
    Raises TrainingDiverged on a loss that is not finite, and ValueError if `folder` holds another recipe or
    seed, or a run with other options.
    """
    folder, steps = Path(folder), recipe.steps if steps is None else steps
    for name, value in {"steps": steps, "minutes": minutes}.items():
        if value is not None and not value > 0:
            raise ValueError(f"{name}={value}: it must be above 0.")
    accelerator = Accelerator(mixed_precision="no")  # the autocast below decides, not the launcher's settings
    rank, chief = accelerator.process_index, accelerator.is_main_process
    autocast = torch.autocast(accelerator.device.type, torch.bfloat16, _use_bf16(precision, accelerator.device))
    if chief:
        files.prepare(folder, resume)
    accelerator.wait_for_everyone()

    run = _Run(recipe, accelerator, seed)
    resumed = run.load(folder)
    if chief:
        for name in ("log.csv", "metrics.csv"):
            files.trim_csv(folder / name, run.step)
    batches = iter(recipe.batches(seed + rank, run.step))
    progress_before, seconds_before = run.step / steps, run.seconds
    budget = math.inf if minutes is None else 60 * minutes
    spent, tick = 0.0, None  # seconds of training in this call; when the clock was last read

    begun = threading.Event()  # from the first batch on there is a step to finish and something to save
    with _graceful_stop(begun) as stop, tqdm(total=steps, initial=run.step, desc=recipe.name, disable=not chief) as bar:
        if resumed and not run.reviewed(folder):
            run.review(folder, autocast)
        while True:
            # Processes have to agree on when to stop, so they share the clock and the wish.
            mine = torch.tensor([spent, float(stop.is_set())], device=accelerator.device)
            shared_spent, stopped = accelerator.reduce(mine, "mean").tolist()
            time_used = shared_spent / budget
            if stopped or time_used >= 1 or run.step >= steps:
                break
            set_seed(_step_seed(seed, run.step, rank))
            batch = _to_device(next(batches), accelerator.device)
            if tick is None:  # the first batch may have had to wait for a cache to be rendered
                tick = time.monotonic()
                begun.set()
            run.set_learning_rates(max(run.step / steps, progress_before + (1 - progress_before) * time_used))
            terms = run.update(batch, autocast)
            now = time.monotonic()
            spent, tick = spent + now - tick, now
            run.seconds = seconds_before + spent
            bar.update()
            if chief and (run.step % LOG_EVERY == 0 or run.step == steps):
                files.append_csv(folder / "log.csv", {"step": run.step, "seconds": round(run.seconds, 1), **terms})
                bar.set_postfix({name: f"{value:.3f}" for name, value in terms.items() if name.endswith("loss")})
            if run.step % recipe.every == 0 and run.step < steps:
                run.review(folder, autocast)
                tick = time.monotonic()
        if stopped:
            run.save(folder)
        elif not run.reviewed(folder):
            run.review(folder, autocast)
    if chief and (stopped or run.step < steps):
        reason = "Interrupted" if stopped else f"The budget of {minutes:g} minutes is spent"
        how = f"saved at step {run.step} of {steps}. Train again in {folder} to go on from there."
        print(f"{reason}: {how}", file=sys.stderr)
    if stopped:
        raise KeyboardInterrupt
    return run.best_model().eval()


class _Run:
    """What a checkpoint holds: the network, its moving average, the optimisers, the step, the seconds spent."""

    def __init__(self, recipe: Recipe, accelerator: Accelerator, seed: int):
        set_seed(seed)
        self.recipe, self.accelerator, self.seed = recipe, accelerator, seed
        self.model = recipe.build().to(accelerator.device)
        modules = list(self.model.modules())
        # Convolutions are several times faster in this order, on CPU in bf16; but gradients of group norms up to 70
        # times slower (torch 2.15), which costs more than all convolutions together.
        if not any(isinstance(module, nn.GroupNorm) for module in modules):
            for module in modules:
                if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                    module.to(memory_format=torch.channels_last)
        self.ema = copy.deepcopy(self.model).requires_grad_(False).eval() if recipe.ema else None
        self.optimisers = {name: accelerator.prepare(opt) for name, opt in recipe.optimisers(self.model).items()}
        self.base_rates = {name: [g["lr"] for g in opt.param_groups] for name, opt in self.optimisers.items()}
        self.step, self.seconds = 0, 0.0

    def best_model(self) -> nn.Module:
        return self.model if self.ema is None else self.ema

    def set_learning_rates(self, progress: float) -> None:
        factor = min(1.0, (self.step + 1) / max(self.recipe.warmup, 1)) * self.recipe.schedule(progress)
        for name, optimiser in self.optimisers.items():
            for group, rate in zip(optimiser.param_groups, self.base_rates[name], strict=True):
                group["lr"] = rate * factor

    def update(self, batch, autocast) -> dict[str, float]:
        """One step of every optimiser; returns the loss terms as numbers."""
        self.model.train()
        logged = {}
        losses = self.recipe.losses(self.model, batch)
        while True:
            with autocast:  # closed before the optimiser steps: autocast caches bf16 copies of the weights
                name, terms = next(losses, (None, {}))
            if name is None:
                break
            prefix = f"{name}." if len(self.optimisers) > 1 else ""
            values = {prefix + term: float(value.detach()) for term, value in terms.items()}
            self._require_finite(values)
            optimiser = self.optimisers[name]
            optimiser.zero_grad()
            self.accelerator.backward(terms["loss"])
            parameters = [p for group in optimiser.param_groups for p in group["params"] if p.grad is not None]
            if self.accelerator.num_processes > 1:
                for p in parameters:
                    p.grad = self.accelerator.reduce(p.grad, "mean")
            norm = self.accelerator.clip_grad_norm_(parameters, self.recipe.grad_clip or math.inf)
            self._require_finite({f"{prefix}gradient norm": float(norm)})
            optimiser.step()
            logged |= values
        self.step += 1
        if self.ema is not None:
            self._update_ema()
        return logged

    @torch.no_grad()
    def _update_ema(self) -> None:
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step))  # a young average must forget quickly
        torch._foreach_lerp_(list(self.ema.parameters()), list(self.model.parameters()), 1 - decay)
        for average, buffer in zip(self.ema.buffers(), self.model.buffers(), strict=True):
            average.copy_(buffer)

    def _require_finite(self, values: dict[str, float]) -> None:
        for name, value in values.items():
            if not math.isfinite(value):
                raise TrainingDiverged(
                    f"{self.recipe.name}: {name} is {value} at step {self.step + 1}. The last checkpoint is from "
                    f"before that and is kept. A lower learning rate or a smaller grad_clip usually helps."
                )

    def reviewed(self, folder: Path) -> bool:
        """Whether this step is on disk with all that should be measured at it: a kill may come between the two."""
        measured = self.recipe.evaluate is None or files.is_measured(folder, self.step)
        return measured and files.last_step(folder) == self.step

    @torch.no_grad()
    def review(self, folder: Path, autocast) -> None:
        """Save, then evaluate and draw samples: should that fail, no training is lost."""
        self.save(folder)
        if self.accelerator.is_main_process:
            model = self.best_model().eval()
            with autocast:
                if self.recipe.evaluate:
                    files.append_csv(folder / "metrics.csv", {"step": self.step, **self.recipe.evaluate(model)})
                if self.recipe.sample:
                    files.write_png(
                        folder / "samples" / f"step_{self.step:08d}.png", self.recipe.sample(model, self.step)
                    )

    def save(self, folder: Path) -> None:
        self.accelerator.wait_for_everyone()
        if not self.accelerator.is_main_process or files.last_step(folder) == self.step:
            return
        state = {"recipe": self.recipe.name, "seed": self.seed, "step": self.step, "seconds": self.seconds}
        state |= {"record": self.recipe.record, "leave_out": list(self.recipe.leave_out)}
        state["buffers"] = [name for name, _ in self.model.named_buffers()]  # stored with the weights, but not learned
        state["optimisers"] = {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()}
        files.save_checkpoint(folder, self.step, {"model": self.model, "ema": self.ema}, state)

    def load(self, folder: Path) -> bool:
        """Take up the newest whole checkpoint; returns whether there was one."""
        if not (found := files.checkpoints(folder)):
            return False
        checkpoint = found[-1]
        state = files.load_state(checkpoint)
        chosen, mine = (dict(record.get("options", {})) for record in (state["record"], self.recipe.record))
        for options in (chosen, mine):
            options.pop("steps", None)  # of which there may be more now
        of_run = {"recipe": (state["recipe"], self.recipe.name), "seed": (state["seed"], self.seed)}
        for what, (theirs, ours) in (of_run | {"options": (chosen, mine)}).items():
            if theirs != ours:
                raise ValueError(
                    f"{folder} holds a run with {what} {theirs!r}, not {ours!r}. "
                    f"Give the same to go on, choose another folder, or {START_OVER}."
                )
        try:
            load_model(self.model, str(checkpoint / "model.safetensors"))
            if self.ema is not None:
                load_model(self.ema, str(checkpoint / "ema.safetensors"))
            for name, optimiser in self.optimisers.items():
                optimiser.load_state_dict(state["optimisers"][name])
        except (RuntimeError, KeyError, ValueError, FileNotFoundError) as error:
            raise ValueError(
                f"{checkpoint} does not fit recipe {self.recipe.name!r} (was its network changed?). "
                f"Choose another folder, or {START_OVER}. {error}"
            ) from error
        self.step, self.seconds = state["step"], state["seconds"]
        return True


def _use_bf16(precision: str, device: torch.device) -> bool:
    """Whether to autocast to bfloat16; "auto" means: where the hardware multiplies bfloat16 matrices itself."""
    if precision not in ("auto", "bf16", "fp32"):
        raise ValueError(f"precision {precision!r} is unknown: choose 'auto', 'bf16' or 'fp32'.")
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and any(
        getattr(torch.cpu, name, bool)() for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    )


def _to_device(batch, device: torch.device):
    """Move the tensors of a batch: a dataclass such as `worlds.Batch`, or tuples, lists and dicts of tensors."""
    if isinstance(batch, tuple):
        return tuple(_to_device(part, device) for part in batch)
    if is_dataclass(batch):
        tensors = {f.name: v for f in fields(batch) if isinstance(v := getattr(batch, f.name), Tensor)}
        return replace(batch, **{name: tensor.to(device) for name, tensor in tensors.items()})
    return send_to_device(batch, device)


def _step_seed(seed: int, step: int, rank: int) -> int:
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1)[0])


@contextlib.contextmanager
def _graceful_stop(begun: threading.Event) -> Iterator[threading.Event]:
    """Ctrl-C (or SIGTERM) sets the event, so that a step is never cut in half.

    A second one interrupts at once, as does the first before training has begun: pictures may be drawn for minutes.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # only the main thread may handle signals
        yield stop
        return

    def ask_to_stop(number, frame):
        if stop.is_set() or not begun.is_set():
            raise KeyboardInterrupt
        stop.set()
        print("\nStopping after this step, and saving; once more to stop at once.", file=sys.stderr)

    signals = (signal.SIGINT, signal.SIGTERM)
    previous = [signal.signal(number, ask_to_stop) for number in signals]
    try:
        yield stop
    finally:
        for number, handler in zip(signals, previous, strict=True):
            signal.signal(number, handler)
