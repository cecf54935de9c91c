"""What the page on data says of volumes."""

import re
from pathlib import Path

import nibabel
import numpy as np
from patients import scan

from seglib.checks.problems import inspect_data
from seglib.data.samples import list_samples
from seglib.images.masks import read_mask
from seglib.images.reading import read_deep

PAGE = Path(__file__).parents[2] / "data" / "README.md"
VOLUMES, SLICES = 12, 6


def test_the_lines_of_the_page_make_slices_of_volumes_that_stay_together(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    planes = np.rint(scan(np.random.default_rng(0), VOLUMES, SLICES)).astype(np.int16)[:, :, :48]  # 64 rows, 48 columns
    for kind, values in (("imagesTr", planes), ("labelsTr", (planes > planes.mean()).astype(np.uint8))):
        Path(kind).mkdir()
        for number, volume in enumerate(values.reshape(VOLUMES, SLICES, 64, 48)):
            nibabel.save(nibabel.Nifti1Image(volume.T, np.diag([0.7, 0.7, 5, 1])), f"{kind}/liver_{number}.nii.gz")
    (lines,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    exec(compile(lines, PAGE, "exec"), {})
    samples = list_samples(Path("slices")).set_index("sample_id")
    assert len(samples) == VOLUMES * SLICES
    row, plane = samples.loc["liver_7_slice003"], planes[7 * SLICES + 3]
    np.testing.assert_array_equal(read_deep(row["image_path"])[..., 0], plane)
    np.testing.assert_array_equal(read_mask(row["mask_path"]), plane > planes.mean())
    told = inspect_data(Path("slices")).problems.set_index("problem")["fact"]
    assert "12" in told["cases"]
