import gzip
import struct
import time
from concurrent.futures import ThreadPoolExecutor

import nibabel
import numpy as np
import pytest
from image_files import noise, u8

from seglib.errors import InputError
from seglib.images.masks import read_mask
from seglib.images.reading import Scale, image_size, read_deep, read_image
from seglib.images.scales import probe_images

pytestmark = pytest.mark.filterwarnings("error")
COLOURS = np.dtype([(name, "u1") for name in "RGB"])


def make_nifti(path, values, *, kind=nibabel.Nifti1Image, slope=None, intercept=None):
    """A file whose first axis goes from left to right, as nibabel writes it."""
    image = kind(values, np.eye(4))
    image.header.set_slope_inter(slope, intercept)
    nibabel.save(image, path)
    return path


def make_numpy(path, values, **options):
    np.save(path, values, **options)
    return path


def test_a_nifti_file_made_by_hand_is_read_row_by_row(tmp_path):
    head = bytearray(352)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, 2, 3, 2, 1, 1, 1, 1, 1)  # two axes, the first of 3
    struct.pack_into("<2h", head, 70, 4, 16)  # int16
    struct.pack_into("<f", head, 108, 352)
    head[344:348] = b"n+1\0"
    pixels = struct.pack("<6h", 0, 10, 20, 30, 40, 1000)  # the first axis is the one that changes fastest
    (tmp_path / "a.nii").write_bytes(head + pixels)
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(head + pixels))
    for name in ("a.nii", "b.nii.gz"):
        assert read_deep(tmp_path / name)[..., 0].tolist() == [[0, 10, 20], [30, 40, 1000]]
        assert image_size(tmp_path / name) == (2, 3)
    assert probe_images([tmp_path / "a.nii"]) == (1, Scale(0, 1023))


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_what_programs_add_to_the_head_of_a_nifti_file_is_passed_over(tmp_path, kind, name):
    pixels = noise((20, 30))
    image = kind(pixels.T, np.eye(4))
    image.header.extensions.extend(nibabel.nifti1.Nifti1Extension("afni", b"x" * 5000) for _ in range(2))
    nibabel.save(image, tmp_path / name)
    assert image_size(tmp_path / name) == (20, 30)
    np.testing.assert_array_equal(read_image(tmp_path / name, channels=1)[..., 0], pixels)


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "A.NII.GZ"])
@pytest.mark.parametrize("shape", [(30, 20), (30, 20, 1), (30, 1, 20), (1, 30, 20, 1)])
def test_one_slice_is_read_whichever_axis_it_lies_across(tmp_path, kind, name, shape):
    pixels = noise((20, 30))
    path = make_nifti(tmp_path / name, pixels.T.reshape(shape), kind=kind)
    np.testing.assert_array_equal(read_image(path, channels=1)[..., 0], pixels)
    assert image_size(path) == (20, 30)


@pytest.mark.parametrize("dtype", ["<i2", ">i2", ">f4", "<f8", "<u4"])
def test_numbers_of_nifti_are_what_they_were(tmp_path, dtype):
    values = np.array([[0, 5, 300], [7, 4000, 1]], dtype)
    stored = read_deep(make_nifti(tmp_path / "a.nii.gz", values.T))
    assert stored[..., 0].tolist() == values.tolist()
    assert stored.dtype.isnative


def test_hounsfield_units_of_nifti_are_scaled_by_slope_and_intercept(tmp_path):
    path = make_nifti(tmp_path / "a.nii", np.array([[0, 1024, 2048]], np.int16).T, slope=1, intercept=-1024)
    raw = bytearray(path.read_bytes())
    struct.pack_into("<3h", raw, 352, 0, 1024, 2048)  # nibabel wrote what gives the values
    path.write_bytes(raw)
    assert read_deep(path)[..., 0].tolist() == [[-1024, 0, 1024]]


