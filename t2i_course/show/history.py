"""The time line of the course, drawn from `timeline.HISTORY`."""

from ..timeline import HISTORY

TECHNIQUES = {  # family -> colour; the first word that a technique contains decides, from top to bottom
    "collage": "#8D5A3B",
    "GAN and autoregressive": "#2A9D8F",
    "autoregressive": "#2A9D8F",
    "VAE": "#9B6BC8",
    "GAN": "#E4572E",
    "contrastive": "#868C98",
    "masked": "#4E8D3A",
    "diffusion": "#2F6DB5",
    "flow": "#2F6DB5",
}


def family(technique: str) -> str:
    """The family whose colour a technique is drawn in."""
    return next(name for name in TECHNIQUES if name in technique)


def timeline():
    """A matplotlib figure: one row per system, oldest at the top; filled dots are systems that the library has."""
    import matplotlib.pyplot as plt

    fig, axis = plt.subplots(figsize=(9, 0.3 * len(HISTORY) + 0.8))
    for row, system in enumerate(HISTORY):
        colour = TECHNIQUES[family(system.anatomy.technique)]
        axis.plot([2006, system.year], [-row, -row], color="#E4E0D8", linewidth=1, zorder=0)
        axis.plot(system.year, -row, "o", markersize=9, color=colour, fillstyle="full" if system.module else "none")
        axis.text(system.year + 0.35, -row, system.title, va="center", fontsize=9, color=colour, weight="bold")
        axis.text(2031.2, -row, system.anatomy.technique, va="center", fontsize=8, color="#4A4E5A")
        axis.text(2005.6, -row, f"ch. {system.chapter}", va="center", ha="right", fontsize=8, color="#4A4E5A")
    axis.set_xlim(2006, 2036)
    axis.set_ylim(-len(HISTORY) + 0.2, 0.8)
    axis.set_xticks([2007, 2010, 2015, 2020, 2024])
    axis.xaxis.tick_top()
    axis.yaxis.set_visible(False)
    for side in axis.spines.values():
        side.set_visible(False)
    return fig
