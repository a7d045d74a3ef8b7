"""How much of the caption is kept, and how far pictures are from true ones, against the guidance scale.

As the lecture's curves of FID against CLIP score, but with the share of facts that the judge finds: `python -m
t2i_course.judge.guidance_curve ddpm` draws for some minutes, and adds its curve to data/benchmarks/guidance.json, from
which chapter 12 takes it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from t2i_course.paths import DATA, write_json

SCALES = (0.0, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0)
FILE = DATA / "benchmarks" / "guidance.json"


def guidance_curve(system, world, scales: Sequence[float] = SCALES, n: int = 200, steps: int = 10) -> list[dict]:
    """One row for each scale: {"world", "guidance_scale", "accuracy", "standard_error", "by_attribute", "fid",
    "ceiling", "true_fid", "chance_by_attribute", "n", "steps"}, on the split test; ceiling and true_fid are those of
    true pictures, chance that of true pictures of other captions.

    system: draws with `draw(captions, seed, guidance_scale=..., steps=...)`. FID compares features of the world's
    recogniser with those of 1,000 true pictures, of which there are 192, so n must be larger.
    """
    from t2i_course.nn.world_cnn import WIDTHS

    from .table import judge

    if n <= WIDTHS[-1]:
        raise ValueError(f"n={n}: FID needs more pictures than there are features, {WIDTHS[-1]}.")
    rows = []
    for s in scales:
        result = judge(
            lambda captions, seed, s=s: system.draw(captions, seed, guidance_scale=s, steps=steps), world, n, ("test",)
        )
        measured = result["splits"]["test"]
        fid = f"FID ({world.name})"
        rows.append({"world": world.name, "guidance_scale": s, "fid": measured[fid]})
        rows[-1] |= {name: measured[name] for name in ("accuracy", "standard_error", "by_attribute")}
        rows[-1] |= {"ceiling": measured["ceiling"]["accuracy"], "true_fid": measured["ceiling"][fid]}
        rows[-1] |= {"chance_by_attribute": measured["chance"]["by_attribute"], "n": n, "steps": steps}
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure one system on worlds that it knows, and store the curves; those of other worlds are kept."""
    from t2i_course import timeline, worlds
    from t2i_course.run_files import hardware

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("system", help="ddpm, latent_diffusion or stable_diffusion")
    parser.add_argument("--worlds", nargs="+", default=["flowers", "birds"], choices=worlds.NAMES)
    parser.add_argument("--scales", nargs="+", type=float, default=SCALES, help="guidance scales (default: 0 to 12)")
    parser.add_argument("--n", type=int, default=200, help="captions of each point (default: 200)")
    options = parser.parse_args(arguments)
    system = timeline.load(options.system)
    curves = (guidance_curve(system, worlds.load(name), options.scales, options.n) for name in options.worlds)
    curve = [row for rows in curves for row in rows]
    known = json.loads(FILE.read_text()) if FILE.exists() else {"curves": {}}
    others = [row for row in known["curves"].get(options.system, []) if row["world"] not in options.worlds]
    known["curves"][options.system] = others + [row | {"hardware": hardware()} for row in curve]
    known["command"] = "python -m t2i_course.judge.guidance_curve SYSTEM --worlds WORLD"
    write_json(FILE, known)


if __name__ == "__main__":
    main()
