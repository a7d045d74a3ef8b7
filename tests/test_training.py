"""The training loop: budgets, resuming, damage, and bad numbers."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402
from torch import nn  # noqa: E402

from t2i_course import run_files, timeline, training  # noqa: E402
from t2i_course.cli import main  # noqa: E402
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
    return load_file(run_files.checkpoints(folder)[-1] / f"{name}.safetensors")


def stopping_at(step, action):
    """Batches; `action` happens in the middle of a fresh run, before the batch of `step`."""

    def batches(seed, start):
        for i, batch in enumerate(noise_batches(seed, start), start):
            if i == step and start == 0:
                action()
            yield batch

    return batches


class Stop(Exception):
    pass


def stop():
    raise Stop


def ctrl_c():
    signal.raise_signal(signal.SIGINT)


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
    recipe = small_recipe(batches=stopping_at(13, stop))
    with pytest.raises(Stop):
        train(recipe, tmp_path)
    train(recipe, tmp_path)
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


DYING_RUN = """
import os, sys, torch
from pathlib import Path
sys.path.insert(0, {tests!r})
torch.set_num_threads(1)
import test_training as t
real = os.{call}
def dies(*arguments):
    if list(Path({folder!r}).glob("checkpoints/step_00000010.tmp")):
        os._exit(9)
    return real(*arguments)
