"""Loaders and a model -> checkpoints and a history. Lightning lives in this package only; it runs the loop."""
