"""Made-up images of patients and films, and names for them."""

import numpy as np

SIDE = 64


def draw(rng, count, *, like=None, strength=60.0):
    """Smooth pictures that have nothing to do with each other, or each a little with ``like``."""
    coarse = np.repeat(np.repeat(rng.normal(0, strength, (count, 8, 8)), SIDE // 8, 1), SIDE // 8, 2)
    return (128 if like is None else like) + coarse.astype(np.float32)


def scan(rng, patients, slices):
    """Slices of patients, one patient after the other: slices of one are more alike than those of two."""
    return np.concatenate([draw(rng, slices, like=patient, strength=20) for patient in draw(rng, patients)])


def name_all(pattern, *counts):
    return [pattern.format(*places) for places in np.ndindex(*counts)]


def take_films(rng, films, frames):
    """Frames of films, one film after the other."""
    return np.concatenate([draw(rng, frames, like=film, strength=10) for film in draw(rng, films)])
