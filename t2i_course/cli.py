"""The `t2i` command: systems, draw, world, train, judge; and for homework release, check, grade."""

import argparse
import ast
import inspect
import json
import sys
from contextlib import suppress
from pathlib import Path


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code. What the user can mend is said in one line, without a traceback."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except (ValueError, OSError, FloatingPointError) as error:  # the last one: a training that diverged
        print(f"t2i {options.command}: {error}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's; importing torch takes seconds
            raise
        advice = {"draw": "try --half, or a smaller size", "train": "try --set batch_size=N"}
        remedy = advice.get(options.command, "it needs a larger one")
        print(f"t2i {options.command}: too little memory on the GPU: {remedy}.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nt2i {options.command}: stopped.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="t2i", description="Text-to-image synthesis from 2007 to today.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name, run, help, *examples):
        epilog = "\n  ".join([f"example{'s' if len(examples) > 1 else ''}:", *examples])
        style = argparse.RawDescriptionHelpFormatter
        sub = commands.add_parser(name, help=help, description=help, epilog=epilog, formatter_class=style)
        sub.set_defaults(run=run)
        return sub

    sub = command("systems", _systems, "list the systems that can draw", "t2i systems --json", "t2i systems --parts")
    sub.add_argument("--parts", action="store_true", help="list the published networks that are parts of systems")
    sub.add_argument("--json", action="store_true", help="print data instead of a table")

    sub = command(
        "draw",
        _draw,
        "draw a caption with one system",
        't2i draw picture_layout "First the farmer gives hay to the goat." -o farm.png --film farm.gif',
        't2i draw picture_layout "The girl rides the bus to school." -o bus.png --set layout=abc',
        't2i draw attngan "this small bird has a red breast" -o bird.png',
        't2i draw stable_diffusion "a cat in the snow" -o cat.png --weights v1-5.safetensors --set sampler=dpm_solver',
    )
    sub.add_argument("system", help="its name, as in `t2i systems`")
    sub.add_argument("caption", help="what to draw")
    sub.add_argument("-o", "--output", metavar="FILE", required=True, help="the picture to write: .png, .jpg or .webp")
    sub.add_argument("--film", metavar="FILE.gif", help="write how the picture came about as a film")
    sub.add_argument("--seed", type=int, default=0, help="another seed, another picture (default: 0)")
    sub.add_argument("--variant", help="as in `t2i systems` (default: small; with --weights the first published one)")
    sub.add_argument("--weights", metavar="PATH", help="published weights, for variants that do not ship")
    sub.add_argument(
        "--half",
        dest="set",
        action="append_const",
        const="precision=fp16",
        default=[],
        help="published weights in half precision, for a GPU: the same as --set precision=fp16",
    )
    sub.add_argument(
        "--vocabulary", metavar="FILE", help="of ldm_text and ldm_text_cc: the vocab.txt of bert-base-uncased"
    )
    sub.add_argument("--classifier", metavar="FILE", help="of ADM: the published classifier that guides it")
    sub.add_argument(
        "--set",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="an option of the system, may be repeated; picture_layout: layout=collage|abc|strip, size=512, "
        "weights=4,1,1 (overlap, centrality, closeness), library=FOLDER, max_pictures=10; diffusion: steps=20, "
        "guidance_scale=3, sampler=ddim|plms|dpm_solver|euler|heun|ddpm, negative=TEXT, size=512; its published "
        "weights: precision=fp32|bf16|fp16",
    )

    sub = command(
        "world",
        _world,
        "draw captioned pictures of a world on one sheet",
        "t2i world flowers --n 16 --size 128 -o sheet.png",
        "t2i world birds --n 4 --split novel --json",
    )
    sub.add_argument("world", help="flowers, birds or scenes")
    sub.add_argument("--n", type=int, default=16, help="how many pictures (default: 16)")
    sub.add_argument("--size", type=int, default=128, help="pixels of one picture's side (default: 128)")
    sub.add_argument("--split", default="train", help="train, val, test or novel (default: train)")
    sub.add_argument("--seed", type=int, default=0, help="another seed, other words for the same pictures (default: 0)")
    sub.add_argument("--json", action="store_true", help="print captions, facts and truth as data")
    sub.add_argument("-o", "--output", metavar="FILE", help="the sheet to write: .png, .jpg or .webp")

    sub = command(
        "train",
        _train,
        "train a small model, or go on where its training stopped",
        "t2i train recogniser_flowers --minutes 10",
        "t2i train ddpm --minutes 60 --set batch_size=48",
        "t2i train --list",
    )
    sub.add_argument("recipe", nargs="?", help="what to train; --list shows all")
    sub.add_argument("--list", action="store_true", help="list what can be trained")
    sub.add_argument("--json", action="store_true", help="print the list, or the last measures, as data")
    sub.add_argument("--folder", help="for checkpoints, log and samples (default: runs/NAME)")
    sub.add_argument("--steps", type=int, help="stop at this step (default: the recipe's)")
    sub.add_argument("--minutes", type=float, help="stop after so many minutes of training, now")
    sub.add_argument("--fresh", action="store_true", help="delete what the folder holds of this run, and start over")
    sub.add_argument("--precision", choices=["auto", "bf16", "fp32"], default="auto", help="default: auto")
    sub.add_argument("--seed", type=int, default=0, help="default: 0")
    sub.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="an option of the recipe")
    sub.add_argument("--export", metavar="FILE.safetensors", help="write the trained weights and their record")

    sub = command(
        "judge",
        _judge,
        "measure how much of its captions a system draws",
        "t2i judge picture_layout --world scenes --n 200",
        "t2i judge picture_layout --world flowers --n 50 --json",
    )
    sub.add_argument("system", help="its name, as in `t2i systems`")
    sub.add_argument("--world", default="flowers", help="flowers, birds or scenes (default: flowers)")
    sub.add_argument("--n", type=int, default=200, help="captions of each split (default: 200)")
    sub.add_argument("--variant", help="small, full, or a published name")
    sub.add_argument("--weights", metavar="PATH", help="published weights, for variants that do not ship")
    sub.add_argument("--seed", type=int, default=0, help="default: 0")
    sub.add_argument("--json", action="store_true", help="print data instead of a table")

    sub = command(
        "release",
        _release,
        "make the student notebook of a homework",
        "t2i release hw01 -o handout",
        "t2i release --all -o handout",
    )
    sub.add_argument("homework", nargs="?", help="hw01, or the path of a master notebook")
    sub.add_argument("--all", action="store_true", help="all homework that there is")
    sub.add_argument("-o", "--output", metavar="FOLDER", required=True, help="where the notebooks go")

    sub = command("check", _check, "run the self-checks of your homework and sum them up", "t2i check hw01.ipynb")
    sub.add_argument("notebook", help="your notebook")
    sub.add_argument("--json", action="store_true", help="print data instead of words")
    sub.add_argument("--cell-seconds", type=float, help="the longest that a cell may take (default: as when graded)")

    sub = command(
        "grade",
        _grade,
        "grade a folder (or zip) of submissions",
        "t2i grade hw01 submissions -o grades",
        "t2i grade hw01 submissions.zip -o grades --workers 4 --format moodle",
    )
    sub.add_argument("homework", help="hw01, or the path of a master notebook")
    sub.add_argument("submissions", help="a folder of notebooks or of folders, one for each student, or a zip of that")
    sub.add_argument("-o", "--output", metavar="FOLDER", required=True, help="where gradebook, feedback and summary go")
    sub.add_argument("--seed", type=int, help="of the checks' inputs (default: one that nobody can know)")
    sub.add_argument("--workers", type=int, help="submissions at the same time (default: one for each core, up to 8)")
    sub.add_argument("--scheduler", metavar="ADDRESS", help="a Dask scheduler that shares the work among machines")
    sub.add_argument("--isolation", choices=["full", "namespaces", "landlock", "limits"], help="default: the best here")
    sub.add_argument("--format", choices=["t2i", "canvas", "moodle"], default="t2i", help="columns of gradebook.csv")
    sub.add_argument("--json", action="store_true", help="print the rows as data, without a progress bar")
    return parser


