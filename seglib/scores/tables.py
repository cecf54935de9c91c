"""The numbers of a summary -> a table to read: score, value, interval and meaning in cells of their own."""

from collections.abc import Mapping

import pandas as pd
from pandas.io.formats.style import Styler

INTERVAL = "95 % interval"
COLUMNS = ("score", "value", INTERVAL, "meaning")
NO_INTERVAL = "none: all is of one image or group"


def tabulate_numbers(
    summary: Mapping[str, float],
    titles: Mapping[str, str],
    meanings: Mapping[str, str],
    *,
    digits: Mapping[str, int] | None = None,
) -> pd.DataFrame:
    """One row of text for each number of ``titles`` that the summary has, in their order.

    Args:
        summary: numbers by name. ``<name>_mean`` is taken where there is no ``<name>``; ``<name>_low`` and
            ``<name>_high`` are its interval. ``images`` and ``groups`` tell where an interval means nothing.
        titles: what each number is called.
        meanings: what each number means.
        digits: decimals of a number where they are not 4.

    Returns:
        A row for each name, with ``COLUMNS``; the cell of an interval is empty where the number has none.

    Example:
        >>> facts = {"images": 3, "dice_mean": 0.9, "dice_low": 0.8, "dice_high": 0.95, "failures": 0}
        >>> table = tabulate_numbers(facts, {"dice": "Dice", "failures": "failures"}, {"dice": "D", "failures": "F"})
        >>> table.to_numpy().tolist()
        [['Dice', '0.9000', '0.8000 to 0.9500', 'D'], ['failures', '0.0000', '', 'F']]
    """
    known = {name: summary.get(name, summary.get(f"{name}_mean")) for name in titles}
    rows = {}
    for name in (name for name, value in known.items() if value is not None):
        form = f".{(digits or {}).get(name, 4)}f"
        rows[name] = (titles[name], format(known[name], form), _write_interval(summary, name, form), meanings[name])
    return pd.DataFrame.from_dict(rows, orient="index", columns=COLUMNS)


def style_table(table: pd.DataFrame) -> Styler:
    """A table as a notebook shows it: no index, text at the left, each value on one line; no column of no intervals."""
    shown = table if table[INTERVAL].any() else table.drop(columns=INTERVAL)
    left = {"selector": "th, td", "props": "text-align: left; vertical-align: top"}
    numbers = [name for name in ("value", INTERVAL) if name in shown]
    style = shown.style.hide(axis="index").set_table_styles([left])
    return style.set_properties(subset=numbers, **{"white-space": "nowrap"})


def _write_interval(summary: Mapping[str, float], name: str, form: str) -> str:
    if f"{name}_low" not in summary:
        return ""
    if summary.get("groups", summary.get("images")) == 1:
        return NO_INTERVAL
    return f"{summary[f'{name}_low']:{form}} to {summary[f'{name}_high']:{form}}"
