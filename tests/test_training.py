"""The training loop: budgets, resuming, damage, and bad numbers."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402
from torch import nn  # noqa: E402

from t2i_course.training import Recipe, TrainingDiverged, cosine, export, last_metrics, train  # noqa: E402

torch.set_num_threads(1)


def noise_batches(seed, start):
    step = start
    while True:
        rng = np.random.default_rng([seed, step])
        x = torch.from_numpy(rng.normal(size=(8, 3, 8, 8)).astype(np.float32))
        yield x, x.mean((1, 2, 3))
        step += 1


def regression(model, batch):
    x, y = batch
    x = x + 0.01 * torch.randn_like(x)  # a recipe may use random numbers as it likes
    error = (model(x).squeeze(1) - y).square().mean()
    yield "model", {"loss": error, "rms": error.sqrt()}


def small_recipe(**changes):
    settings = {
        "name": "regression",
        "build": lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Dropout(0.1), nn.Linear(288, 1)
        ),
        "batches": noise_batches,
        "losses": regression,
        "optimisers": lambda model: {"model": torch.optim.AdamW(model.parameters(), 1e-3)},
        "steps": 24,
        "warmup": 4,
        "ema": 0.9,
        "every": 5,
        "record": {"width": 8},
        "sample": lambda model, step: np.full((4, 6, 3), step % 256, np.uint8),
        "evaluate": lambda model: {"error": float(model(torch.ones(1, 3, 8, 8)).float().sub(1).abs())},
    }
    return Recipe(**(settings | changes))


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def weights(folder, name="model"):
    last = max((folder / "checkpoints").iterdir())
    return load_file(last / f"{name}.safetensors")


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=0, atol=1e-7)


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    train(small_recipe(), folder)
    return folder


def test_a_run_leaves_log_samples_metrics_and_the_last_two_checkpoints(whole_run):
    assert [p.name for p in sorted((whole_run / "checkpoints").iterdir())] == ["step_00000020", "step_00000024"]
    assert [row["step"] for row in rows(whole_run / "metrics.csv")] == ["5", "10", "15", "20", "24"]
    assert [row["step"] for row in rows(whole_run / "log.csv")] == ["10", "20", "24"]
    assert set(rows(whole_run / "log.csv")[0]) == {"step", "seconds", "loss", "rms"}
    assert len(list((whole_run / "samples").glob("*.png"))) == 5


def test_training_lowers_the_loss(tmp_path):
    train(small_recipe(steps=300, every=300), tmp_path)
    log = rows(tmp_path / "log.csv")
    assert float(log[-1]["loss"]) < 0.2 * float(log[0]["loss"])


def test_stopping_and_resuming_ends_at_the_same_weights(whole_run, tmp_path):
    class Stop(Exception):
        pass

    def stopping_batches(seed, start):
        for i, batch in enumerate(noise_batches(seed, start), start):
            if i == 13 and start == 0:
                raise Stop
            yield batch

    with pytest.raises(Stop):
        train(small_recipe(batches=stopping_batches), tmp_path)
    train(small_recipe(batches=stopping_batches), tmp_path)
    for name in ("model", "ema"):
        assert_same(weights(whole_run, name), weights(tmp_path, name))
    assert [r["step"] for r in rows(tmp_path / "log.csv")] == ["10", "20", "24"], "no row is missing or doubled"
    assert [r["loss"] for r in rows(tmp_path / "log.csv")] == [r["loss"] for r in rows(whole_run / "log.csv")]


SLOW_RUN = """
import itertools, sys, time, torch
sys.path.insert(0, {tests!r})
torch.set_num_threads(1)
import test_training as t
def slow(seed, start):
    for step, batch in enumerate(t.noise_batches(seed, start), start):
        print("step", step, flush=True)
        time.sleep(0.03)
        yield batch
