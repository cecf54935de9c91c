import numpy as np
import pandas as pd
import pytest
from image_files import noise, u8, u16
from PIL import Image

from seglib.checks.facts import find_scale
from seglib.errors import InputError
from seglib.images.masks import read_mask, read_mask_levels
from seglib.images.reading import Scale, are_gray, read_image
from seglib.images.scales import STEPS, Values, choose_scale, measure_values, probe_images

pytestmark = pytest.mark.filterwarnings("error")  # no warning of Pillow's reaches the user


def test_gray_8_bit_images_are_one_channel_with_white_255(save):
    paths = [save("a.png", u8([[1, 2]])), save("b.jpg", np.full((8, 8), 9, np.uint8)), save("c.bmp", u8([[3]]))]
    assert probe_images(paths) == (1, Scale(0, 255.0))


@pytest.mark.parametrize(("colour", "in_channels"), [((100, 102, 101), 1), ((100, 103, 101), 3), ((103, 101, 100), 3)])
def test_colours_within_two_levels_are_gray(save, colour, in_channels):
    gray = np.full((4, 4, 3), 50, np.uint8)
    almost = gray.copy()
    almost[3, 2] = colour
    assert probe_images([save("a.png", gray), save("b.png", almost)])[0] == in_channels


def test_alpha_does_not_make_an_image_coloured(save):
    assert probe_images([save("a.png", u8([[[9, 9, 9, 200]]])), save("b.png", u8([[[9, 200]]]), "LA")])[0] == 1


@pytest.mark.parametrize(
    ("peak", "white"),
    [(0, 255), (255, 255), (256, 1023), (1023, 1023), (1024, 4095), (4096, 16383), (16384, 65535), (65535, 65535)],
)
def test_white_is_the_smallest_step_that_holds_the_largest_value(save_cv2, peak, white):
    assert probe_images([save_cv2("a.png", u16([[0, peak]])), save_cv2("b.tif", u16([[0, 0]]))]) == (1, Scale(0, white))


@pytest.mark.parametrize(("hot", "white"), [(0, 4095), (2, 4095), (3, 65535), (9, 65535)])
def test_a_hot_pixel_does_not_darken_a_data_set_but_more_than_a_thousandth_count(save_cv2, hot, white):
    pixels = np.full((50, 50), 3000, np.uint16)
    pixels.flat[:hot] = 60000
    path = save_cv2("a.png", pixels)
    assert probe_images([path]) == (1, Scale(0, white))
    brightest = min(int(pixels.max()), white)
    assert read_image(path, channels=1, scale=Scale(0, white)).max() == round(brightest * 255 / white)


def test_white_of_32_bit_images_is_found(save_tiff):
    assert probe_images([save_tiff("a.tif", np.array([[0, 70000]], np.int32))]) == (1, Scale(0, 2**32 - 1))


@pytest.mark.parametrize(
    ("peak", "white"), [(0.3, 1), (1.0, 1), (1.0000002, 1), (128, 255), (255.00002, 255), (300, 1023), (1e12, 1e12)]
)
def test_white_of_floats_is_one_or_a_step(save_tiff, peak, white):
    path = save_tiff("a.tif", np.array([[0, peak]], np.float64))
    assert probe_images([path]) == (1, Scale(0, white))


def test_floats_in_a_unit_of_their_own_keep_their_grays(save_tiff):
    """Uptake in PET, say, or times in seconds: of 255 they would be a dozen levels next to black."""
    values = np.linspace(0, 17.5, 100).reshape(10, 10)
    path = save_tiff("a.tif", values)
    in_channels, scale = probe_images([path, save_tiff("b.tif", values / 2)])
    assert (in_channels, scale) == (1, Scale(0, 17.5))
    assert len(np.unique(read_image(path, channels=1, scale=scale))) == 100
    assert probe_images([path, save_tiff("c.tif", u16([[90]]))])[1] == Scale(0, 255)  # whole numbers have bits


def test_float_colours_are_told_from_gray(save_tiff):
    gray = save_tiff("a.tif", np.full((2, 2, 3), 0.5, np.float32))
    assert probe_images([gray]) == (1, Scale(0, 1.0))
    assert probe_images([gray, save_tiff("b.tif", np.array([[[0.5, 0.4, 0.5]]], np.float32))]) == (3, Scale(0, 1.0))


def test_the_maximum_is_taken_over_all_deep_images_even_after_a_colour_image(tmp_path, save, save_cv2):
    colour = save("a.png", u8([[[255, 0, 0]]]))
    assert probe_images([colour, save_cv2("b.png", u16([[700]]))]) == (3, Scale(0, 1023.0))
    assert probe_images([colour, tmp_path / "b.png", save_cv2("c.tif", u16([[[1, 2, 5000]]]))]) == (
        3,
        Scale(0, 16383.0),
    )


