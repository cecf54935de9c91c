"""Loaders and a model -> checkpoints and a history. Lightning lives in this package only; it runs the loop."""

from seglib.training.callbacks import HISTORY_COLUMNS, HistoryWriter
from seglib.training.loop import fit, fit_member, fit_members
from seglib.training.segmenter import Segmenter

__all__ = ["HISTORY_COLUMNS", "HistoryWriter", "Segmenter", "fit", "fit_member", "fit_members"]
