"""From prompt to pixels: how much of the library a reader has to open to understand Stable Diffusion, by tracing it."""

import ast
import sys
from dataclasses import replace
from pathlib import Path

import t2i_course
from t2i_course.codec.autoencoder import VARIANTS as AUTOENCODERS
from t2i_course.codec.autoencoder import Autoencoder
from t2i_course.diffusion.latent_diffusion import LatentDiffusion, Reader
from t2i_course.diffusion.process import Process, scaled_linear
from t2i_course.nn.unet import VARIANTS as UNETS
from t2i_course.nn.unet import UNet
from t2i_course.text.clip import VARIANTS as CLIPS
from t2i_course.text.clip import TextTower, Tower, tokenize

LIBRARY = Path(t2i_course.__file__).parent


def narrow_stable_diffusion():
    """Stable Diffusion 1 with all its levels and kinds of blocks, but few channels and no training."""
    text = TextTower(replace(CLIPS["vit_l_14"], text=Tower(64, 12, 4))).eval()
    unet = UNet(replace(UNETS["sd_1"], dim=32, context_dim=64))
    autoencoder = Autoencoder(replace(AUTOENCODERS["kl_f8"], dim=32))
    read = Reader(text.context, lambda captions: tokenize(captions, pad=49407), text)
    return LatentDiffusion(read, unet, autoencoder, Process(scaled_linear()), 0.18215, size=64, released=True)


def functions_called(run) -> set[tuple[Path, int]]:
    """File and first line of every function of the library that runs."""
    called = set()

    def trace(frame, event, arg):
        file = Path(frame.f_code.co_filename)
        if event == "call" and LIBRARY in file.parents:
            called.add((file, frame.f_code.co_firstlineno))

    sys.setprofile(trace)
    try:
        run()
    finally:
        sys.setprofile(None)
    return called


def code_lines(file: Path, first: int) -> set[int]:
    """The lines of a function that hold code: neither blank nor comment nor docstring, nor a check of bad input."""
    source = file.read_text()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef):
            continue
        start = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        if first not in (start, node.lineno):
            continue
        lines = set(range(start, node.end_lineno + 1))
        if ast.get_docstring(node):
            lines -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
        for check in ast.walk(node):  # an `if` that only raises says nothing about how it works
            if isinstance(check, ast.If) and isinstance(check.body[0], ast.Raise) and not check.orelse:
                lines -= set(range(check.lineno, check.end_lineno + 1))
        return {n for n in lines if source.splitlines()[n - 1].strip() and source.splitlines()[n - 1].strip()[0] != "#"}
    return set()  # a lambda or a comprehension, whose lines are those of the function around it


def counted(run) -> dict[str, int]:
    """Code lines of the functions that run, by file."""
    lines: dict[Path, set[int]] = {}
    for file, first in functions_called(run):
        lines.setdefault(file, set()).update(code_lines(file, first))
    return {str(file.relative_to(LIBRARY)): len(numbers) for file, numbers in lines.items() if numbers}


def test_a_reader_opens_at_most_eight_files():
    """One call, and then the call with all that builds the networks, where the architecture stands."""
    caption = ["a cat in the snow"]
    system = narrow_stable_diffusion()
    call = counted(lambda: system.draw(caption, steps=2))
    both = counted(lambda: narrow_stable_diffusion().draw(caption, steps=2))
    assert "nn/unet.py" in call
    assert len(call) <= 8, call
    assert len(both) <= 8, both
    assert sum(call.values()) <= 270, call
    assert sum(both.values()) <= 450, both