def test_a_data_set_that_mixes_8_and_16_bits_keeps_both_readable(save, save_cv2):
    paths = [save("a.png", u8([[0, 255]])), save_cv2("b.png", u16([[0, 4095]]))]
    in_channels, scale = probe_images(paths)
    assert (in_channels, scale) == (1, Scale(0, 4095))
    assert [read_image(path, channels=1, scale=scale).ravel().tolist() for path in paths] == [[0, 255]] * 2


def test_after_a_colour_image_8_bit_files_are_not_decoded(save):
    colour, broken = save("a.png", u8([[[255, 0, 0]]])), save("b.png", noise((40, 60, 3)))
    broken.write_bytes(broken.read_bytes()[:-2000])
    assert probe_images([colour, broken]) == (3, Scale(0, 255.0))
    with pytest.raises(InputError, match=r"b\.png"):
        probe_images([broken, colour])


def test_probing_nothing_is_refused():
    with pytest.raises(InputError, match="no image"):
        probe_images([])


def test_the_values_of_a_deep_file_are_those_of_its_colours(save, save_cv2, save_tiff):
    assert measure_values(save("a.png", u8([[255]]))) is None
    assert measure_values(save_cv2("b.png", u16([[[1, 2, 5000, 60000]]]))) == (True, 1, 5000, None)
    assert measure_values(save_tiff("c.tif", np.array([[-3, 0.25]], np.float32))) == (False, -3, 0.25, None)


def test_floats_up_to_one_among_whole_numbers_are_refused_as_no_white_fits_both(save_tiff):
    for peak in (0.5, 1):
        paths = [save_tiff("a.tif", np.array([[peak]], np.float32)), save_tiff("b.tif", u16([[9]]))]
        with pytest.raises(InputError, match="floats up to 1 are mixed with whole numbers"):
            probe_images(paths)
    paths = [save_tiff("a.tif", np.array([[1.5]], np.float32)), save_tiff("b.tif", u16([[300]]))]
    assert probe_images(paths)[1] == Scale(0, 1023)


# --- sets with negative values, such as slices of CT in Hounsfield units ---------------------------------------------


def scan(seed=0, padding=-2000, metal=3000):
    """Air, a body of 0 to 60 with an organ of 100 to 160 (the mask), padding at the left and a little metal."""
    rng = np.random.default_rng(seed)
    image = np.full((100, 100), -1000, np.int32)
    image[20:90, 20:90] = rng.integers(0, 61, (70, 70))
    mask = np.zeros((100, 100), np.uint8)
    mask[40:70, 40:70] = 1
    image[mask > 0] = rng.integers(100, 161, 900)
    image[:, :10], image[85:89, 85:89] = padding, metal
    return image, mask


def test_black_and_white_lie_around_the_foreground_where_values_are_negative(save):
    image, mask = scan()
    paths = [save("a.tif", image)], [save("a.png", mask)]
    channels, scale = probe_images(*paths)
    assert channels == 1
    # the foreground reaches from 100 to 160, half of its range is 30
    assert scale == (pytest.approx(70, abs=1), pytest.approx(190, abs=1))
    pixels = read_image(paths[0][0], channels=1, scale=scale)[..., 0].astype(int)
    assert pixels[mask > 0].min() > pixels[(mask == 0) & (image < 1000)].max() + 60
    assert (pixels[image < 0] == 0).all()
    assert (pixels[image == 3000] == 255).all()
    table = pd.DataFrame({"image_path": map(str, paths[0]), "mask_path": map(str, paths[1])})
    assert find_scale(table) == scale


def test_each_file_counts_alike_and_its_outliers_do_not(save):
    images, masks = [], []
    for number in range(8):
        image, mask = scan(number)
        image[45, 45], image[46, 46] = 3000, -1000  # metal and air within the organ
        images.append(save(f"{number}.tif", image))
        masks.append(save(f"{number}.png", mask))
    scale = probe_images(images, masks)[1]
    assert scale == (pytest.approx(70, abs=2), pytest.approx(190, abs=2))


def test_the_scale_does_not_go_beyond_the_values_there_are(save):
    values = np.full((10, 10), -1.0, np.float32)
    values[5:] = np.linspace(0, 2, 50).reshape(5, 10)
    scale = probe_images([save("a.tif", values)], [save("a.png", (values >= 0).astype(np.uint8))])[1]
    assert scale == (pytest.approx(-0.98, abs=0.02), 2)


