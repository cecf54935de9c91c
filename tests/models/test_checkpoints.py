import pytest

from seglib.config import Config
from seglib.errors import InputError
from seglib.models import checkpoints
from seglib.paths import mark_unfinished


@pytest.mark.parametrize(
    ("unfinished", "said"),
    [
        (False, "holds 1 of 3 folds; run 02_training to train the others"),
        (True, "holds 1 of 3 folds, as max_hours left no time for the others; run the same again to go on"),
    ],
)
def test_it_is_said_why_folds_are_missing(tmp_path, monkeypatch, unfinished, said):
    monkeypatch.setattr(checkpoints, "load_checkpoint", lambda path: (None, Config(folds=3)))
    mark_unfinished(tmp_path, unfinished=unfinished)
    with pytest.raises(InputError) as error:
        checkpoints.load_members(tmp_path)
    assert str(error.value) == f"{tmp_path} {said}"
