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


def test_members_come_by_their_numbers_and_without_what_somebody_keeps_beside_them(tmp_path, monkeypatch):
    for name in ("fold_0", "fold_2", "fold_10", "fold_2 (copy)", "fold_old"):
        (tmp_path / name / "checkpoints").mkdir(parents=True)
        (tmp_path / name / "checkpoints" / "best.ckpt").touch()
    monkeypatch.setattr(checkpoints, "load_checkpoint", lambda path: (path.parents[1].name, Config(folds=3)))
    assert [name for name, _ in checkpoints.load_members(tmp_path)] == ["fold_0", "fold_2", "fold_10"]
