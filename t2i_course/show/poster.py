"""The picture at the top of the README: captions of the course, and what is drawn from them."""

import textwrap
from pathlib import Path

import numpy as np

STORY = "First the farmer gives hay to the goat. Then the farmer gets milk from the cow."


def poster(path: str | Path, size: int = 300) -> None:
    """Draw a story by the 2007 system and one picture of each world, each with its caption, into one PNG."""
    import matplotlib.pyplot as plt

    from .. import timeline, worlds

    drawn = [("Zhu et al. 2007", STORY, timeline.load("picture_layout").draw([STORY], seed=0, size=size)[0])]
    for name, index in (("flowers", 17), ("birds", 11), ("scenes", 31)):
        world = worlds.load(name)
        caption = world.caption("train", index)[0]
        drawn.append((f"the world of {name}", caption, world.render(world.spec("train", index), size)))
    fig, axes = plt.subplots(1, len(drawn), figsize=(3.1 * len(drawn), 4.0))
    for axis, (title, caption, picture) in zip(axes, drawn, strict=True):
        axis.imshow(np.asarray(picture))
        axis.set_title(title, fontsize=10, color="#868C98", loc="left")
        axis.text(
            0, -0.05, textwrap.fill(caption, 31), transform=axis.transAxes, va="top", fontsize=10, color="#2E2A3B"
        )
        axis.axis("off")
    fig.savefig(path, dpi=100, bbox_inches="tight", facecolor="white", metadata={"Software": None})
    plt.close(fig)
