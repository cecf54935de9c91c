"""DICOM files, written here by pydicom or shipped with it by other authors."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, SecondaryCaptureImageStorage, generate_uid

from seglib.data.samples import list_samples
from seglib.data.unseen import list_images
from seglib.errors import InputError
from seglib.images.dicom import decode_dicom, read_dicom_header
from seglib.images.masks import read_mask
from seglib.images.reading import Scale, count_file_pages, image_size, read_image, read_resized
from seglib.images.scales import measure_values, probe_images

OTHERS = Path(pydicom.__file__).parent / "data" / "test_files"


@pytest.fixture
def write(tmp_path):
    def write(pixels, name="a.dcm", bits=None, syntax=ExplicitVRLittleEndian, encoded=None, **elements):
        pixels = np.asarray(pixels)
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = syntax
        meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset = FileDataset(None, {}, file_meta=meta, preamble=bytes(128))
        dataset.Rows, dataset.Columns = pixels.shape[:2]
        dataset.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
        dataset.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
        if pixels.ndim == 3:
            dataset.PlanarConfiguration = 0
        dataset.BitsAllocated = 8 * pixels.dtype.itemsize
        dataset.BitsStored = bits or dataset.BitsAllocated
        dataset.HighBit = dataset.BitsStored - 1
        dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
        for element, value in elements.items():
            setattr(dataset, element, value)
        dataset.PixelData = encoded or pixels.tobytes()
        dataset["PixelData"].VR = "OB" if encoded or pixels.dtype.itemsize == 1 else "OW"
        dataset.save_as(tmp_path / name, enforce_file_format=True)
        return tmp_path / name

    return write


def decode(path):
    with open(path, "rb") as file:
        size, sample = read_dicom_header(file)
        pixels = decode_dicom(file)
    assert pixels.shape[:2] == size
    assert pixels.dtype == np.dtype(sample)
    return pixels


def u16(rows):
    return np.array(rows, np.uint16)


def test_eight_bits_are_read_as_they_are_stored(write):
    pixels = np.array([[0, 7], [200, 255], [3, 4]], np.uint8)
    path = write(pixels)
    np.testing.assert_array_equal(read_image(path, channels=1)[..., 0], pixels)
    assert image_size(path) == (3, 2)
    assert probe_images([path]) == (1, Scale(0, 255))
    assert measure_values(path) is None


def test_deeper_values_are_told_apart_by_the_white_of_the_data_set(write):
    path = write(u16([[0, 4095], [2048, 100]]), bits=12)
    assert measure_values(path) == (True, 0, 4095, None)
    assert probe_images([path]) == (1, Scale(0, 4095))
    assert read_image(path, channels=1, scale=Scale(0, 4095))[..., 0].tolist() == [[0, 255], [128, 6]]


def test_a_window_takes_what_it_spans_from_black_to_white(write):
    values = u16([[0, 1, 25, 50], [75, 98, 99, 4000]])
    path = write(values, bits=12, WindowCenter=50, WindowWidth=100)
    # PS3.3 C.11.2.1.2.1: ((x - 49.5) / 99 + 0.5) * 255 between 0 and 99
    assert decode(path).tolist() == [[0, 3, 64, 129], [193, 252, 255, 255]]
    assert measure_values(path) is None


def test_of_several_windows_the_first_counts_and_it_is_in_rescaled_values(write):
    values = np.array([[24, 1024], [1064, 1264], [1400, -5]], np.int16)
    path = write(values, RescaleSlope=1, RescaleIntercept=-1024, WindowCenter=[40, 600], WindowWidth=[401, 10])
    # Hounsfield units -1000, 0, 40, 240, 376, -1029 in the window from -160.5 + 0.5 to 240
    assert decode(path).tolist() == [[0, 102], [128, 255], [255, 0]]


@pytest.mark.parametrize("function", ["LINEAR_EXACT", "SIGMOID"])
def test_other_windows_are_those_of_the_standard(write, function):
    path = write(u16([[0, 40, 50, 60, 4095]]), bits=12, WindowCenter=50, WindowWidth=100, VOILUTFunction=function)
    exact = np.array([[0, 0.4, 0.5, 0.6, 1]])
    sigmoid = 1 / (1 + np.exp(-4 * (np.array([[0, 40, 50, 60, 4095]]) - 50) / 100))
    np.testing.assert_allclose(decode(path), 255 * (exact if function == "LINEAR_EXACT" else sigmoid), atol=0.5)


@pytest.mark.parametrize("window", [{}, {"WindowCenter": 50, "WindowWidth": 100}])
def test_a_look_up_table_counts_before_a_window(write, window):
    table = Dataset()
    table.LUTDescriptor = [4, 10, 16]
    table.LUTData = u16([0, 1000, 30000, 65535]).tobytes()
    path = write(u16([[0, 10, 11], [12, 13, 99]]), VOILUTSequence=[table], **window)
    assert decode(path).tolist() == [[0, 0, 4], [117, 255, 255]]


def test_a_look_up_table_may_have_its_brightest_value_before_its_end(write):
    table = Dataset()
    table.LUTDescriptor = [4, 10, 16]
    table.LUTData = u16([1000, 0, 60000, 31000]).tobytes()
    assert decode(write(u16([[10, 11, 12, 13]]), VOILUTSequence=[table])).tolist() == [[4, 0, 255, 132]]


@pytest.mark.parametrize(
    ("grays", "shown"),
    [
        ([65535, 40000, 20000, 0], [255, 156, 78, 0]),  # falls, and is no negative of a rising one
        ([30000, 32000, 34000, 36000], [0, 85, 170, 255]),
        ([7, 7, 7, 7], [0, 0, 0, 0]),
    ],
)
def test_a_look_up_table_may_fall_or_be_narrow(write, grays, shown):
    table = Dataset()
    table.LUTDescriptor = [4, 10, 16]
    table.LUTData = u16(grays).tobytes()
    assert decode(write(u16([[10, 11, 12, 13]]), VOILUTSequence=[table])).tolist() == [shown]


def test_half_a_window_is_none(write):
    assert decode(write(u16([[0, 4095]]), bits=12, WindowCenter=50)).tolist() == [[0, 4095]]
    assert decode(write(u16([[0, 4095]]), bits=12, WindowWidth=50)).tolist() == [[0, 4095]]
    assert decode(write(u16([[0, 4095]]), bits=12, WindowCenter=50, WindowWidth=0)).tolist() == [[0, 4095]]


def test_signed_bytes_below_zero_are_black(write):
    assert decode(write(np.array([[-5, 0, 127]], np.int8))).tolist() == [[0, 0, 127]]


def test_a_window_is_for_gray_alone(write):
    colours = np.array([[[255, 0, 1], [2, 200, 3]]], np.uint8)
    assert decode(write(colours, WindowCenter=50, WindowWidth=10)).tolist() == colours.tolist()


def test_where_low_values_are_bright_they_are_inverted(write):
    inverted = {"PhotometricInterpretation": "MONOCHROME1"}
    assert decode(write(np.array([[0, 255, 7]], np.uint8), **inverted)).tolist() == [[255, 0, 248]]
    assert decode(write(u16([[0, 4095, 7]]), bits=12, **inverted)).tolist() == [[4095, 0, 4088]]
    assert decode(write(np.array([[-1000, 0, 1000]], np.int16), **inverted)).tolist() == [[2023, 1023, 23]]
    window = {"WindowCenter": 50, "WindowWidth": 100}
    assert decode(write(u16([[0, 25, 4095]]), bits=12, **inverted, **window)).tolist() == [[255, 191, 0]]


def test_values_that_may_be_negative_begin_at_air(write):
    values = np.array([[-2000, -1000, 0, 3000]], np.int16)
    assert decode(write(values)).tolist() == [[0, 24, 1024, 4024]]
    stored = u16([[0, 24, 1024, 4024]])
    assert decode(write(stored, RescaleSlope=1, RescaleIntercept=-1024)).tolist() == [[0, 24, 1024, 4024]]
    assert decode(write(stored, RescaleSlope=2, RescaleIntercept=0)).tolist() == [[0, 48, 2048, 8048]]


@pytest.mark.parametrize("blank", [("RescaleSlope",), ("RescaleIntercept",), ("RescaleSlope", "RescaleIntercept")])
def test_a_rescaling_that_was_blanked_is_none(write, blank):
    elements = {"RescaleSlope": 2, "RescaleIntercept": -1024} | dict.fromkeys(blank, "")
    assert decode(write(u16([[0, 24, 4000]]), **elements)).tolist() == [[0, 24, 4000]]
    assert decode(write(u16([[0, 24, 48]]), WindowCenter=24, WindowWidth=48, **elements))[0, 0] == 0


def test_colours_palettes_and_jpeg_are_read(write):
    colours = np.array([[[255, 0, 1], [2, 200, 3]]], np.uint8)
    np.testing.assert_array_equal(read_image(write(colours), channels=3), colours)
    encoded = io.BytesIO()
    Image.fromarray(np.full((16, 16), 100, np.uint8)).save(encoded, "JPEG")
    flat = np.zeros((16, 16), np.uint8)
    path = write(flat, syntax=JPEGBaseline8Bit, encoded=encapsulate([encoded.getvalue()]))
    assert np.unique(read_image(path, channels=1)).tolist() == [100]
    palette = read_image(OTHERS / "examples_palette.dcm", channels=3)
    assert palette.shape == (350, 800, 3)
    assert len(np.unique(palette)) > 50


def test_of_several_frames_the_first_is_read():
    two = read_image(OTHERS / "SC_rgb_rle_2frame.dcm", channels=3)
    np.testing.assert_array_equal(two, read_image(OTHERS / "SC_rgb_rle.dcm", channels=3))
    assert [count_file_pages(OTHERS / name) for name in ("SC_rgb_rle_2frame.dcm", "SC_rgb_rle.dcm")] == [2, 1]


def test_one_picture_in_several_encodings_is_one_picture():
    plain = decode(OTHERS / "MR_small.dcm")
    for name in ("RLE", "bigendian", "expb", "implicit", "jp2klossless", "padded", "jpeg_ls_lossless"):
        np.testing.assert_array_equal(decode(OTHERS / f"MR_small_{name}.dcm"), plain, err_msg=name)
    colours = decode(OTHERS / "SC_rgb_rle.dcm")
    for name in ("jpeg_gdcm", "gdcm_KY"):
        np.testing.assert_array_equal(decode(OTHERS / f"SC_rgb_{name}.dcm"), colours, err_msg=name)


def test_a_scan_of_another_author_has_its_hounsfield_units():
    dataset = pydicom.dcmread(OTHERS / "CT_small.dcm")
    units = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    np.testing.assert_array_equal(decode(OTHERS / "CT_small.dcm"), units + 1024)
    assert image_size(OTHERS / "CT_small.dcm") == (128, 128)  # its free bytes look like a TIFF


def test_masks_are_read_as_other_masks_are(write):
    np.testing.assert_array_equal(read_mask(write(u16([[0, 1], [1, 0]]))), [[0, 1], [1, 0]])
    np.testing.assert_array_equal(read_mask(write(np.array([[0, 255, 3]], np.uint8))), [[0, 1, 0]])
    assert set(np.unique(read_mask(OTHERS / "liver_1frame.dcm"))) == {0, 1}  # one bit for each pixel


def test_the_network_sees_what_is_read(write):
    values = np.arange(64 * 48, dtype=np.uint16).reshape(64, 48)
    path = write(values, bits=12)
    assert read_resized(path, 16, channels=3, scale=Scale(0, 4095)).shape == (16, 16, 3)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("MR_truncated.dcm", "it is damaged or cut short"),
        ("JPEG-lossy.dcm", r"damaged, or its JPEG Extended.* needs the decoders of `pip install -e \"\.\[dicom\]\"`"),
        ("rtplan.dcm", "it holds no picture"),
        ("rtdose.dcm", "its values have 32 bits"),
    ],
)
def test_what_holds_no_picture_is_refused_in_one_sentence(capfd, name, reason):
    with pytest.raises(InputError, match=reason) as error:
        read_image(OTHERS / name, channels=1, scale=Scale(0, 255))
    assert str(error.value).startswith(str(OTHERS / name))
    assert "\n" not in str(error.value)
    assert capfd.readouterr().err == ""


def test_files_that_stretch_the_rules_are_read_without_a_word():
    code = (
        f"from seglib.images.reading import read_image; read_image({str(OTHERS / 'MR_small_padded.dcm')!r}, channels=1)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_files_without_an_ending_are_found_by_what_they_hold(write, tmp_path):
    folder = tmp_path / "set" / "Train"
    for part in ("Image", "Mask"):
        (folder / part).mkdir(parents=True)
        for name in ("IM0001", "1.2.840.5", "1.2.840.6"):
            write(np.array([[0, 1], [1, 1]], np.uint8)).rename(folder / part / name)
        write(np.zeros((2, 2), np.uint8)).rename(folder / part / "DICOMDIR")
        write(np.zeros((2, 2), np.uint8)).rename(folder / part / "backup.old")
        (folder / part / "README").write_text("no image " * 20)
        (folder / part / "dump.7").mkdir()
    samples = list_samples(tmp_path / "set")
    assert samples["sample_id"].tolist() == ["1.2.840.5", "1.2.840.6", "IM0001"]
    assert read_mask(samples["mask_path"][0]).tolist() == [[0, 1], [1, 1]]
    assert list_images(folder / "Image")["sample_id"].tolist() == ["1.2.840.5", "1.2.840.6", "IM0001"]


def test_pydicom_is_imported_by_the_first_dicom_file_and_no_sooner():
    code = "import sys, seglib.images.reading; sys.exit('pydicom' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
