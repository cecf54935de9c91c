"""The augmentation, the same for all: what ``seglib.batches.augmentation.make_transform`` draws for colour images.

It is written out, as importing seglib would make the others start later; a test holds the two together.
"""

import os

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # before its import, which otherwise asks the network

import albumentations as A  # noqa: N812
import cv2

EDGE = {"border_mode": cv2.BORDER_REFLECT_101, "mask_interpolation": cv2.INTER_NEAREST}
SCALE, ROTATE, SHIFT, SHEAR = (0.8, 1.2), (-30, 30), (-0.08, 0.08), (-6, 6)


def turn_and_bend() -> list[A.BasicTransform]:
    """What moves pixels: flips, quarter turns, affine."""
    affine = {"scale": SCALE, "rotate": ROTATE, "translate_percent": SHIFT, "shear": SHEAR}
    return [A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5), A.RandomRotate90(p=0.5), A.Affine(**affine, **EDGE, p=0.7)]


def warp_and_colour() -> list[A.BasicTransform]:
    """Elastic, brightness and contrast, hue and saturation."""
    elastic = A.ElasticTransform(alpha=60, sigma=8, approximate=True, **EDGE, p=0.15)
    return [elastic, A.RandomBrightnessContrast(0.2, 0.2, p=0.5), A.HueSaturationValue(8, 20, 8, p=0.3)]