def test_colours_of_nifti_are_kept(tmp_path):
    pixels = noise((4, 6, 3))
    values = np.ascontiguousarray(pixels.swapaxes(0, 1)).view(COLOURS)[..., 0]
    path = make_nifti(tmp_path / "a.nii.gz", values)
    np.testing.assert_array_equal(read_image(path, channels=3), pixels)
    np.testing.assert_array_equal(read_image(make_nifti(path, values[:, None]), channels=3), pixels)
    assert probe_images([path]) == (3, Scale(0, 255))


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 1), (1, 20, 30), (20, 30, 3), (3, 20, 30), (20, 30, 4)])
@pytest.mark.parametrize("order", "CF")
def test_arrays_of_numpy_have_their_channels_last_or_first(tmp_path, shape, order):
    pixels = noise(shape)
    path = make_numpy(tmp_path / "a.npy", np.asarray(pixels, order=order))
    wanted = pixels.reshape(20, 30, -1) if shape[0] == 20 else np.moveaxis(pixels, 0, 2)
    wanted = np.repeat(wanted, 3, axis=2) if wanted.shape[2] == 1 else wanted[..., :3]
    np.testing.assert_array_equal(read_image(path, channels=3), wanted)
    assert image_size(path) == (20, 30)


def test_shares_of_numpy_reach_from_black_to_white(tmp_path):
    for dtype in (np.float16, np.float32, np.float64):
        path = make_numpy(tmp_path / "a.npy", np.array([[0, 0.5, 1]], dtype))
        assert probe_images([path]) == (1, Scale(0, 1))
        assert read_image(path, channels=1, scale=Scale(0, 1))[..., 0].tolist() == [[0, 128, 255]]


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int8, np.int64, np.float16, np.float32, np.float64])
def test_masks_of_arrays_are_0_and_1_of_whatever_type(tmp_path, dtype):
    mask = u8([[0, 1, 1], [0, 0, 1]])
    assert np.array_equal(read_mask(make_numpy(tmp_path / "a.npy", mask.astype(dtype))), mask)
    if dtype not in (bool, np.float16):  # NIfTI has neither
        stored = nibabel.Nifti1Image(mask.T.astype(dtype), np.eye(4), dtype=dtype)
        nibabel.save(stored, tmp_path / "a.nii.gz")
        assert np.array_equal(read_mask(tmp_path / "a.nii.gz"), mask)


def test_labels_of_arrays_are_foreground(tmp_path):
    assert read_mask(make_numpy(tmp_path / "a.npy", np.array([[0, 1, 2, 3]]))).tolist() == [[0, 1, 1, 1]]
    path = make_nifti(tmp_path / "a.nii.gz", np.array([[0, 1, 2, 4]], np.float32).T)
    assert read_mask(path).tolist() == [[0, 1, 1, 1]]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.zeros((5, 20, 30)), "an array of 5 x 20 x 30 is no image; save each image by itself"),
        (np.zeros(7), "an array of 7 is no image"),
        (np.zeros(()), "an array of no sides is no image"),
        (np.zeros((4, 5), complex), "its values are no real numbers"),
        (np.array([["a"]]), "its values are no real numbers"),
        (np.array([[None]]), "its values are no real numbers"),
        (np.zeros((4, 5), np.dtype([("mask", "f4")])), "its values are no real numbers"),
    ],
)
def test_arrays_that_are_no_image_are_refused(tmp_path, values, words):
    make_numpy(tmp_path / "a.npy", values)
    for read in (image_size, read_mask):
        with pytest.raises(InputError, match=rf"a\.npy: the image cannot be read \(({words})"):
            read(tmp_path / "a.npy")


def test_a_file_of_numpy_that_is_too_new_is_refused(tmp_path):
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array(file, np.zeros((2, 3)), version=(3, 0))
    with pytest.raises(InputError, match="its numbers have names"):
        image_size(tmp_path / "a.npy")


