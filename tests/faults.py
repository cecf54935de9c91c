"""Faults planted in a copy of a data set, each as somebody's export or upload makes it: what `problems` has to find."""

import shutil

import cv2
import numpy as np

from seglib.checks.problems import inspect_data
from seglib.data.samples import list_samples
from seglib.data.unseen import list_test_images
from seglib.images.masks import read_mask
from seglib.images.reading import read_image


def plant_faults(data):
    """Plant 34 faults in the folder ``data``; give the 35 pairs (file, problem) that must be found, as one has two."""
    samples, test = list_samples(data), list_test_images(data)
    shares = [read_mask(path).mean() for path in samples["mask_path"]]
    sides = [touches_border(read_mask(path)) for path in samples["mask_path"]]
    usable = samples[[0.05 < share < 0.6 and not side for share, side in zip(shares, sides, strict=True)]]
    images, masks = iter(usable["image_path"].tolist()), iter(usable["mask_path"].tolist())
    planted = set()

    def told(path, problem):
        planted.add((str(path).removeprefix(f"{data}/"), problem))

    def sample():
        return next(images), next(masks)

    for part in (0, 1):
        path = sample()[part]
        open(path, "wb").close()
        told(path, "empty file")
    for path in (sample()[0], sample()[1], test["image_path"][0]):
        cut_short(path)
        told(path, "unreadable")
    path = sample()[0]
    open(path, "w").write("<html>404</html>")
    told(path, "unreadable")
    for part, problem in ((1, "no mask"), (1, "no mask"), (1, "no mask"), (0, "no image"), (0, "no image")):
        pair = sample()
        remove(pair[part])
        told(pair[1 - part], problem)
    for change in (turned, halved, cropped):
        _, path = sample()
        write(path, 255 * change(read_mask(path)))
        told(path, "size mismatch")
    for change in (anti_aliased, labelled, soft):
        _, path = sample()
        write(path, change(read_mask(path)))
        told(path, "more than two values")
        if change is labelled:
            told(path, "read unlike the others")
    for value, problem in ((0, "empty mask"), (0, "empty mask"), (255, "full mask"), (255, "full mask")):
        _, path = sample()
        write(path, np.full_like(read_mask(path), value))
        told(path, problem)
    for _ in range(3):
        _, path = sample()
        write(path, 255 * (1 - read_mask(path)))
        told(path, "inverted mask")
    for draw in (blank, noise, gradient):
        path, _ = sample()
        write(path, draw(read_image(path, channels=3)))
        told(path, "odd image")
    folder = data / "Train"
    for number, (problem, change) in enumerate(COPIES):
        source, mask = sample()
        image_name, mask_name = f"zz_{number}.png", f"zz_{number}_mask.png"
        write(folder / "Image" / image_name, change(read_image(source, channels=3)))
        write(folder / "Mask" / mask_name, 255 * change(read_mask(mask)))
        told(folder / "Image" / image_name, problem)
    for number in (1, 2):
        source = test["image_path"][number]
        image = read_image(source, channels=3)
        write(folder / "Image" / f"zt_{number}.png", image)
        write(folder / "Mask" / f"zt_{number}.png", 255 * disc(image.shape))
        told(folder / "Image" / f"zt_{number}.png", "in train and test")
    return planted


def write(path, pixels):
    cv2.imwrite(str(path), pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., ::-1]))


def remove(path):
    shutil.os.unlink(path)


def cut_short(path):
    with open(path, "r+b") as file:
        file.truncate(file.seek(0, 2) // 2)


def touches_border(mask):
    return bool(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())


def same(pixels):
    return pixels


def mirrored(pixels):
    return np.ascontiguousarray(pixels[:, ::-1])


def turned(pixels):
    pixels = pixels[: pixels.shape[0] - (pixels.shape[0] == pixels.shape[1])]  # so that a square changes its size too
    return np.ascontiguousarray(np.rot90(pixels))


def quarter(pixels):
    return np.ascontiguousarray(np.rot90(pixels))


def halved(pixels):
    how = cv2.INTER_AREA if pixels.ndim == 3 else cv2.INTER_NEAREST
    return cv2.resize(pixels, None, fx=0.7, fy=0.7, interpolation=how)


def cropped(pixels):
    return pixels[4:, 4:]


COPIES = (
    ("exact duplicate", same),
    ("exact duplicate", same),
    ("near-duplicate", halved),
    ("near-duplicate", quarter),
    ("near-duplicate", mirrored),
)


def anti_aliased(mask):
    return cv2.GaussianBlur(255 * mask, (9, 9), 2)


def labelled(mask):
    return mask + cv2.erode(mask, np.ones((5, 5), np.uint8))


def soft(mask):
    return np.where(mask, 250, 3).astype(np.uint8) + (np.indices(mask.shape).sum(axis=0) % 3).astype(np.uint8)


def blank(image):
    return np.full_like(image, 90)


def noise(image):
    return np.random.default_rng(0).integers(0, 256, image.shape, dtype=np.uint8)


def gradient(image):
    """A screen without a picture: black on one side, pure blue on the other."""
    ramp = np.zeros_like(image)
    ramp[..., 2] = np.linspace(0, 255, image.shape[1]).astype(np.uint8)
    return ramp


def disc(shape):
    return cv2.circle(np.zeros(shape[:2], np.uint8), (shape[1] // 2, shape[0] // 2), min(shape[:2]) // 5, 1, -1)


def rows_of(data, problem):
    table = inspect_data(data).problems
    return table[table["problem"] == problem]


def write_grays(data, count):
    rng = np.random.default_rng(1)
    for folder in ("Image", "Mask"):
        (data / "Train" / folder).mkdir(parents=True)
    for number in range(count):
        gray = cv2.resize(rng.integers(40, 200, (12, 16), dtype=np.uint8), (96, 64))
        write(data / "Train" / "Image" / f"{number:02}.png", gray)
        mask = cv2.circle(np.zeros((64, 96), np.uint8), (48, 32), int(rng.integers(8, 20)), 255, -1)
        write(data / "Train" / "Mask" / f"{number:02}.png", mask)
    return data
