"""What is said of a data folder without masks."""

import pytest
from empty_files import touch

from seglib.data.samples import pair_samples
from seglib.errors import InputError

UNREAD = {  # what is said; then files
    "no Train/Image, but A_1 (2 images) and B_1 (1 image); call the folder of the images Image and that of "
    "their masks Mask, or Train/Image": ["A_1/a.png", "A_1/b.png", "B_1/a.png"],
    "but A (1 image), B (1 image), C (1 image), D (1 image), 1 more and 2 images outside of them;": [
        *("A/1.png", "B/1.png", "C/1.png", "D/1.png", "E/1.png", "x.png", "y.png"),
    ],
    "but PH/P1 in it holds P1_lesion (1 image) and P1_photo (1 image);": [
        f"PH/P{case}/P{case}_{kind}/a.png" for case in range(1, 7) for kind in ("photo", "lesion")
    ],
    "but PNG in it holds Outlines (1 image) and Pictures (1 image);": [
        f"{kind}/{folder}/1.png" for kind in ("PNG", "TIF") for folder in ("Pictures", "Outlines")
    ],
    "train holds no folder Mask, but beside it there is drawn (1 image); put the images into train/Image and "
    "their masks into train/Mask": ["train/a.png", "drawn/a.png", "test/b.png"],
    "but A/labels, B/gt-x and B/gt-y may hold masks by": [
        *("A/img/1.png", "A/labels/1.png", "B/img/1.tif", "B/gt-x/1.tif", "B/gt-y/1.tif"),
    ],
    "PNG and TIF in it hold images and masks each; name the one that is meant, such as": [
        *("PNG/img/1.png", "PNG/labels/1.png", "TIF/img/1.tif", "TIF/labels/1.tif", "notes/a.txt"),
    ],
    "train/P1/a_gt.tif lies beside a.png; if it is the mask of that, call it a_mask.tif, and the others so": [
        *("train/P1/a.png", "train/P1/a_gt.tif", "train/P2/b.png"),
    ],
    "set/1L.jpg has 1L_1stHO.png and 1L_2ndHO.png beside it, as all others have; if these are masks by several "
    "readers, or of several things, call those that are meant 1L_mask.png and so on, and move the others out": [
        *(f"set/{name}{end}" for name in ("1L", "2R") for end in (".jpg", "_1stHO.png", "_2ndHO.png")),
    ],
    "1L_1stHO.png lies beside 1L.jpg; if it is the mask of that, call it 1L_mask.png, and the others so": [
        *("1L.jpg", "1L_1stHO.png", "2R.jpg", "2R_1stHO.png"),
    ],
    "but labels-ah and labels-vk may hold masks by several readers, or of several things; call those folders Mask "
    "whose masks are meant, and those of the images Image": ["img/1.png", "labels-ah/1.png", "labels-vk/1.png"],
    "train holds no folder Mask, but A/heart masks and A/lung masks may hold masks by": [
        *(f"train/{case}/{kind}/1.png" for case in "AB" for kind in ("images", "heart masks", "lung masks")),
    ],
    "but Cells and Lungs in it have a folder Train; name": ["Cells/Train/a/img/1.png", "Lungs/train/a/img/1.png"],
    "but the masks seem to be XML files, such as": ["Tissue Images/a.tif", "Annotations/a.xml"],
    "b.json, which are not read; make images of them, a_mask.png beside a.png": [
        *("a/b.jpg", "a/b.json", "a/c.jpg", "a/c.JSON", "a/c.csv", "notes.xml"),
    ],
    "1.xml, which are not read": ["1_1.jpg", "1_2.jpg", "1.xml"],
    "a.1.json, which are not read": ["a.1.jpg", "a.1.json", "a.2.jpg", "a.2.json"],
    "seem to be MATLAB files": ["Images/1.png", "Labels/1.mat", "Images/2.png", "Labels/2.mat"],
    "a.mha, which are not read; make images of them, and of those to train on": [
        *("imagesTr/a.mha", "labelsTr/a.mha", "imagesTr/b.mha"),
    ],
    "photos/a.npy; call their folder Mask and that of the images Image": [
        "photos/a.png",
        "photos/a.npy",
        "photos/b.png",
        "photos/b.npy",
    ],
    "Mask holds no images: the masks seem to be XML files, such as": ["Train/Image/a.png", "Train/Mask/a.xml"],
    "no mask lies beside its image, called a_mask.png if that is a.png; add them (seglib decode makes": [
        *("images/a.png", "train.csv", "boxes.json", "Thumbs.db", "images/a.txt"),
    ],
    "holds no Train/Image, and no mask lies beside its image, called a_mask.png": ["Tissue/a.png", "Tissue/b.png"],
}


@pytest.mark.parametrize("said", UNREAD)
def test_a_set_without_masks_is_told_by_what_it_holds(tmp_path, said):
    with pytest.raises(InputError) as error:
        pair_samples(touch(tmp_path, *UNREAD[said]))
    assert said in str(error.value)