def test_a_volume_is_refused_before_it_is_read(tmp_path):
    path = make_nifti(tmp_path / "a.nii.gz", noise((8, 9, 10)))
    with pytest.raises(InputError, match=r"\(a volume of 8 x 9 x 10 is no image; save each slice by itself\)"):
        image_size(path)
    with pytest.raises(InputError, match="a volume of 8 x 9 x 10"):
        read_image(path, channels=1)


@pytest.mark.parametrize("name", ["a.npy", "a.nii", "a.nii.gz"])
def test_files_that_are_cut_short_are_refused(tmp_path, name):
    path = tmp_path / name
    (make_numpy if name == "a.npy" else make_nifti)(path, noise((40, 50)))
    whole = path.read_bytes()
    for size in (1, 4, 100, 349, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match=rf"{name}: the image cannot be read \([^\n]+\); replace it"):
            read_mask(path)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 5, 3)])
def test_arrays_without_pixels_are_refused(tmp_path, shape):
    path = make_numpy(tmp_path / "a.npy", np.zeros(shape))
    for read in (image_size, read_mask, read_deep):
        with pytest.raises(InputError, match=r"\(it has no pixels\)"):
            read(path)


@pytest.mark.parametrize("side", [0, -40])
def test_a_nifti_file_without_pixels_is_refused(tmp_path, side):
    raw = bytearray(make_nifti(tmp_path / "a.nii", noise((40, 50))).read_bytes())
    struct.pack_into("<h", raw, 42, side)
    (tmp_path / "a.nii").write_bytes(raw)
    for read in (image_size, read_mask):
        with pytest.raises(InputError, match=r"\(it has no pixels\)"):
            read(tmp_path / "a.nii")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("place", [0, 348, -400, 1e9, 1e15, 3e38, float("nan")])
def test_pixels_of_nifti_that_begin_nowhere_are_refused_before_anything_is_read(tmp_path, name, place):
    raw = bytearray(make_nifti(tmp_path / "whole.nii", noise((40, 50))).read_bytes())
    struct.pack_into("<f", raw, 108, place)
    (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith("gz") else raw)
    for read in (image_size, read_mask):
        with pytest.raises(InputError, match=r"\(its head does not say where the pixels begin\)"):
            read(tmp_path / name)


def test_what_is_packed_and_no_nifti_is_refused(tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(bytes(1000)))
    with pytest.raises(InputError, match="it is a packed file without a NIfTI image"):
        image_size(tmp_path / "a.nii.gz")


def test_an_array_larger_than_the_limit_is_refused_by_its_header(tmp_path):
    np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.uint8, (20_001, 20_001)).flush()  # a file of holes
    with pytest.raises(InputError, match=r"it has 400 megapixels"):
        read_image(tmp_path / "a.npy", channels=1)


def test_headers_of_numpy_are_parsed_by_one_thread_at_a_time(tmp_path, monkeypatch):
    # ast.parse of CPython 3.11 may raise "SystemError: AST constructor recursion depth mismatch" where two do so
    parse, busy, seen = np.lib.format.read_array_header_1_0, [], []

    def parse_slowly(file):
        busy.append(file)
        time.sleep(0.01)
        seen.append(len(busy))
        busy.remove(file)
        return parse(file)

    monkeypatch.setattr(np.lib.format, "read_array_header_1_0", parse_slowly)
    paths = [make_numpy(tmp_path / f"{number}.npy", noise((3, 4), seed=number)) for number in range(8)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(read_mask, paths))
        list(pool.map(image_size, paths))
    assert set(seen) == {1}
    assert len(seen) == 24  # read_mask looks at the header before it decodes


def test_several_threads_read_at_once(tmp_path):
    pixels = [noise((30, 40), seed=seed) for seed in range(8)]
    paths = [make_nifti(tmp_path / f"{number}.nii.gz", plane.T) for number, plane in enumerate(pixels)]
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(lambda path: read_image(path, channels=1)[..., 0], paths))
    assert all(map(np.array_equal, read, pixels))
