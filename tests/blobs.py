"""Probability maps with parts and holes, for tests of what is made of them."""

import cv2
import numpy as np


def make_blobs(seed, shape=(61, 90), sigma=4.0):
    noise = np.random.default_rng(seed).standard_normal(shape)
    smooth = cv2.GaussianBlur(noise, (0, 0), sigma)
    return (smooth - smooth.min()) / np.ptp(smooth)
