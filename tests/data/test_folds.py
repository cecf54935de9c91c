import numpy as np
import pandas as pd
import pytest

from seglib.data.folds import (
    assign_folds,
    describe_folds,
    prepare_folds,
    read_folds,
    reopen_folds,
    select_held_out,
    split_samples,
    write_folds,
)
from seglib.data.groups import join_groups, read_groups
from seglib.errors import InputError


def table(count):
    return pd.DataFrame({"sample_id": [f"s{number:03d}" for number in range(count)]})


def test_every_fold_gets_its_share_of_small_and_large_masks():
    share = np.random.default_rng(0).permutation(np.linspace(0, 1, 200))
    folds = assign_folds(table(200), share, n_folds=5, seed=0)
    assert folds.groupby("fold").size().tolist() == [40] * 5
    assert np.ptp(folds.groupby("fold")["mask_share"].mean()) < 0.02  # by chance alone it is about 0.1


def test_the_seed_alone_decides_the_folds():
    share = np.linspace(0, 1, 50)
    first, again, other = (assign_folds(table(50), share, n_folds=5, seed=seed) for seed in (3, 3, 4))
    assert first.equals(again)
    assert not first.equals(other)


@pytest.mark.parametrize("count", [2, 3, 7])
def test_few_samples_are_split_too(count):
    samples = table(count)
    folds = assign_folds(samples, np.zeros(count), n_folds=5, seed=0)
    train, val = split_samples(samples, folds, 0)
    assert len(train) >= 1
    assert len(val) >= 1
    assert len(train) + len(val) == count


def test_no_sample_is_on_both_sides():
    samples = table(23)
    folds = assign_folds(samples, np.linspace(0, 1, 23), n_folds=4, seed=0)
    train, val = split_samples(samples, folds, 2)
    assert set(train["sample_id"]) | set(val["sample_id"]) == set(samples["sample_id"])
    assert not set(train["sample_id"]) & set(val["sample_id"])


def test_folds_survive_the_file_and_keep_names_that_look_like_numbers(tmp_path):
    samples = pd.DataFrame({"sample_id": ["007", "08", "1e3", "NA"]})
    folds = assign_folds(samples, np.zeros(4), n_folds=2, seed=0)
    write_folds(folds, tmp_path / "folds.csv")
    assert read_folds(tmp_path / "folds.csv", samples)["sample_id"].tolist() == ["007", "08", "1e3", "NA"]
    assert read_folds(tmp_path / "folds.csv", samples)["fold"].tolist() == folds["fold"].tolist()


def test_folds_that_are_there_are_used_and_not_drawn_anew(tmp_path):
    samples, share = table(20), np.linspace(0, 1, 20)
    first = prepare_folds(tmp_path / "folds.csv", samples, share, n_folds=5, seed=0)
    again = prepare_folds(tmp_path / "folds.csv", samples, share, n_folds=2, seed=9)
    assert first["fold"].tolist() == again["fold"].tolist()


def test_folds_of_other_images_are_refused(tmp_path):
    write_folds(assign_folds(table(10), np.zeros(10), n_folds=5, seed=0), tmp_path / "folds.csv")
    with pytest.raises(InputError, match="disagree about s010"):
        read_folds(tmp_path / "folds.csv", table(11))


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "sample_id,fold\ns000,first\n"])
def test_a_file_that_holds_no_folds_is_refused(tmp_path, text):
    (tmp_path / "folds.csv").write_text(text)
    with pytest.raises(InputError, match="not a table of sample_id and fold"):
        read_folds(tmp_path / "folds.csv", table(1))


def test_folds_that_list_an_image_twice_are_refused(tmp_path):
    (tmp_path / "folds.csv").write_text("sample_id,fold\ns000,0\ns001,1\ns000,1\n")
    with pytest.raises(InputError, match="folds.csv lists s000 more than once; remove the file"):
        read_folds(tmp_path / "folds.csv", table(2))


def test_an_unknown_fold_is_refused():
    with pytest.raises(InputError, match="fold=7 is not in the folds; choose from 0 to 4"):
        split_samples(table(10), assign_folds(table(10), np.zeros(10), n_folds=5, seed=0), 7)