t.train(t.small_recipe(batches=slow), {folder!r})
"""


def start_slow_run(folder):
    code = SLOW_RUN.format(tests=str(Path(__file__).parent), folder=str(folder))
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def wait_for_step(process, step):
    for line in process.stdout:
        if line.strip() == f"step {step}":
            return
    raise AssertionError("the run ended early")


def test_kill_9_and_resume_ends_at_the_same_weights(whole_run, tmp_path):
    process = start_slow_run(tmp_path)
    wait_for_step(process, 12)
    process.kill()
    process.wait()
    assert max(p.name for p in (tmp_path / "checkpoints").iterdir()) < "step_00000024", "killed before its end"
    (tmp_path / "checkpoints" / "step_00000013.tmp").mkdir()  # what a kill in the middle of saving leaves
    train(small_recipe(), tmp_path)
    for name in ("model", "ema"):
        assert_same(weights(whole_run, name), weights(tmp_path, name))
    assert not list(tmp_path.rglob("*.tmp"))


def test_ctrl_c_saves_and_says_how_to_go_on(whole_run, tmp_path, capsys):
    def interrupted(seed, start):
        for step, batch in enumerate(noise_batches(seed, start), start):
            if step == 7:
                signal.raise_signal(signal.SIGINT)
            yield batch

    train(small_recipe(batches=interrupted), tmp_path)
    printed = capsys.readouterr().out
    assert "Interrupted: saved at step 8 of 24" in printed
    assert str(tmp_path) in printed
    train(small_recipe(), tmp_path)
    assert_same(weights(whole_run), weights(tmp_path))


@pytest.mark.slow
def test_two_processes_keep_equal_weights_by_averaging_their_gradients(tmp_path):
    code = f"""
