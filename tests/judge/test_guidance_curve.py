"""The curve of facts kept and FID against the guidance scale."""

import json

import pytest
import torch

from t2i_course import worlds
from t2i_course.judge import guidance_curve


class Remembers:
    """Draws the true pictures of captions when guided, and grey ones when not."""

    def __init__(self, world, n):
        (batch,) = world.batches("test", 64, n, n=n, shuffle=False)
        self.pictures = {world.caption("test", i)[0]: batch.pictures[i] for i in range(n)}
        self.asked = []

    def draw(self, captions, seed, guidance_scale, steps):
        self.asked.append((guidance_scale, steps))
        return torch.stack([self.pictures[c] if guidance_scale > 1 else torch.zeros(3, 64, 64) for c in captions])


def test_each_scale_is_measured_on_the_same_captions(monkeypatch, tmp_path):
    world, n = worlds.load("flowers"), 200
    system = Remembers(world, n)
    rows = guidance_curve.guidance_curve(system, world, (0.0, 3.0), n=n, steps=7)
    assert [row["guidance_scale"] for row in rows] == [0.0, 3.0]
    assert rows[1]["accuracy"] > 0.97
    assert rows[0]["accuracy"] < 0.6
    assert rows[1]["fid"] < rows[0]["fid"] / 10
    assert rows[1]["fid"] == pytest.approx(rows[1]["true_fid"], rel=0.05)
    assert rows[1]["ceiling"] > 0.97
    assert min(rows[1]["by_attribute"].values()) > 0.8
    assert rows[1]["chance_by_attribute"]["color"] < 0.5
    assert {steps for _, steps in system.asked} == {7}
    with pytest.raises(ValueError, match="n=192: FID needs more pictures than there are features, 192"):
        guidance_curve.guidance_curve(system, world, n=192)

    monkeypatch.setattr("t2i_course.timeline.load", lambda name: system)
    monkeypatch.setattr(guidance_curve, "FILE", tmp_path / "guidance.json")
    monkeypatch.setattr(guidance_curve, "guidance_curve", lambda _, world, scales, n: [{"world": world.name, "n": n}])
    guidance_curve.main(["ddpm", "--worlds", "flowers", "--n", "9"])
    guidance_curve.main(["other", "--worlds", "birds"])
    guidance_curve.main(["ddpm", "--worlds", "birds", "--n", "8"])
    guidance_curve.main(["ddpm", "--worlds", "birds", "--n", "7"])
    curves = json.loads((tmp_path / "guidance.json").read_text())["curves"]
    found = {name: [(row["world"], row["n"]) for row in rows] for name, rows in curves.items()}
    assert found == {"ddpm": [("flowers", 9), ("birds", 7)], "other": [("birds", 200)]}
    assert all(row["hardware"] for rows in curves.values() for row in rows)
