"""Segment medical images in two dimensions: the functions behind the notebooks."""

import gc
import os
import warnings

__version__ = "0.1.0"
GARBAGE_AFTER = 10_000  # objects

# For how long a thread of torch's OpenMP (libgomp) spins before it sleeps; read when torch is loaded. By default it is
# some 10 ms, in which it keeps the processor from others, even the thread it waits for. On two cores, beside a process
# that computes in two threads, a training step took up to 12 s so, up to 3 s with this half millisecond; alone as long.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
# What imports tqdm.auto in a notebook (Lightning, albumentations, timm) asks for widgets that nobody here uses.
warnings.filterwarnings("ignore", ".*IProgress not found.*")
# Python looks for garbage after every 700 new objects. Imports of torch and albumentations make hundreds of thousands
# that stay: looking a tenth as often starts a notebook sooner, and what waits for it is small.
_first, *_others = gc.get_threshold()
if 0 < _first < GARBAGE_AFTER:
    gc.set_threshold(GARBAGE_AFTER, *_others)
