"""Segment medical images in two dimensions: the functions behind the notebooks."""

__version__ = "0.1.0"
