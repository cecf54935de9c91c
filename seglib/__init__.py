"""Segment medical images in two dimensions: the functions behind the notebooks."""

import os
import warnings

__version__ = "0.1.0"

# For how long a thread of torch's OpenMP (libgomp) spins before it sleeps; read when torch is loaded. By default it is
# some 10 ms, in which it keeps the processor from others, even the thread it waits for. On two cores, 19 training steps
# beside `benchmarks/memory.py` took over 120 s so, and some 50 s with this half millisecond; beside a busy loop of
# Python a step took 0.6 s so and 0.9 s with it, beside another process of torch 0.7 and 0.6 s, alone the same.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
# What imports tqdm.auto in a notebook (Lightning, albumentations, timm) asks for widgets that nobody here uses.
warnings.filterwarnings("ignore", ".*IProgress not found.*")
