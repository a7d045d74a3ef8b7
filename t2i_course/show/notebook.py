"""What the notebooks show: figures with a text alternative, the library's own source, films, tables, widgets.

Every figure says in words what it shows. The words are stored beside the picture and printed under it, because the
notebook format has no agreed place for them and a screen reader must find them in every viewer.
"""

import base64
import html
import inspect
import io
import textwrap
from pathlib import Path

import numpy as np

_INK = "#2E2A3B"
_COLORS = ("#2A9D8F", "#E4572E", "#2F6DB5", "#E0A526", "#9B6BC8", "#868C98")


def figure(fig, alt: str) -> None:
    """Display a matplotlib figure and its description, and close it."""
    import matplotlib.pyplot as plt

    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=100, bbox_inches="tight", facecolor="white")
    plt.close(fig)
    _display(buffer.getvalue(), alt)


def pictures(images, captions=None, *, alt: str, columns: int | None = None, inches: float = 2.0) -> None:
    """Show pictures, uint8 (B, H, W, 3) or float tensor (B, 3, H, W) in [-1, 1], with what was asked for under each."""
    import matplotlib.pyplot as plt

    from ..worlds.base import to_uint8

    images = to_uint8(images)
    captions = captions if captions is not None else [""] * len(images)
    if len(captions) != len(images) or not len(images):
        raise ValueError(f"{len(images)} pictures cannot have {len(captions)} captions.")
    columns = min(len(images), columns or 6)
    rows = -(-len(images) // columns)
    lines = [textwrap.fill(text, int(inches * 11)) for text in captions]
    high = inches * images.shape[1] / images.shape[2]
    in_rows = [lines[i : i + columns] for i in range(0, len(lines), columns)]
    below = [0.1 + 0.19 * max(line.count("\n") + bool(line) for line in row) for row in in_rows]  # inches for captions
    fig, axes = plt.subplots(
        rows,
        columns,
        figsize=(columns * inches, rows * high + sum(below)),
        height_ratios=[high + extra for extra in below],
        squeeze=False,
    )
    for axis in axes.flat:
        axis.axis("off")
    for axis, image, line in zip(axes.flat, images, lines, strict=False):
        axis.imshow(image, interpolation="nearest" if image.shape[0] < 64 else "antialiased")
        axis.set_anchor("N")
        axis.text(0.5, -0.03, line, transform=axis.transAxes, ha="center", va="top", fontsize=9.5, color=_INK)
    fig.subplots_adjust(0, 0, 1, 1, wspace=0.06, hspace=0)
    figure(fig, alt)


def bars(names, series: dict, *, alt: str, ylabel: str = "", inches=(9, 2.6)) -> None:
    """Show numbers as bars over `names`; `series` is {label: values}, drawn side by side."""
    import matplotlib.pyplot as plt

    fig, axis = plt.subplots(figsize=inches)
    width = 0.8 / len(series)
    for i, (label, values) in enumerate(series.items()):
        axis.bar(
            np.arange(len(names)) + (i - (len(series) - 1) / 2) * width, values, width, label=label, color=_COLORS[i]
        )
    axis.set_xticks(range(len(names)), names, rotation=45 if max(map(len, names)) > 4 else 0, ha="right", fontsize=8)
    _finish(fig, axis, series, "", ylabel, alt)


def lines(
    x, series: dict, *, alt: str, xlabel: str = "", ylabel: str = "", inches: tuple[float, float] = (9, 2.6)
) -> None:
    """Show numbers as lines over `x`; `series` is {label: values}."""
    import matplotlib.pyplot as plt

    fig, axis = plt.subplots(figsize=inches)
    for i, (label, values) in enumerate(series.items()):
        axis.plot(x, values, label=label, color=_COLORS[i], linewidth=1.5, linestyle=("-", "--", "-.", ":")[i % 4])
    _finish(fig, axis, series, xlabel, ylabel, alt)


def _finish(fig, axis, series, xlabel, ylabel, alt):
    axis.set_xlabel(xlabel)
    axis.set_ylabel(ylabel)
    axis.spines[["top", "right"]].set_visible(False)
    if len(series) > 1:
        axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    figure(fig, alt)


def film(frames: np.ndarray, *, alt: str, seconds: float = 6.0) -> None:
    """Show uint8 (T, H, W, 3) frames as an endless film (an animated PNG, which every viewer of notebooks shows)."""
    from .files import animated_png

    _display(animated_png(frames, seconds), alt)


def source(*things) -> None:
    """Show the library's own code, so that no notebook holds a second copy of it."""
    from IPython.display import Markdown, display

    for thing in things:
        try:
            lines, start = inspect.getsourcelines(thing)
        except (TypeError, OSError):
            raise ValueError(f"{thing!r} has no Python source to show; give a function, a class or a module.") from None
        path = Path(inspect.getfile(inspect.unwrap(thing)))  # of the function, not of what decorates it
        inside = "t2i_course" in path.parts[:-1]
        parts = path.parts[len(path.parts) - 1 - path.parts[::-1].index("t2i_course") :] if inside else [path.name]
        display(Markdown(f"`{'/'.join(parts)}`, line {start}\n```python\n{textwrap.dedent(''.join(lines))}```"))


def table(rows: list[dict], digits: int = 3) -> None:
    """Show rows (dicts with the same keys) as a table; floats are rounded."""
    from IPython.display import Markdown, display

    def cell(value):
        return f"{value:.{digits}f}" if isinstance(value, float) else str(value)

    header = list(rows[0])
    lines = [header, ["---"] * len(header), *([cell(row.get(key, "")) for key in header] for row in rows)]
    display(Markdown("\n".join("| " + " | ".join(line) + " |" for line in lines)))


def play(draw, *, alt: str, **controls):
    """Let the reader play: `draw(**values)` makes a uint8 (H, W, 3) picture, again whenever a control is moved.

    A control is (low, high, step, value) for a slider, a list of choices, a string to type, or any widget. The first
    picture is stored with the notebook, so that it reads well without being run.
    """
    import ipywidgets as widgets
    from IPython.display import display

    for name, control in controls.items():
        if isinstance(control, tuple):
            low, high, step, value = control
            slider = widgets.IntSlider if all(isinstance(number, int) for number in control) else widgets.FloatSlider
            controls[name] = slider(value=value, min=low, max=high, step=step)
    made = widgets.interactive(lambda **_: None, **controls).children[:-1]
    for name, control in zip(controls, made, strict=True):
        control.description = name
    names = list(controls)
    for control in made:
        if hasattr(control, "style"):
            control.style.description_width = "initial"
        if isinstance(control, widgets.Text):
            control.layout.width = "100%"
        if hasattr(control, "continuous_update"):
            control.continuous_update = False  # one picture when the slider is let go, not thirty on the way
    values = {name: control.value for name, control in zip(names, made, strict=True)}
    as_large_as_it_is = widgets.Layout(max_width="100%", align_self="flex-start")
    shown = widgets.Image(value=_png(draw(**values)), format="png", layout=as_large_as_it_is)
    note = widgets.HTML()

    def again(_):
        try:
            note.value = "<i>drawing …</i>"
            shown.value = _png(draw(**{name: control.value for name, control in zip(names, made, strict=True)}))
            note.value = ""
        except Exception as error:  # what the reader typed cannot be drawn: say so where they are looking
            note.value = f"<b>{html.escape(str(error))}</b>"

    for control in made:
        control.observe(again, names="value")
    box = widgets.VBox([*made, note, shown])
    picture = base64.b64encode(shown.value).decode()
    bundle = {**box._repr_mimebundle_(), "image/png": picture, "text/plain": alt}
    display(bundle, raw=True, metadata={"image/png": {"alt": alt}})


def _display(png: bytes, alt: str) -> None:
    from IPython.display import Markdown, display

    if not alt or not alt.strip():
        raise ValueError("A figure needs an alt text: say in a sentence what it shows.")
    bundle = {"image/png": base64.b64encode(png).decode(), "text/plain": alt}
    display(bundle, raw=True, metadata={"image/png": {"alt": alt}})
    display(Markdown(f"*{alt}*"))


def _png(picture: np.ndarray) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()
