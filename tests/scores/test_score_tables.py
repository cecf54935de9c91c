import pandas as pd
import pytest

from seglib.scores.tables import COLUMNS, NO_INTERVAL, style_table, tabulate_numbers

TITLES = {"dice": "Dice", "hd95": "HD95", "failures": "failed"}
MEANINGS = {name: f"what {name} is" for name in TITLES}
SUMMARY = {"failures": 0, "dice_mean": 0.91234, "dice_low": 0.9, "dice_high": 0.92, "hd95_mean": 3.14}


def test_a_number_its_interval_and_its_meaning_stand_in_cells_of_their_own():
    table = tabulate_numbers(SUMMARY, TITLES, MEANINGS, digits={"hd95": 1})
    assert tuple(table) == COLUMNS
    assert table.loc["dice"].tolist() == ["Dice", "0.9123", "0.9000 to 0.9200", "what dice is"]
    assert table.loc["hd95"].tolist() == ["HD95", "3.1", "", "what hd95 is"]
    assert table.loc["failures", "value"] == "0.0000"  # a nought is a number too


def test_rows_stand_in_the_order_of_the_titles_and_what_is_not_known_has_none():
    assert [*tabulate_numbers(SUMMARY, TITLES, MEANINGS).index] == ["dice", "hd95", "failures"]
    assert [*tabulate_numbers({"failures": 1}, TITLES, MEANINGS).index] == ["failures"]
    assert tuple(tabulate_numbers({}, TITLES, MEANINGS)) == COLUMNS


@pytest.mark.parametrize(
    ("counts", "alone"),
    [({"images": 1}, True), ({"images": 5, "groups": 1}, True), ({"images": 5}, False), ({}, False)],
)
def test_what_is_of_one_image_or_group_has_no_interval(counts, alone):
    table = tabulate_numbers(SUMMARY | counts, TITLES, MEANINGS)
    assert table.loc["dice", "95 % interval"] == (NO_INTERVAL if alone else "0.9000 to 0.9200")
    assert table.loc["hd95", "95 % interval"] == ""


def test_a_notebook_shows_intervals_where_there_are_any_and_no_index():
    page = style_table(tabulate_numbers(SUMMARY, TITLES, MEANINGS)).to_html()
    assert ">0.9000 to 0.9200</td>" in page
    assert ">what dice is</td>" in page
    assert ">dice<" not in page
    page = style_table(tabulate_numbers({"failures": 0.25}, TITLES, MEANINGS)).to_html()
    assert ">0.2500</td>" in page
    assert "95 % interval" not in page
    assert style_table(pd.DataFrame(columns=COLUMNS)).to_html()
