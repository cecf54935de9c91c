import pytest

from seglib.coercion import coerce_value
from seglib.errors import InputError


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        ("1e-4", float, 1e-4),  # YAML leaves this one a text
        (3, float, 3.0),
        ("5", int, 5),
        (5.0, int, 5),
        (" False ", bool, False),
        ("1", bool, True),
        (True, bool, True),
        ("none", str, "none"),  # a name, where None may not be
        ("NULL", int | None, None),
        ("7", int | None, 7),
    ],
)
def test_text_becomes_what_is_meant(value, hint, expected):
    found = coerce_value("name", value, hint)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "hint", "words"),
    [
        ("many", int, "n='many' is not a whole number; give one"),
        (2.5, int, "n=2.5 is not a whole number; give one"),
        (True, int, "n=True is not a whole number; give one"),
        (True, float, "n=True is not a number; give one"),
        ("none", float, "n='none' is not a number; give one"),
        ("maybe", bool, "n='maybe' is not true or false; give one"),
        ([], float, "n=[] is not a number; give one"),
    ],
)
def test_what_would_lose_something_is_refused_in_words(value, hint, words):
    with pytest.raises(InputError) as error:
        coerce_value("n", value, hint)
    assert str(error.value) == words
