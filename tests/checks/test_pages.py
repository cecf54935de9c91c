"""Files of several pages, of which only the first is read."""

import pandas as pd
from PIL import Image

from seglib.checks.listing import KINDS
from seglib.checks.pages import judge_pages
from seglib.checks.problems import inspect_data
from seglib.data.synthetic import write_phantoms


def save(path, pages=1):
    first, *others = [Image.new("L", (9, 6), value) for value in range(pages)]
    first.save(path, save_all=True, append_images=others)
    return str(path)


def test_the_first_image_and_the_first_mask_are_told(tmp_path):
    rows = [
        (save(tmp_path / f"{number}.tif", pages), "\n".join([save(tmp_path / f"{number}_mask.gif"), mask]))
        for number, pages, mask in (
            (1, 1, save(tmp_path / "1_mask_1.tif", 4)),
            (2, 3, save(tmp_path / "2_mask_1.tif")),
            (3, 2, save(tmp_path / "3_mask_1.tif")),
        )
    ]
    samples = pd.DataFrame(rows, columns=["image_path", "mask_path"])
    images, masks = judge_pages(samples)
    assert (images.file, masks.file) == (tmp_path / "2.tif", tmp_path / "1_mask_1.tif")
    assert images.problem == masks.problem == "several pages"
    assert images.fact == "has 3 pages, of which the first is read; so have 1 other images several"
    assert masks.fact == "has 4 pages, of which the first is read"
    assert "a_mask_1.png" in masks.cure
    assert judge_pages(samples[:1].assign(mask_path=rows[1][1])) == []
    test = pd.DataFrame({"image_path": [save(tmp_path / "t.tif", 2), str(tmp_path / "gone.tif")]})
    assert [problem.file.name for problem in judge_pages(samples[:1].assign(mask_path=rows[1][1]), test)] == ["t.tif"]


def test_a_set_with_a_stack_is_told_once(tmp_path):
    data = write_phantoms(tmp_path / "set", train=6, test=2)
    image = next((data / "Test" / "Image").iterdir())
    picture = Image.open(image).convert("RGB")
    picture.save(image.with_suffix(".tif"), save_all=True, append_images=[picture])
    image.unlink()
    problems = inspect_data(data).problems
    assert problems[problems["problem"] == "several pages"]["file"].tolist() == [f"Test/Image/{image.stem}.tif"]
    assert KINDS["several pages"].severity == "warning"