# --- the commands -----------------------------------------------------------------------------------------------------


def _systems(options):
    from .timeline import PARTS, systems

    if options.parts and options.json:
        print(json.dumps(PARTS, indent=2))
        return
    if options.parts:
        rows = [[name, f"{n:,}", by.replace(":", ".")] for by, parts in PARTS.items() for name, n in parts.items()]
        _print_table(["part", "parameters", "loaded by"], rows)
        return
    rows = [
        {
            "name": s.name,
            "year": s.year,
            "title": s.title,
            "anatomy": vars(s.anatomy),
            "variants": s.variants,
            "chapter": s.chapter,
        }
        for s in systems()
    ]
    if options.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    header = ["name", "year", "chapter", "technique", "text", "connection", "variants (parameters)"]
    table = [
        [
            row["name"],
            str(row["year"]),
            row["chapter"],
            *(row["anatomy"][axis] for axis in ("technique", "text", "connection")),
            ", ".join(f"{variant} ({parameters:,})" for variant, parameters in row["variants"].items()),
        ]
        for row in rows
    ]
    _print_table(header, table)


def _draw(options):
    import numpy as np

    from .show.files import check_picture_path, save_film, save_picture
    from .timeline import load

    check_picture_path(options.output)
    if options.film:
        check_picture_path(options.film, film=True)
    names = ("weights", "vocabulary", "classifier")
    given = {name: value for name in names if (value := getattr(options, name))}
    loading = [pair for pair in options.set if pair.startswith("precision=")]  # needed before there is a system
    given |= dict(pair.split("=", 1) for pair in loading)
    system = load(options.system, options.variant, **given)
    chosen = _settings([pair for pair in options.set if pair not in loading], system.frames)
    if options.film:
        frames = [_as_uint8(frame) for frame in system.frames([options.caption], seed=options.seed, **chosen)]
        save_film(options.film, np.concatenate(frames))
        picture = frames[-1][0]
    else:
        picture = _as_uint8(system.draw([options.caption], seed=options.seed, **chosen))[0]
    save_picture(options.output, picture)
    print(f"wrote {' and '.join(filter(None, [options.output, options.film]))}")


