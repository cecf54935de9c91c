"""A phantom data set in the real folder tree, for tests, dry runs and machines without the data.

The phantoms look like dermoscopy: one lesion on shaded skin, under hair, in the light of a round lens. Dark corners and
shadows keep a global threshold from solving the task; a small network learns it in a hundred steps.
"""

import json
import tempfile
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator
from PIL import Image

from seglib.errors import InputError

VERSION = 1  # raise it when the same arguments draw other pixels, so that old folders are not taken for new ones
MARKER = "phantoms.json"
SIZES = ((96, 128), (144, 192), (128, 96), (160, 240), (112, 112), (192, 144), (256, 192))  # (H, W), pixels
GRAY_EVERY, PNG_EVERY = 8, 3  # coprime to each other and to len(SIZES): every kind of file meets every size
LIGHT_SKIN, DARK_SKIN = np.array([238, 202, 182]), np.array([176, 126, 98])  # RGB


def draw_phantom(rng: Generator, height: int, width: int, *, gray: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Draw one lesion on skin, with a soft edge, and its mask, as crisp as an expert's outline.

    Args:
        rng: source of every random choice; it is advanced.
        height: pixels, at least 32.
        width: pixels, at least 32.
        gray: draw one channel instead of three.

    Returns:
        Image, uint8 (H, W, 3) in RGB order or (H, W) if ``gray``; mask, uint8 (H, W) in {0, 255}, never empty.

    Raises:
        ValueError: if a side is shorter than 32 pixels.

    Example:
        >>> image, mask = draw_phantom(np.random.default_rng(0), 48, 64)
        >>> image.shape, mask.shape, np.unique(mask).tolist()
        ((48, 64, 3), (48, 64), [0, 255])
    """
    if min(height, width) < 32:
        raise ValueError(f"a phantom of {height} x {width} pixels is too small to draw; the least side is 32")
    depth = _depth_in_lesion(rng, height, width)
    image = _add_lesion(rng, _skin(rng, height, width), depth)
    image = _add_hair(rng, image) * _light(rng, height, width)[..., None]
    image = (image + rng.normal(0, rng.uniform(2, 6), image.shape)).clip(0, 255).astype(np.uint8)
    mask = np.where(depth > 0, 255, 0).astype(np.uint8)
    return (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if gray else image), mask


def write_phantoms(folder: str | Path, *, train: int = 64, test: int = 16, seed: int = 0) -> Path:
    """Write a phantom data set: ``Train`` and ``Test`` with ``Image`` and ``Mask``, and ``sample_submission.csv``.

    Unlike a real set it has public test masks. The same arguments give the same bytes; a smaller set is the beginning
    of a larger one. The folder appears complete or not at all; one that holds this very set is left as it is.

    Args:
        folder: where to write; missing, empty, or holding what the same call wrote earlier.
        train: number of training samples, at least 1.
        test: number of test samples, at least 0.
        seed: at least 0; other seeds give other images.

    Returns:
        The folder.

    Raises:
        InputError: if a number is out of range, the folder holds anything else, or it cannot be written.

    Example:
        >>> with tempfile.TemporaryDirectory() as parent:
        ...     (write_phantoms(f"{parent}/set", train=2, test=1) / "sample_submission.csv").read_text().split()
        ['id,rle', 'test_0000,']
    """
    for name, value, least in (("train", train, 1), ("test", test, 0), ("seed", seed, 0)):
        if value < least:
            raise InputError(f"{name} is {value}, which is too small for phantoms; give {least} or more")
    folder, arguments = Path(folder), {"version": VERSION, "train": train, "test": test, "seed": seed}
    if not _already_holds(folder, arguments):
        _write_at_once(folder, arguments)
    return folder


def _smooth_noise(rng: Generator, height: int, width: int, bumps: int) -> np.ndarray:
    """Float (H, W) of about zero mean and unit variance, with ``bumps`` bumps along each side."""
    return cv2.resize(rng.standard_normal((bumps, bumps)), (width, height), interpolation=cv2.INTER_CUBIC)


def _depth_in_lesion(rng: Generator, height: int, width: int) -> np.ndarray:
    """Pixels from the lesion's border along the ray from its centre, float (H, W); positive inside."""
    centre = rng.uniform(0.42, 0.58, 2)
    if rng.random() < 0.15:  # some lesions leave the picture, as in real sets
        centre[rng.integers(2)] = rng.choice([0.08, 0.92])
    rows, columns = np.mgrid[:height, :width]
    offset = (columns - centre[1] * width) + 1j * (rows - centre[0] * height)
    offset *= np.exp(1j * rng.uniform(0, np.pi))
    offset.real *= rng.uniform(0.75, 1)  # longer than wide, in a direction of its own
    waves = np.arange(2, 10)
    angles = np.angle(offset)[..., None] * waves + rng.uniform(0, 2 * np.pi, waves.size)
    outline = 1 + (rng.normal(0, 0.3, waves.size) / waves**1.3 * np.cos(angles)).sum(-1)
    return min(height, width) * rng.uniform(0.16, 0.43) * outline.clip(0.4) - np.abs(offset)


def _skin(rng: Generator, height: int, width: int) -> np.ndarray:
    """Skin of one person, blotched, float (H, W, 3)."""
    tone = LIGHT_SKIN + rng.random() * (DARK_SKIN - LIGHT_SKIN)
    blotches = 1 + 0.03 * _smooth_noise(rng, height, width, 12) + 0.02 * _smooth_noise(rng, height, width, 40)
    return blotches[..., None] * tone


def _add_lesion(rng: Generator, image: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Darken the skin inside the lesion: unevenly, faintly in some images, and with a soft edge."""
    inside = 0.5 + 0.5 * np.tanh(depth / (min(depth.shape) * rng.uniform(0.016, 0.06)))
    pigment = 1 + 0.22 * _smooth_noise(rng, *depth.shape, 5) + 0.12 * _smooth_noise(rng, *depth.shape, 24)
    colour = rng.uniform([0.65, 0.95, 1.0], [0.93, 1.05, 1.2])  # what is taken from R, G, B: reddish brown to black
    absorbed = rng.uniform(0.42, 0.82) * inside * pigment.clip(0.5)
    return image * (1 - absorbed[..., None] * colour).clip(0.08)


def _add_hair(rng: Generator, image: np.ndarray) -> np.ndarray:
    """Lay thin dark arcs over the image; some people have none."""
    layer = np.zeros(image.shape[:2], np.uint8)
    for _ in range(rng.choice([0, 0, 2, 4, 8, 12])):
        arc = (_arc(rng, *layer.shape) * 16).round().astype(np.int32)  # shift=4: sixteenths of a pixel
        cv2.polylines(layer, [arc], False, int(rng.integers(120, 230)), lineType=cv2.LINE_AA, shift=4)
    cover = layer[..., None] / 255
    return image * (1 - cover) + rng.uniform(0.3, 1.2) * np.array([70, 52, 42]) * cover


def _arc(rng: Generator, height: int, width: int) -> np.ndarray:
    """24 points (x, y) of a slightly bent curve that may begin and end outside the image, float (24, 2)."""
    start, end = rng.uniform(-0.2, 1.2, (2, 2)) * (width, height)
    bend = (start + end) / 2 + rng.normal(0, 0.15, 2) * (width, height)
    step = np.linspace(0, 1, 24)[:, None]
    return (1 - step) ** 2 * start + 2 * step * (1 - step) * bend + step**2 * end


def _light(rng: Generator, height: int, width: int) -> np.ndarray:
    """Brightness that falls towards one side and towards the corners, float (H, W) in (0, 1.3]."""
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    slope = rng.uniform(-0.12, 0.12) * rows + rng.uniform(-0.12, 0.12) * columns
    corners = rng.uniform(0.1, 0.45) * (rows**2 + columns**2) ** 2 / 2
    return (1 + slope - corners + 0.05 * _smooth_noise(rng, height, width, 3)).clip(0.1, 1.3)


def _already_holds(folder: Path, arguments: dict[str, int]) -> bool:
    """True for a complete set of these arguments, False for a free place; anything else is the user's to move."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    try:
        marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        sizes, found = marker.pop("bytes"), marker
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{folder} is neither empty nor a set of phantoms; choose another folder for them") from None
    if found != arguments:
        raise InputError(f"{folder} holds other phantoms ({found}); delete it or choose another folder")
    for name, size in sizes.items():
        if not (folder / name).is_file() or (folder / name).stat().st_size != size:
            raise InputError(f"{folder} holds phantoms but {name} is missing or changed; delete the folder and repeat")
    return True


def _write_at_once(folder: Path, arguments: dict[str, int]) -> None:
    """Write beside ``folder``, then rename: a run that is cut off leaves no half a set behind."""
    folder = folder.resolve() if folder.is_symlink() else folder  # a link itself is no folder to be replaced
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as parent:
            written = Path(parent) / "set"  # made by us, since the temporary folder is closed to other users
            _write_set(written, arguments)
            if folder.exists():
                folder.rmdir()  # empty; Windows renames onto nothing only
            written.rename(folder)
    except OSError as error:
        if not _already_holds(folder, arguments):  # two runs may have started together; the first one won
            raise InputError(f"{folder} cannot be written ({error}); choose a folder you may write to") from error


def _write_set(folder: Path, arguments: dict[str, int]) -> None:
    """Write both splits, the sample submission, and last the marker."""
    for split in ("train", "test"):
        for part in ("Image", "Mask"):
            (folder / split.title() / part).mkdir(parents=True)
        for index in range(arguments[split]):
            _write_sample(folder / split.title(), split, index, arguments["seed"])
    rows = "".join(f"{image.stem},\n" for image in sorted((folder / "Test" / "Image").iterdir()))
    (folder / "sample_submission.csv").write_text("id,rle\n" + rows, encoding="utf-8", newline="\n")
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in sorted(folder.rglob("*.*"))}
    (folder / MARKER).write_text(json.dumps({**arguments, "bytes": sizes}, indent=1), encoding="utf-8", newline="\n")


def _write_sample(folder: Path, split: str, index: int, seed: int) -> None:
    """Write one image and its mask; a stream of its own makes it independent of how many others there are."""
    rng = np.random.default_rng([seed, split == "test", index])
    image, mask = draw_phantom(rng, *SIZES[index % len(SIZES)], gray=index % GRAY_EVERY == 5)
    name, suffix = f"{split}_{index:04d}", "png" if index % PNG_EVERY == 2 else "jpg"
    Image.fromarray(image).save(folder / "Image" / f"{name}.{suffix}", quality=95)
    Image.fromarray(mask).save(folder / "Mask" / f"{name}.png")
