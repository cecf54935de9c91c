"""Tables of scores as 04 makes them, made up."""

import pandas as pd


def make_table(count=12, **columns):
    """Images without any cause, 8 of whose 20 pixels out of 100 were missed."""
    plain = {"sample_id": [f"image_{n}" for n in range(count)], "dice": 0.75, "expected_dice": 0.75}
    plain |= {"overlap": 12, "pred_area": 12, "target_area": 20, "pixels": 100}
    plain |= {"border_sides": 0, "contrast": 60.0, "dark_lines": 0.0, "dark_corners": 0}
    return pd.DataFrame(plain | columns, index=range(count))
