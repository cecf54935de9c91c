import numpy as np
import pandas as pd
import pytest

from seglib.errors import InputError
from seglib.training.history import describe_history, find_best_epoch, read_history, split_history

ROWS = {
    "epoch": [1, 2, 3, 4],
    "train_loss": [0.6, 0.4, 0.3, 0.2],
    "val_loss": [0.5, 0.3, 0.3, 0.4],
    "val_dice": [0.6, 0.8, 0.9, 0.85],
    "lr": [1e-4, 1e-4, 5e-5, 2.5e-5],
    "seconds": [60, 60, 30, 30],
}


def test_the_best_epoch_is_the_first_of_equals_and_depends_on_the_monitor():
    history = pd.DataFrame(ROWS)
    assert find_best_epoch(history) == 2
    assert find_best_epoch(history, "val_dice") == 3


def test_the_facts_are_those_of_the_best_epoch():
    facts = describe_history(pd.DataFrame(ROWS), "val_dice")
    assert facts == {
        "best_epoch": 3,
        "epochs": 4,
        "best_val_loss": 0.3,
        "best_val_dice": 0.9,
        "gap": 0.0,
        "rate_changes": 2,
        "minutes": 3.0,
    }


def test_the_share_of_waiting_is_a_fact_where_it_was_measured():
    shares = [np.nan, 0.25, 0.5, 0.0]  # an epoch of a run begun before it was measured
    assert describe_history(pd.DataFrame(ROWS).assign(wait_share=shares))["wait_share"] == 0.25


def test_a_history_that_is_still_growing_can_be_read(tmp_path):
    pd.DataFrame(ROWS)[:1].to_csv(tmp_path / "history.csv", index=False)
    assert len(read_history(tmp_path / "history.csv")) == 1


@pytest.mark.parametrize(
    ("text", "words"), [(None, "there is no history"), ("", "not a history"), ("a,b\n1,2\n", "no column epoch"),
                        (",".join(ROWS) + "\n", "no rows yet")]
)  # fmt: skip
def test_what_is_no_history_is_named(tmp_path, text, words):
    if text is not None:
        (tmp_path / "history.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        read_history(tmp_path / "history.csv")


def test_a_run_of_folds_is_as_many_histories(tmp_path):
    both = pd.concat([pd.DataFrame(ROWS).assign(fold=fold) for fold in (0, 1)])
    both.loc[both["fold"] == 1, "val_loss"] = [0.5, 0.4, 0.3, 0.2]
    both.to_csv(tmp_path / "history.csv", index=False)
    parts = split_history(read_history(tmp_path / "history.csv"))
    assert [find_best_epoch(part) for part in parts] == [2, 4]
    assert [find_best_epoch(part) for part in split_history(pd.DataFrame(ROWS))] == [2]


def test_a_line_that_is_half_written_is_passed_over(tmp_path):
    text = pd.DataFrame(ROWS).to_csv(index=False)
    for half in ("5,0.1,0.3", "5,0.", "5", "5,0.1,0.3,x,1e-4,60\n"):
        (tmp_path / "history.csv").write_text(text + half)
        read = read_history(tmp_path / "history.csv")
        assert read["epoch"].tolist()[:4] == [1, 2, 3, 4]
        assert len(read) == 4 + ("x" in half)  # what is no number is kept as one that is missing


def test_a_file_that_is_no_text_is_no_history(tmp_path):
    (tmp_path / "history.csv").write_bytes(b"\xff\xfe\x00epoch")
    with pytest.raises(InputError, match="not a history"):
        read_history(tmp_path / "history.csv")


# Curves made for each verdict: x runs from 0 to 1; the noise is a hundredth of the level where nothing else is said.


def test_what_is_not_a_number_is_never_the_best_epoch():
    history = pd.DataFrame(ROWS)
    history.loc[1, "val_loss"] = np.nan
    assert find_best_epoch(history) == 3
    assert find_best_epoch(history.assign(val_dice=np.nan), "val_dice") == 1
