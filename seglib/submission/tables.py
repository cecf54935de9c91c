"""CSV files with run lengths, as competitions write them: which column is what, and which image a row is about."""

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from seglib.errors import InputError
from seglib.images.suffixes import SUFFIXES, split_suffix

NOTHING = frozenset({"", "-1", "nan", "none"})  # what competitions write for an empty mask
NAMES = ("rle", "encod", "segmentation", "annotation", "pixels", "mask")  # in the name of the column of run lengths
LONGEST = 40  # characters of an id in a message
WITH_CLASS = re.compile(rf"(.+(?:{'|'.join(map(re.escape, SUFFIXES))}))_([^_]+)", re.IGNORECASE)


def read_table(path: Path) -> pd.DataFrame:
    """A CSV file of ids and run lengths, all of it text.

    Raises:
        InputError: if the file is missing, is no CSV, has fewer than two columns, or rows longer than its head.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise InputError(f"there is no file {path}; check its spelling") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError):
        raise InputError(f"{path} is not a CSV file; name one with two columns, such as id,rle") from None
    if not isinstance(table.index, pd.RangeIndex):  # pandas takes what is too many for names of the rows
        raise InputError(f"{path} has more commas in its rows than in its head; write as many in both")
    if table.shape[1] < 2:
        other = "; write commas between its columns" if re.search(r"[;\t|]", str(table.columns[0])) else ""
        raise InputError(f"{path} has {table.shape[1]} column(s){other}; it needs two, such as id,rle")
    return table


def find_column(path: Path, columns: Sequence[str]) -> str:
    """The column of run lengths: the second of two, or the only other one that is called like one.

    Raises:
        InputError: if that does not tell.
    """
    if len(columns) == 2:
        return columns[1]
    called = [name for name in columns[1:] if any(word in name.lower() for word in NAMES)]
    if len(called) != 1:
        raise InputError(f"which column of {path} holds the run lengths? say --column, one of {', '.join(columns[1:])}")
    return called[0]


def choose_rows(path: Path, column: str | None, where: Mapping[str, str]) -> tuple[pd.DataFrame, str]:
    """The rows that are meant, as of `split_classes`, and the column of their run lengths.

    Args:
        path: the CSV file; its first column names the images.
        column: that of the run lengths; None: as `find_column`.
        where: values that other columns must have, such as one class of several.

    Raises:
        InputError: if the file or a column is missing, or no row is meant.
    """
    table = read_table(path)
    if table.empty:
        raise InputError(f"{path} has a head and no rows; name the file that has some")
    column = find_column(path, table.columns) if column is None else column
    table = split_classes(table)
    for name, value in where.items():
        _require(path, name, table)
        table = table[table[name].str.strip() == value]
        if table.empty:
            raise InputError(f"{path} has no row where {name} is {value}; check its spelling")
    _require(path, column, table)
    return table, column


def _require(path: Path, name: str, table: pd.DataFrame) -> None:
    if name not in table:
        raise InputError(f"{path} has no column {name}; it has {', '.join(table)}")


def split_classes(table: pd.DataFrame) -> pd.DataFrame:
    """Ids such as ``a.jpg_3`` taken apart: the class is a column of its own, behind that of the images.

    It is called by the last word of the head, ``ClassId`` of ``ImageId_ClassId``, or else ``class``. Other tables stay
    as they are.

    Example:
        >>> split_classes(pd.DataFrame({"Image_Label": ["a.jpg_Fish"], "rle": ["1 3"]})).values.tolist()
        [['a.jpg', 'Fish', '1 3']]
    """
    first = table.columns[0]
    found = [WITH_CLASS.fullmatch(name.strip()) for name in table[first]]
    if not all(found):
        return table
    image, _, kind = first.rpartition("_")
    kind = kind if image and kind not in table else "class"
    if kind in table:
        return table
    rest = table.drop(columns=first)
    rest.insert(0, image or first, [match[1] for match in found])
    rest.insert(1, kind, [match[2] for match in found])
    return rest


def match_ids(ids: Iterable[str], known: Container[str]) -> list[str]:
    """The images that the ids of a submission mean: some competitions write them with the ending of the file.

    Example:
        >>> match_ids(["a", "b.png", "c.png"], {"a", "b"})
        ['a', 'b', 'c']
    """
    return [match_id(name, known) for name in ids]


def match_id(name: str, known: Container[str]) -> str:
    """The image that one id means, as `match_ids`."""
    stem, ending = split_suffix(name)
    return stem if name not in known and ending.lower() in SUFFIXES else name


def blank_nothing(text: str) -> str:
    """Run lengths without space around them, and empty where they are a word for nothing."""
    plain = text.strip()
    return "" if plain.lower() in NOTHING else plain


def shorten_id(name: str) -> str:
    """An id as a message has it: where columns are mixed up, an id may be a whole mask.

    Example:
        >>> shorten_id("1 2 " * 20)
        '1 2 1 2 1 2 1 2 1 2 1 2 1 2 1 2 1 2 1...'
    """
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 3].rstrip()}..."