def _weights(options) -> dict:
    return {"weights": options.weights} if options.weights else {}


def _as_uint8(pictures):
    from .worlds.base import to_uint8

    return to_uint8(pictures)


def _settings(pairs: list[str], function) -> dict:
    """`["layout=abc", "size=256"]` -> `{"layout": "abc", "size": 256}`; only what `function` takes."""
    parameters = inspect.signature(function).parameters.values()
    known = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    settings = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or name not in known:
            allowed = (
                f"expected NAME=VALUE with NAME one of: {', '.join(known)}" if known else "there is nothing to set"
            )
            raise ValueError(f"--set {pair}: {allowed}.")
        settings[name], default = value, known[name]
        if not isinstance(default, str):
            with suppress(ValueError, SyntaxError):
                settings[name] = ast.literal_eval(value)
        if type(default) in (int, float) and type(settings[name]) not in (int, type(default)):
            raise ValueError(f"--set {pair}: {name} is a number, such as {default}.")
    return settings


def _world(options):
    import numpy as np

    from .show.files import check_picture_path, grid, save_picture
    from .worlds import load

    world = load(options.world)
    if options.n < 1 or not 8 <= options.size <= 4096:
        raise ValueError(f"--n ({options.n}) must be at least 1, and --size ({options.size}) from 8 to 4096.")
    if not options.output and not options.json:
        raise ValueError("Say where the sheet should go (-o sheet.png), or ask for the captions (--json).")
    if options.output:
        check_picture_path(options.output)
    rows = []
    for i in range(options.n):
        caption, facts = world.caption(options.split, i, options.seed)
        rows.append({"caption": caption, "facts": facts, "truth": world.truth(world.spec(options.split, i))})
    if options.output:
        pictures = [world.render(world.spec(options.split, i), options.size) for i in range(options.n)]
        save_picture(options.output, grid(np.stack(pictures)))
    if options.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        for i, row in enumerate(rows, 1):
            print(f"{i:3d}  {row['caption']}")