@pytest.mark.parametrize("mask", [None, np.zeros((100, 100), np.uint8), np.ones((9, 9), np.uint8), "no image"])
def test_without_a_foreground_all_values_count(save, tmp_path, mask):
    image, _ = scan()
    path = save("a.tif", image)
    masks = ()
    if isinstance(mask, str):
        (tmp_path / "a.png").write_text(mask)
        masks = [tmp_path / "a.png"]
    elif mask is not None:
        masks = [save("a.png", mask)]
    assert probe_images([path], masks) == (1, Scale(-2000, 3000))


def test_a_foreground_of_one_value_is_no_range(save):
    image, mask = scan()
    image[mask > 0] = 130
    assert probe_images([save("a.tif", image)], [save("a.png", mask)])[1] == Scale(-2000, 3000)


def test_one_value_in_all_files_still_has_a_scale(save):
    assert probe_images([save("a.tif", np.full((9, 9), -5, np.int32))])[1] == Scale(-5, -4)


def test_a_few_cold_pixels_do_not_make_a_set_negative(save):
    values = np.full((50, 50), 3000, np.int32)
    values.flat[:2] = -7
    assert probe_images([save("a.tif", values)])[1] == Scale(0, 4095)
    values.flat[:4] = -7
    assert probe_images([save("a.tif", values)])[1] == Scale(-7, 3000)


def test_what_is_no_number_does_not_count_and_is_black(save):
    values = np.linspace(-1, 3, 100).reshape(10, 10).astype(np.float32)
    values[0, :3] = np.nan, np.inf, -np.inf
    path = save("a.tif", values)
    assert measure_values(path) == (False, pytest.approx(values[0, 3]), 3, None)
    mask = save("a.png", np.ones((10, 10), np.uint8))
    assert measure_values(path, mask).foreground[[0, -1]] == pytest.approx([values[0, 3], 3])
    assert read_image(path, channels=1, scale=Scale(-1, 3))[0, :4, 0].tolist() == [0, 0, 0, 8]
    nothing = save("b.tif", np.full((3, 3), np.nan, np.float32))
    assert measure_values(nothing) == (False, 0, 0, None)


def test_the_foreground_is_looked_at_only_where_values_are_negative(save):
    image, mask = scan()
    path = save("a.png", mask)
    assert len(measure_values(save("a.tif", image), path).foreground) == STEPS
    assert measure_values(save("b.tif", image + 2000), path).foreground is None
    assert measure_values(save("c.png", mask), path) is None


def test_a_mask_has_nothing_below_nought_and_nothing_that_is_no_number(save):
    whole = save("a.tif", np.array([[-7, 0, 1]], np.int32))
    assert read_mask(whole).tolist() == [[0, 0, 1]]
    assert read_mask_levels(whole)[0].tolist() == [[0, 0, 1]]
    floats = save("b.tif", np.array([[-7, 0, 100, 200, np.nan, np.inf]], np.float32))
    assert read_mask(floats).tolist() == [[0, 0, 0, 1, 0, 0]]
    assert read_mask_levels(floats)[0].tolist() == [[0, 0, 100, 200, 0, 0]]


def test_a_palette_may_have_colours(tmp_path):
    image = Image.fromarray(np.array([[[200, 0, 0], [0, 0, 0]]], np.uint8)).quantize(2)
    assert image.mode == "P"
    image.save(tmp_path / "a.png")
    assert probe_images([tmp_path / "a.png"]) == (3, Scale(0, 255))


def test_one_file_with_negative_values_sets_the_scale_of_all():
    foreground = np.linspace(10, 20, STEPS)
    found = [Values(True, -100, 400, foreground), Values(True, 0, 900)]
    assert choose_scale(found, None) == (pytest.approx(5, abs=0.1), pytest.approx(25, abs=0.1))


def test_what_is_no_number_has_no_colour():
    colours = np.full((2, 2, 3), 0.5, np.float32)
    colours[0, 0] = np.nan
    assert are_gray(colours)
    colours[1, 1, 0] = 0.6
    assert not are_gray(colours)


@pytest.mark.parametrize("scale", [Scale(5, 5), Scale(9, 3), Scale(-1, -2)])
def test_white_is_above_black(save, scale):
    path = save("a.tif", np.array([[0, 1]], np.int32))
    with pytest.raises(ValueError, match="white above black"):
        read_image(path, channels=1, scale=scale)
    assert read_image(path, channels=1, scale=Scale(-2, -1))[0, :, 0].tolist() == [255, 255]


def test_negative_values_have_no_colour_of_their_own():
    assert are_gray(np.array([[[-5.0], [-1.0]]], np.float32))
    assert are_gray(np.array([[[-7, -6, -5]]], np.int16))
    assert not are_gray(np.array([[[-30000, 0, 30000]]], np.int16))  # their range is more than 16 bits with a sign hold
    assert not are_gray(np.array([[[-3.0, -1.0, -2.0]]], np.float32))