os.{call} = dies
t.train(t.small_recipe(), {folder!r})
"""


@pytest.mark.parametrize("call", ["replace", pytest.param("fsync", marks=pytest.mark.slow)])
def test_dying_while_a_checkpoint_is_written_leaves_the_one_before(whole_run, tmp_path, call):
    code = DYING_RUN.format(tests=str(Path(__file__).parent), folder=str(tmp_path), call=call)
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 9
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["step_00000005", "step_00000010.tmp"]
    train(small_recipe(), tmp_path)
    for name in ("model", "ema"):
        assert_same(weights(whole_run, name), weights(tmp_path, name))


def test_ctrl_c_saves_and_says_how_to_go_on(whole_run, tmp_path, capsys):
    with pytest.raises(KeyboardInterrupt):
        train(small_recipe(batches=stopping_at(7, ctrl_c)), tmp_path)
    printed = capsys.readouterr().err
    assert "Stopping after this step" in printed
    assert f"Interrupted: saved at step 8 of 24. Train again in {tmp_path}" in printed
    train(small_recipe(), tmp_path)
    assert_same(weights(whole_run), weights(tmp_path))


def test_another_process_may_ask_to_stop_even_before_the_first_step(whole_run, tmp_path, capsys, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(training.Accelerator, "reduce", lambda self, mine, how: torch.tensor([0.0, 0.5]))
        with pytest.raises(KeyboardInterrupt):
            train(small_recipe(), tmp_path)
    assert "Interrupted: saved at step 0 of 24" in capsys.readouterr().err
    assert run_files.last_step(tmp_path) == 0
    train(small_recipe(), tmp_path)
    assert_same(weights(whole_run), weights(tmp_path))


def test_without_a_checkpoint_there_is_no_last_step(tmp_path):
    assert run_files.last_step(tmp_path) is None
    assert last_metrics(tmp_path) == {}


@pytest.mark.parametrize("budget", [{"steps": 0}, {"steps": -1}, {"minutes": 0}, {"minutes": float("nan")}])
def test_a_budget_of_nothing_is_refused(tmp_path, budget):
    with pytest.raises(ValueError, match="must be above 0"):
        train(small_recipe(), tmp_path, **budget)


@pytest.mark.parametrize("steps", [5, 24])
def test_an_evaluation_that_was_cut_off_is_made_up_for(whole_run, tmp_path, steps):
    with pytest.raises(Stop):
        train(small_recipe(evaluate=lambda model: stop()), tmp_path, steps)
    assert run_files.last_step(tmp_path) == 5
    train(small_recipe(), tmp_path, steps)
    expected = [row["step"] for row in rows(whole_run / "metrics.csv") if int(row["step"]) <= steps]
    assert [row["step"] for row in rows(tmp_path / "metrics.csv")] == expected


def test_the_record_carries_metrics_only_of_the_weights_that_it_describes(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(small_recipe(batches=stopping_at(12, ctrl_c)), tmp_path)
    record = export(tmp_path, tmp_path / "x.safetensors")
    assert (record["steps"], record["metrics"]) == (13, {})
    train(small_recipe(), tmp_path)
    assert [row["step"] for row in rows(tmp_path / "metrics.csv")] == ["5", "10", "13", "15", "20", "24"]
    assert export(tmp_path, tmp_path / "x.safetensors")["metrics"].keys() == {"error"}


def test_the_command_exports_a_finished_run_but_not_an_interrupted_one(tmp_path, capsys, monkeypatch):
    recipe = small_recipe(batches=stopping_at(7, ctrl_c))
    monkeypatch.setattr(timeline, "recipe", lambda name: recipe)
    command = ["train", "regression", "--folder", str(tmp_path / "run"), "--export", str(tmp_path / "x.safetensors")]
    assert main(command) == 130
    assert "Train again" in capsys.readouterr().err
    assert not (tmp_path / "x.safetensors").exists()
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out).keys() == {"error"}
    assert (tmp_path / "x.safetensors").exists()


def test_the_command_starts_over_with_fresh_and_copes_with_a_recipe_that_measures_nothing(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(timeline, "recipe", lambda name: small_recipe(evaluate=None))
    command = ["train", "regression", "--folder", str(tmp_path), "--steps", "3", "--precision", "fp32"]
    assert main(command) == 0
    assert main([*command, "--seed", "1"]) == 2
    assert "--fresh" in capsys.readouterr().err
    mine = tmp_path / "samples" / "mine.png", tmp_path / "checkpoints" / "notes.txt"
    for file in mine:
        file.write_text("not of the run")
    assert main([*command, "--seed", "1", "--fresh"]) == 0
    assert all(file.exists() for file in mine)
    assert capsys.readouterr().out == ""
    assert run_files.load_state(run_files.checkpoints(tmp_path)[-1])["seed"] == 1


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
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_is_used(whole_run, tmp_path, capsys, file, damage):
    train(small_recipe(), tmp_path, steps=11)
    last = tmp_path / "checkpoints" / "step_00000011" / file
    last.write_bytes(damage(last.read_bytes()))
    train(small_recipe(), tmp_path, steps=12)
    assert "step_00000011 is damaged" in capsys.readouterr().err
    kept = ["step_00000010", "step_00000011.damaged", "step_00000012"]
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == kept
    assert [row["step"] for row in rows(tmp_path / "metrics.csv")] == ["5", "10", "12"]


def test_a_checkpoint_that_cannot_be_read_now_is_left_alone(tmp_path, monkeypatch):
    def refused(file):
        raise PermissionError(13, "Permission denied", str(file))

    train(small_recipe(), tmp_path, steps=6)
    with monkeypatch.context() as patch:
        patch.setattr(run_files, "_checksum", refused)
        with pytest.raises(PermissionError, match="left as it is: .*step_00000006"):
            train(small_recipe(), tmp_path)
    assert run_files.last_step(tmp_path) == 6


@pytest.mark.parametrize("half", ["1", "10", "10,0.", "10,0.5"])
def test_half_a_last_line_is_written_again(tmp_path, half):
    train(small_recipe(), tmp_path, steps=10)
    table, before = tmp_path / "metrics.csv", last_metrics(tmp_path)
    table.write_text("".join(table.read_text().splitlines(True)[:-1]) + half)
    assert last_metrics(tmp_path) == {}
    train(small_recipe(), tmp_path, steps=10)
    assert [row["step"] for row in rows(table)] == ["5", "10"]
    assert last_metrics(tmp_path) == before


def test_a_table_that_is_rewritten_is_never_half_there(tmp_path, monkeypatch):
    table = tmp_path / "log.csv"
    for step in (1, 2):
        run_files.append_csv(table, {"step": step, "loss": 0.5})
    before = table.read_bytes()
    monkeypatch.setattr(os, "replace", lambda *paths: stop())
    for rewrite in (lambda: run_files.trim_csv(table, 1), lambda: run_files.append_csv(table, {"step": 3, "bias": 1})):
        with pytest.raises(Stop):
            rewrite()
        assert table.read_bytes() == before


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
    with pytest.raises(ValueError, match="holds a run with options {}, not {'batch_size': 8}"):
        train(small_recipe(record={"options": {"batch_size": 8, "steps": 7}}), tmp_path)
    with pytest.raises(ValueError, match="does not fit"):
        train(small_recipe(build=lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 1))), tmp_path)
    train(small_recipe(), tmp_path, seed=1, resume=False)
    assert [row["step"] for row in rows(tmp_path / "log.csv")] == ["10", "20", "24"]
    assert not torch.equal(weights(tmp_path)["0.weight"], weights(whole_run)["0.weight"])


def watched_rates(rates):
    """Optimisers for a recipe; the learning rate of every step is added to `rates`."""

    class Watched(torch.optim.SGD):
        def step(self, closure=None):
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    return lambda model: {"model": Watched(model.parameters(), 0.1)}


def test_each_call_has_its_own_minutes_and_only_training_counts(tmp_path, capsys, monkeypatch):
    now, rates = [0.0], []
    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def batches(seed, start):
        now[0] += 1000  # renders a cache
        for batch in noise_batches(seed, start):
            yield batch
            now[0] += 1

    def evaluate(model):
        now[0] += 500
        return {"error": 1.0}

    settings = {"batches": batches, "evaluate": evaluate, "optimisers": watched_rates(rates)}
    recipe = small_recipe(**settings, steps=100, every=15, warmup=1)
    for call in (1, 2):
        train(recipe, tmp_path, minutes=10 / 60)
        assert f"minutes is spent: saved at step {11 * call} of 100" in capsys.readouterr().err
        state = run_files.load_state(run_files.checkpoints(tmp_path)[-1])
        assert state["seconds"] == 10 * call
    assert rates[0] == pytest.approx(0.1)
    assert rates[10] < 0.003, "the minutes ran out, so the rate has fallen"
    assert rates[11] == pytest.approx(0.1 * cosine(0.11)), "the second call goes on where the steps have it"
    assert rates[17] == pytest.approx(0.1 * cosine(0.11 + 0.89 * 0.5)), "half of the time is half of the way left"
    assert rates[21] < 0.003
    assert sorted(rates[11:], reverse=True) == rates[11:]


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


def test_a_gan_resumes_exactly_with_both_its_optimisers(tmp_path):
    def losses(model, batch):
        real, fake = batch[0].flatten(1)[:, :4], model["generator"](torch.randn(8, 4))
        score = model["discriminator"]
        yield "discriminator", {"loss": (score(fake.detach()) - score(real)).tanh().mean()}
        yield "generator", {"loss": -score(fake).tanh().mean()}

    def gan(batches):
        return small_recipe(
            build=lambda: nn.ModuleDict({"generator": nn.Linear(4, 4), "discriminator": nn.Linear(4, 1)}),
            losses=losses,
            optimisers=lambda model: {name: torch.optim.Adam(half.parameters(), 0.01) for name, half in model.items()},
            batches=batches,
            evaluate=None,
            sample=None,
        )

    train(gan(noise_batches), tmp_path / "whole")
    with pytest.raises(Stop):
        train(gan(stopping_at(13, stop)), tmp_path / "parts")
    assert run_files.last_step(tmp_path / "parts") == 10
    train(gan(stopping_at(13, stop)), tmp_path / "parts")
    states = []
    for part in ("whole", "parts"):
        states.append(run_files.load_state(run_files.checkpoints(tmp_path / part)[-1])["optimisers"])
    assert_same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    assert states[0].keys() == {"discriminator", "generator"}
    torch.testing.assert_close(states[0], states[1], rtol=0, atol=0)


def test_learning_rate_warms_up_and_falls_to_zero(tmp_path):
    rates = []
    train(small_recipe(optimisers=watched_rates(rates), steps=20), tmp_path)
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
    assert record["parameters"] == sum(p.numel() for p in small_recipe().build().parameters())
    assert record["parameters"] < sum(t.numel() for t in exported.values())  # batch norm's averages are no parameters
    assert {"seed", "seconds", "hardware", "commit", "versions", "metrics"} < record.keys()
    with pytest.raises(FileNotFoundError, match="holds no checkpoint"):
        export(tmp_path, tmp_path / "x.safetensors")


def test_what_drawing_does_not_need_is_left_out_of_an_export(tmp_path):
    train(small_recipe(steps=2, leave_out=("1.", "5.")), tmp_path / "run")
    record = export(tmp_path / "run", tmp_path / "part.safetensors")
    kept = load_file(tmp_path / "part.safetensors")
    assert set(kept) == {"0.weight", "0.bias"}
    assert record["parameters"] == sum(t.numel() for t in kept.values())


def test_a_batch_may_carry_numbers_beside_a_dataclass(tmp_path):
    from t2i_course.worlds import Batch

    seen = []

    def numbered(seed, start):
        pictures = torch.zeros(2, 3, 8, 8)
        return ((step, Batch(pictures, ["a", "b"], [{}, {}], [{}, {}])) for step in range(start, 9))

    def losses(model, batch):
        seen.append(batch[0])
        yield "model", {"loss": model(batch[1].pictures).square().mean()}

    train(small_recipe(batches=numbered, losses=losses, steps=3), tmp_path)
    assert seen == [0, 1, 2]


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


def test_ctrl_c_before_the_first_batch_stops_at_once(tmp_path):
    """Nothing is there to be saved yet, and the first batch may wait minutes for its pictures."""
    with pytest.raises(KeyboardInterrupt):
        train(small_recipe(batches=stopping_at(0, ctrl_c)), tmp_path)
    assert not list((tmp_path / "checkpoints").glob("*"))
