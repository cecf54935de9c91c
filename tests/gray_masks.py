"""Masks of several grays, made up: labels, and smoothed edges."""

import cv2
import numpy as np


def disc(radius, value=255, side=128):
    return cv2.circle(np.zeros((side, side), np.uint8), (side // 2, side // 2), radius, value, -1)


def nested(inner, outer, radius):
    """Labels: a disc of one value within a disc of another."""
    return cv2.circle(disc(50, inner), (64, 64), radius, outer, -1)


def smooth(radius):
    return cv2.GaussianBlur(disc(radius), (0, 0), 2)


def enlarged(radius, times=4):
    """A disc whose pixels are means of parts, each repeated."""
    small = cv2.resize(disc(radius), (128 // times, 128 // times), interpolation=cv2.INTER_AREA)
    return np.kron(small, np.ones((times, times), np.uint8))


def lines(value):
    """A label of lines one pixel wide beside an area of 255."""
    plane = disc(40)
    plane[2:20:4, ::2] = value
    return plane
