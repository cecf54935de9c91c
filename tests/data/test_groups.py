import numpy as np
import pandas as pd
import pytest

from seglib.data.groups import find_groups, find_shared, join_groups, merge_groups, read_groups
from seglib.errors import InputError


def table(count):
    return pd.DataFrame({"sample_id": [f"s{number:03d}" for number in range(count)]})


@pytest.mark.parametrize("name", ["groups.csv", "Groups.CSV"])
def test_the_file_of_groups_is_found_in_any_case(tmp_path, name):
    assert find_groups(tmp_path) is None
    (tmp_path / name).touch()
    assert find_groups(tmp_path) == tmp_path / name


def test_two_files_of_groups_are_refused(tmp_path):
    for name in ("groups.csv", "GROUPS.csv"):
        (tmp_path / name).touch()
    if len(list(tmp_path.iterdir())) == 2:  # else the file system takes them for one
        with pytest.raises(InputError, match="GROUPS.csv and groups.csv, which mean the same; keep one"):
            find_groups(tmp_path)


def test_groups_come_in_the_order_of_the_samples_and_as_text(tmp_path):
    path = tmp_path / "groups.csv"
    path.write_text("group,sample_id,age\n007,s001,1\n7,s000,2\nNA,s002 ,3\nx,test image,4\n", encoding="utf-8-sig")
    assert read_groups(path, table(3)).tolist() == ["7", "007", "NA"]
    path.write_text("sample_id,group\ns000,7\ns001,007\n")
    assert read_groups(path, table(2)).tolist() == ["7", "007"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a table of sample_id and group; name its columns"),
        ("sample_id,patient\ns000,a\n", "not a table of sample_id and group"),
        ("sample_id,group\ns000,a\n", "gives no group for s001; add the line s001,GROUP"),
        ("sample_id,group\ns000,a\ns001, \n", "gives no group for s001"),
        ("sample_id,group\ns000,a\ns001\n", "gives no group for s001"),
        ("sample_id,group\n", "gives no group for s000"),
        ("sample_id,group\ns000,a\ns001,b\ns000,a\n", "lists s000 more than once; keep one"),
    ],
)
def test_a_file_that_does_not_group_every_sample_once_is_refused(tmp_path, text, words):
    (tmp_path / "groups.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        read_groups(tmp_path / "groups.csv", table(2))


def test_merged_groups_join_what_either_joins_and_nothing_else():
    chain = merge_groups(np.array(["a", "a", "b", "b", "c", "d"]), np.array([9, 1, 1, 5, 4, 3]))
    assert chain.tolist() == [0, 0, 0, 0, 1, 2]
    alone, pairs = np.arange(6), np.array([3, 4, 4, 3, 0, 1])
    assert merge_groups(alone, pairs).tolist() == merge_groups(pairs, alone).tolist() == [0, 1, 1, 0, 2, 3]
    with pytest.raises(ValueError, match="6 and of 5"):
        merge_groups(alone, pairs[:5])


def test_groups_of_a_file_join_those_that_were_found(tmp_path):
    found = table(4).assign(group=[0, 1, 1, 2], case=["s000", "s001", "s002", "s003"])
    assert join_groups(found, tmp_path).tolist() == [0, 1, 1, 2]
    (tmp_path / "Groups.csv").write_text("sample_id,group\ns000,ann\ns001,bob\ns002,cy\ns003,ann\n")
    assert join_groups(found, tmp_path).tolist() == [0, 1, 1, 0]


def test_other_images_of_a_group_that_samples_have_are_found_with_its_first_sample(tmp_path):
    path = tmp_path / "groups.csv"
    path.write_text("sample_id,group\ns000,ann\ns001,bob\ns002,bob\nt0,bob\nt1,cy\nt2,ann\nt3,\n")
    others = pd.DataFrame({"sample_id": ["t9", "t2", "t1", "s001", "t0", "t3"]})  # one is not listed, one a sample
    assert find_shared(path, table(3), others) == [("t2", "s000"), ("t0", "s001")]
    assert find_shared(path, table(3), others[:0]) == []
    with pytest.raises(InputError, match="gives no group for s003"):
        find_shared(path, table(4), others)
