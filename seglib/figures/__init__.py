"""Tables and arrays -> matplotlib figures. matplotlib lives here only; nothing is shown, everything is returned."""

from seglib.figures.curves import plot_history, plot_runs
from seglib.figures.data import plot_data, plot_mean_mask
from seglib.figures.masks import plot_areas, plot_predictions, plot_samples
from seglib.figures.scores import plot_calibration, plot_rules, plot_scores
from seglib.figures.style import save_figure

__all__ = [
    "plot_areas",
    "plot_calibration",
    "plot_data",
    "plot_history",
    "plot_mean_mask",
    "plot_predictions",
    "plot_rules",
    "plot_runs",
    "plot_samples",
    "plot_scores",
    "save_figure",
]