def test_without_groups_the_folds_are_those_that_were_always_drawn():
    share = (np.arange(20) * 7 % 20) / 20
    always = [2, 0, 1, 0, 2, 3, 1, 1, 1, 3, 3, 2, 4, 4, 4, 4, 0, 0, 3, 2]
    assert assign_folds(table(20), share, n_folds=5, seed=0)["fold"].tolist() == always
    alone = np.array([f"p{number}" for number in range(20)])
    assert assign_folds(table(20), share, n_folds=5, seed=0, groups=alone)["fold"].tolist() == always
    assert assign_folds(table(7), np.zeros(7), n_folds=5, seed=0)["fold"].tolist() == [2, 1, 0, 1, 4, 3, 0]


def n_folds_of_groups(folds):
    return folds.groupby("group")["fold"].nunique()


@pytest.mark.parametrize("seed", range(30))
def test_a_group_is_never_divided_and_no_fold_is_empty(seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(4, 60))
    groups = rng.choice(int(rng.integers(2, count + 1)), count)
    groups[:2] = 0, 1
    folds = assign_folds(table(count), rng.random(count), n_folds=5, seed=seed, groups=groups)
    assert (n_folds_of_groups(folds) == 1).all()
    assert sorted(folds["fold"].unique()) == list(range(max(2, min(5, len(set(groups))))))
    assert folds["group"].tolist() == pd.factorize(groups)[0].tolist()


@pytest.mark.parametrize(("n_groups", "slack"), [(120, 4), (399, 1)])
def test_folds_of_groups_have_equal_sizes_and_mixes_of_masks(n_groups, slack):
    rng = np.random.default_rng(0)
    groups = rng.permutation(np.arange(400) % n_groups)
    share = rng.permutation(np.linspace(0, 1, 400))
    folds = assign_folds(table(400), share, n_folds=5, seed=0, groups=groups)
    assert folds.groupby("fold").size().between(80 - slack, 80 + slack).all()
    stratum = pd.cut(share, 10, labels=False)
    assert (
        np.ptp(pd.crosstab(stratum, folds["fold"]).to_numpy(), axis=1).max() <= slack
    )  # by chance alone it is about 8
    other = assign_folds(table(400), share, n_folds=5, seed=1, groups=groups)
    assert not folds.equals(other)


def test_every_scikit_learn_divides_the_groups_as_earlier_runs_had_them():
    groups, share = np.arange(24) % 9, np.linspace(0, 1, 24)
    folds = assign_folds(table(24), share, n_folds=3, seed=3, groups=groups)
    assert folds["fold"].tolist() == [1, 2, 0, 0, 1, 2, 0, 1, 2] * 2 + [1, 2, 0, 0, 1, 2]


@pytest.mark.parametrize(("large", "single"), [(90, 10), (30, 3), (50, 4), (6, 20)])
@pytest.mark.parametrize("n_folds", [2, 5])
def test_a_group_larger_than_a_fold_is_not_what_most_runs_hold_out(large, single, n_folds):
    groups = np.array(["film"] * large + [f"p{number}" for number in range(single)])
    count = large + single
    folds = assign_folds(table(count), np.linspace(0, 1, count), n_folds=n_folds, seed=0, groups=groups)
    counts = np.bincount(folds["fold"])
    assert counts.min() > 0
    assert 2 <= len(counts) <= n_folds
    if large > single:
        assert folds["fold"][0] == counts.argmax() == len(counts) - 1
        said = describe_folds(folds)
        assert said.startswith(
            f"fold {len(counts) - 1} holds {counts[-1]} of the {count} images, as one group has {large}"
        )
        assert said.endswith(f"learns from {count - counts[-1]}")
    else:
        assert describe_folds(folds) == ""


@pytest.mark.parametrize("count", range(2, 30))
def test_folds_of_single_images_are_never_called_large(count):
    for n_folds in (2, 3, 5):
        folds = assign_folds(table(count), np.zeros(count), n_folds=n_folds, seed=0)
        assert describe_folds(folds) == ""
        assert folds["fold"].nunique() == min(n_folds, count)


def test_one_group_alone_cannot_be_split():
    with pytest.raises(InputError, match="all 6 samples are of one group.*add images of another patient"):
        assign_folds(table(6), np.zeros(6), n_folds=5, seed=0, groups=np.array(["p"] * 6))


def test_the_file_of_folds_says_the_groups(tmp_path):
    groups = np.array(["x", "y", "x", "z"])
    folds = prepare_folds(tmp_path / "folds.csv", table(4), np.zeros(4), n_folds=2, seed=0, groups=groups)
    assert folds.columns.tolist() == ["sample_id", "fold", "group", "mask_share"]
    assert folds["group"].tolist() == [0, 1, 0, 2]


