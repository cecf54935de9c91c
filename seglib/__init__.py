"""Segment medical images in two dimensions: the functions behind the notebooks."""

import os
import warnings

__version__ = "0.1.0"

# For how long a thread of torch's OpenMP (libgomp) spins before it sleeps; read when torch is loaded. By default it is
# some 10 ms, in which it keeps the processor from the very thread that it waits for: beside one busy process a training
# step on two cores took more than six times as long as with this half millisecond. Where nothing else runs they are
# equally fast.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
# What imports tqdm.auto in a notebook (Lightning, albumentations, timm) asks for widgets that nobody here uses.
warnings.filterwarnings("ignore", ".*IProgress not found.*")
