"""Segment medical images in two dimensions: the functions behind the notebooks."""

import os
import warnings

__version__ = "0.1.0"

# For how long a thread of torch's OpenMP (libgomp) spins before it sleeps; read when torch is loaded. By default it is
# some 10 ms, in which it keeps the processor from others, even the thread it waits for. On two cores, beside a process
# that computes in two threads, a training step took up to 12 s so, up to 3 s with this half millisecond; alone as long.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
# What imports tqdm.auto in a notebook (Lightning, albumentations, timm) asks for widgets that nobody here uses.
warnings.filterwarnings("ignore", ".*IProgress not found.*")