def _train(options):
    from .timeline import RECIPES, recipe, recipe_function

    if options.list or not options.recipe:
        if options.json:
            print(json.dumps(list(RECIPES), indent=2))
        else:
            print("\n".join(RECIPES))
        return
    for option in ("steps", "minutes"):
        if getattr(options, option) is not None and getattr(options, option) <= 0:
            raise ValueError(f"--{option} must be above 0.")
    if options.export and Path(options.export).suffix != ".safetensors":
        raise ValueError(f"--export {options.export}: a file of weights is called NAME.safetensors.")
    from .training import export, last_metrics, train

    chosen = _settings(options.set, recipe_function(options.recipe)) if options.set else {}
    folder = Path(options.folder or Path("runs") / options.recipe)
    train(
        recipe(options.recipe, **chosen),
        folder,
        steps=options.steps,
        minutes=options.minutes,
        seed=options.seed,
        resume=not options.fresh,
        precision=options.precision,
    )
    if options.export:  # not after Ctrl-C, which has raised KeyboardInterrupt
        export(folder, options.export)
    measured = last_metrics(folder)
    if options.json:
        print(json.dumps(measured, indent=2))
    elif measured:
        _print_table(["measured on the split val", "share"], [[k, f"{v:.4f}"] for k, v in measured.items()])


def _judge(options):
    from .judge.table import format_table, judge
    from .paths import cache_folder
    from .timeline import load
    from .worlds import load as load_world

    world = load_world(options.world)
    system = load(options.system, options.variant, **_weights(options))
    cache_folder()  # if it cannot be made, say so before the work
    result = judge(lambda captions, seed: system.draw(captions, seed=seed), world, n=options.n, seed=options.seed)
    result = {"system": options.system, **result}
    print(json.dumps(result, indent=2) if options.json else format_table(result))


def _release(options):
    from .grading import masters
    from .paths import write_atomically

    if bool(options.homework) == options.all:
        raise ValueError(f"Say which homework, or --all. There is: {', '.join(masters.names()) or 'none'}.")
    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    for name in masters.names() if options.all else [options.homework]:
        master = masters.find(name)
        notebook = json.dumps(masters.student_version(master), indent=1, ensure_ascii=False) + "\n"
        file = folder / f"{master.name}.ipynb"
        write_atomically(file, notebook.encode())
        print(f"wrote {file}")


def _check(options):
    from .grading.selfcheck import check, summary

    result = check(Path(options.notebook), options.cell_seconds)
    print(json.dumps(result, indent=2) if options.json else summary(result))
    return 0 if result["passed"] else 1


def _grade(options):
    from .grading import masters
    from .grading.grade import grade

    if options.workers is not None and options.workers < 1:
        raise ValueError(f"--workers ({options.workers}) must be at least 1.")
    out = Path(options.output)
    result = grade(
        masters.find(options.homework),
        Path(options.submissions),
        out,
        seed=options.seed,
        workers=options.workers,
        scheduler=options.scheduler,
        isolation=options.isolation,
        format=options.format,
        progress=not options.json,
    )
    if options.json:
        print(json.dumps(result, indent=2))
        return
    rows = result["rows"]
    _print_table(
        ["student", "points", "status", "remarks"],
        [
            ["".join(c if c.isprintable() else " " for c in r["student"]), f"{r['total']:g}", r["status"], r["reason"]]
            for r in rows
        ],
    )
    print(f"{len(rows)} submissions, isolation: {result['isolation']}. See {out}: gradebook.csv, summary.html, …")
    if any(row["status"] == "error" for row in rows):
        print("Where the grader itself failed (status error), give the same line again.")
    if result["isolation"].startswith("limits"):
        print("Warning: this machine offers only limits of time and memory; a hostile notebook could read your files.")
    elif result["isolation"] != "full":
        print(f"Warning: isolation {result['isolation']!r} is not the best there is; see assignments/README.md.")


def _print_table(header: list[str], rows: list[list[str]]) -> None:
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    for row in [header, ["-" * width for width in widths], *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    sys.exit(main())