import sys, torch
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_training as t
model = t.train(t.small_recipe(batches=lambda seed, start: t.noise_batches(seed, start)), {str(tmp_path)!r}, steps=6)
print("weights", float(sum(p.double().abs().sum() for p in model.parameters())))
"""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "ACCELERATE_USE_CPU": "true"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    outputs = [process.communicate(timeout=100) for process in processes]
    sums = [out.split("weights ")[1] if "weights " in out else err for out, err in outputs]
    assert sums[0] == sums[1]
    assert [row["step"] for row in rows(tmp_path / "log.csv")] == ["6"], "one process writes"


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b[:-1] + bytes([b[-1] ^ 1])])
@pytest.mark.parametrize("file", ["model.safetensors", "state.pt", "checksums.json"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(whole_run, tmp_path, capsys, file, damage):
    train(small_recipe(), tmp_path, steps=11)
    last = tmp_path / "checkpoints" / "step_00000011" / file
    last.write_bytes(damage(last.read_bytes()))
    train(small_recipe(), tmp_path, steps=12)
    assert "step_00000011 is damaged" in capsys.readouterr().out
    assert [p.name for p in sorted((tmp_path / "checkpoints").iterdir())] == ["step_00000010", "step_00000012"]


def test_nan_stops_and_keeps_the_last_good_checkpoint(tmp_path):
    def losses(model, batch):
        for name, terms in regression(model, batch):
            yield name, terms | {"loss": terms["loss"] / (0.0 if int(model[1].num_batches_tracked) == 13 else 1.0)}

    with pytest.raises(TrainingDiverged, match=r"regression: loss is inf at step 13"):
        train(small_recipe(losses=losses), tmp_path)
    assert max(p.name for p in (tmp_path / "checkpoints").iterdir()) == "step_00000010"
    assert all(torch.isfinite(w).all() for w in weights(tmp_path).values())


def test_a_gradient_that_is_not_finite_stops_too(tmp_path):
    def losses(model, batch):
        yield "model", {"loss": (model[0].weight * 0).abs().sum().sqrt()}  # 0, with an infinite slope

    with pytest.raises(TrainingDiverged, match="gradient norm is nan at step 1"):
        train(small_recipe(losses=losses), tmp_path)


def test_another_recipe_or_seed_is_refused_and_resume_false_starts_over(whole_run, tmp_path):
    train(small_recipe(), tmp_path, steps=6)
    with pytest.raises(ValueError, match="seed 0, not 1"):
        train(small_recipe(), tmp_path, seed=1)
    with pytest.raises(ValueError, match="recipe 'regression', not 'other'"):
        train(small_recipe(name="other"), tmp_path)
    with pytest.raises(ValueError, match="does not fit"):
        train(small_recipe(build=lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 1))), tmp_path)
    train(small_recipe(), tmp_path, seed=1, resume=False)
    assert [row["step"] for row in rows(tmp_path / "log.csv")] == ["10", "20", "24"]
    assert not torch.equal(weights(tmp_path)["0.weight"], weights(whole_run)["0.weight"])


def test_the_budget_of_minutes_stops_a_run_which_can_then_go_on(tmp_path, capsys):
    def slow(seed, start):
        for batch in noise_batches(seed, start):
            time.sleep(0.02)
            yield batch

    train(small_recipe(batches=slow, steps=10_000), tmp_path, minutes=0.01)
    assert "The budget of 0.01 minutes is spent: saved at step" in capsys.readouterr().out
    step = int(max(p.name for p in (tmp_path / "checkpoints").iterdir())[5:])
    assert 0 < step < 1000
    train(small_recipe(batches=slow), tmp_path, steps=step + 2)
    assert rows(tmp_path / "metrics.csv")[-1]["step"] == str(step + 2)


def test_a_gan_alternates_and_each_optimiser_steps_its_own_half(tmp_path):
    seen = []

    def losses(model, batch):
        before = {name: p.detach().clone() for name, p in model.named_parameters()}

        def changed():
            return {name.split(".")[0] for name, p in model.named_parameters() if not torch.equal(p, before[name])}

        fake = model["generator"](torch.randn(8, 4))
        yield "discriminator", {"loss": model["discriminator"](fake.detach()).mean()}
        seen.append(changed())
        yield "generator", {"loss": -model["discriminator"](fake).mean()}
        seen.append(changed())

    train(
        small_recipe(
            build=lambda: nn.ModuleDict({"generator": nn.Linear(4, 4), "discriminator": nn.Linear(4, 1)}),
            losses=losses,
            optimisers=lambda model: {name: torch.optim.Adam(half.parameters()) for name, half in model.items()},
            evaluate=None,
            sample=None,
        ),
        tmp_path,
        steps=10,
    )
    assert seen[:2] == [{"discriminator"}, {"discriminator", "generator"}]
    assert {"discriminator.loss", "generator.loss"} < set(rows(tmp_path / "log.csv")[0])


def test_learning_rate_warms_up_and_falls_to_zero(tmp_path):
    rates = []

    class Watched(torch.optim.SGD):
        def step(self, closure=None):
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    recipe = small_recipe(optimisers=lambda model: {"model": Watched(model.parameters(), 0.1)}, steps=20)
    train(recipe, tmp_path)
    assert rates[0] == pytest.approx(0.025)
    assert max(rates) <= 0.1
    assert rates[-1] < 0.002
    assert (cosine(0), cosine(1)) == (1, 0)


def test_export_writes_half_precision_weights_and_a_record(whole_run, tmp_path):
    record = export(whole_run, tmp_path / "small.safetensors", record={"note": "a test"})
    exported = load_file(tmp_path / "small.safetensors")
    assert exported["0.weight"].dtype == torch.float16
    torch.testing.assert_close(exported["0.weight"].float(), weights(whole_run, "ema")["0.weight"], atol=1e-3, rtol=0)
    assert json.loads((tmp_path / "small.json").read_text()) == record
    assert record["recipe"] == "regression"
    assert record["steps"] == 24
    assert record["note"] == "a test"
    assert record["width"] == 8
    assert {"seed", "seconds", "hardware", "commit", "versions", "metrics"} < record.keys()
    with pytest.raises(FileNotFoundError, match="holds no checkpoint"):
        export(tmp_path, tmp_path / "x.safetensors")


def test_a_resumed_run_may_measure_more_than_before(tmp_path):
    train(small_recipe(), tmp_path, steps=5)
    more = small_recipe(evaluate=lambda model: {"error": 2.0, "bias": 3.0})
    train(more, tmp_path, steps=10)
    assert last_metrics(tmp_path) == {"error": 2.0, "bias": 3.0}
    first, second = rows(tmp_path / "metrics.csv")
    assert (first["step"], first["bias"], second["step"]) == ("5", "", "10")


def test_an_unknown_precision_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'auto', 'bf16' or 'fp32'"):
        train(small_recipe(), tmp_path, precision="fp8")
