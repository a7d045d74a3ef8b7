"""A brush for notebooks: squares of a picture, to be chosen by clicking them."""

import ipywidgets as widgets
import numpy as np
import traitlets


class Brush(widgets.VBox, widgets.ValueWidget):
    """side x side squares; `value` holds the numbers of those that are chosen, row by row from 0, in rising order."""

    description = traitlets.Unicode()
    value = traitlets.Tuple()

    def __init__(self, side: int = 8, chosen: tuple[int, ...] = ()):
        small = widgets.Layout(width="26px", height="26px", margin="1px", padding="0")
        self.squares = [
            widgets.ToggleButton(value=k in chosen, layout=small, tooltip=f"row {k // side + 1}, column {k % side + 1}")
            for k in range(side**2)
        ]
        label, columns = widgets.Label(), widgets.Layout(grid_template_columns=f"repeat({side}, 28px)")
        super().__init__([label, widgets.GridBox(self.squares, layout=columns)], value=tuple(sorted(set(chosen))))
        traitlets.dlink((self, "description"), (label, "value"))
        for square in self.squares:
            square.observe(self._collect, "value")

    def _collect(self, _) -> None:
        self.value = tuple(k for k, square in enumerate(self.squares) if square.value)

    @staticmethod
    def mask(value: tuple[int, ...], size: int, side: int = 8) -> np.ndarray:
        """Chosen squares as a picture: float32 (size, size), 1 where one is chosen.

        Raises ValueError unless size is a multiple of side.
        """
        if size % side:
            raise ValueError(f"{side} squares do not fit into {size} pixels: give a multiple of {side}.")
        small = np.zeros(side**2, np.float32)
        small[list(value)] = 1
        return np.kron(small.reshape(side, side), np.ones((size // side, size // side), np.float32))
