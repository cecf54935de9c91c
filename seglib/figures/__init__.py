"""Tables and arrays -> matplotlib figures. matplotlib lives here only; nothing is shown, everything is returned."""

from seglib.figures.curves import plot_history, plot_runs
from seglib.figures.data import (
    plot_colours,
    plot_data,
    plot_drift,
    plot_duplicates,
    plot_mean_mask,
    plot_orientation,
    plot_shapes,
    plot_sizes,
)
from seglib.figures.masks import plot_areas, plot_errors, plot_predictions, plot_samples
from seglib.figures.scores import plot_calibration, plot_causes, plot_rules, plot_scores, plot_uncertainty
from seglib.figures.style import clear_figures, save_figure

__all__ = [
    "clear_figures",
    "plot_areas",
    "plot_calibration",
    "plot_causes",
    "plot_colours",
    "plot_data",
    "plot_drift",
    "plot_duplicates",
    "plot_errors",
    "plot_history",
    "plot_mean_mask",
    "plot_orientation",
    "plot_predictions",
    "plot_rules",
    "plot_runs",
    "plot_samples",
    "plot_scores",
    "plot_shapes",
    "plot_sizes",
    "plot_uncertainty",
    "save_figure",
]