def test_folds_that_divide_a_group_are_refused_with_both_samples(tmp_path):
    path = tmp_path / "folds.csv"
    path.write_text("sample_id,fold,group\ns000,0,5\ns001,1,6\ns002,1,5\n")
    with pytest.raises(InputError, match="s000 in fold 0 and s002 in fold 1.*one group; remove the file"):
        read_folds(path, table(3))


def test_kept_folds_that_divide_a_new_group_are_refused(tmp_path):
    path, samples = tmp_path / "folds.csv", table(4)
    folds = prepare_folds(path, samples, np.zeros(4), n_folds=2, seed=0)
    one, other = (int(np.argmax(folds["fold"] == number)) for number in (0, 1))
    groups = np.arange(4)
    groups[other] = groups[one]
    with pytest.raises(InputError, match="which are of one group"):
        prepare_folds(path, samples, np.zeros(4), n_folds=2, seed=0, groups=groups)


def test_reopened_folds_are_those_kept_and_heed_groups_that_have_come_since(tmp_path):
    path, samples = tmp_path / "folds.csv", table(4)
    kept = prepare_folds(path, samples, np.zeros(4), n_folds=2, seed=0)
    pd.testing.assert_frame_equal(reopen_folds(path, samples, tmp_path), kept)
    one, other = (samples["sample_id"][int(np.argmax(kept["fold"] == number))] for number in (0, 1))
    lines = [f"{name},{'ann' if name in (one, other) else name}" for name in samples["sample_id"]]
    (tmp_path / "groups.csv").write_text("\n".join(["sample_id,group", *lines]))
    with pytest.raises(InputError, match="which are of one group"):
        reopen_folds(path, samples, tmp_path)


def test_folds_of_before_there_were_groups_are_still_read(tmp_path):
    path = tmp_path / "folds.csv"
    path.write_text("sample_id,fold,mask_share\ns000,0,0.1\ns001,1,0.2\n")
    assert read_folds(path, table(2))["fold"].tolist() == [0, 1]
    same = np.zeros(2)
    assert prepare_folds(path, table(2), same, n_folds=2, seed=0, groups=same)["fold"].tolist() == [0, 1]


def test_names_of_a_mac_are_those_of_its_images(tmp_path):
    (tmp_path / "groups.csv").write_text("sample_id,group\ngr\u006f\u0308\u00dfe,a\n", encoding="utf-8")
    assert read_groups(tmp_path / "groups.csv", pd.DataFrame({"sample_id": ["gr\u00f6\u00dfe"]})).tolist() == ["a"]


def test_cases_that_were_found_count_until_somebody_knows_better(tmp_path):
    found = table(5).assign(group=[0, 1, 1, 2, 3], case=["a", "b", "c", "c", "a"])
    assert join_groups(found, tmp_path).tolist() == [0, 1, 1, 1, 0]
    (tmp_path / "groups.csv").write_text("sample_id,group\n" + "".join(f"s00{k},{k}\n" for k in range(5)))
    assert join_groups(found, tmp_path).tolist() == [0, 1, 1, 2, 3]


def test_what_was_held_out_comes_with_its_fold_and_group():
    folds = pd.DataFrame({"sample_id": ["s002", "s000", "s001"], "fold": [2, 0, 1], "group": [0, 1, 2]})
    held_out = select_held_out(table(3), folds, [0, 2])
    assert held_out[["sample_id", "fold", "group"]].to_numpy().tolist() == [["s000", 0, 1], ["s002", 2, 0]]
    assert "group" not in select_held_out(table(3), folds.drop(columns="group"), [1])


def test_a_leak_across_folds_shows_its_pairs(tmp_path):
    samples = pd.DataFrame({"sample_id": [f"s{number}" for number in range(14)]})
    folds = assign_folds(samples, np.zeros(14), n_folds=2, seed=0).assign(fold=[0, 1] * 7, group=np.arange(14) // 2)
    folds.to_csv(tmp_path / "folds.csv", index=False)
    with pytest.raises(InputError) as caught:
        read_folds(tmp_path / "folds.csv", samples)
    said = str(caught.value)
    assert "s0 in fold 0 and s1 in fold 1, s2 in fold 0 and s3 in fold 1" in said
    assert "s8 in fold 0 and s9 in fold 1, and 2 more pairs, which are of one group" in said
