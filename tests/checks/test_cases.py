import numpy as np
import pytest
from patients import SIDE, draw, name_all, scan, take_films

from seglib.checks import cases
from seglib.checks.cases import MIN_CASES, Cases, describe_cases, find_cases, label_others


def same_division(labels, expected):
    pairs = set(zip(labels, expected, strict=True))
    return len(pairs) == len(set(labels)) == len(set(expected))


@pytest.mark.parametrize(
    "pattern", ["P{:02d}_slice{:03d}", "{:03d}-{:d}", "TCGA_CS_{:04d}_19960909_{:d}", "Ärztin{:d} ({:d})", "case{}.{}"]
)
@pytest.mark.parametrize("seed", range(3))
def test_slices_of_one_patient_are_a_case(pattern, seed):
    rng = np.random.default_rng(seed)
    found = find_cases(name_all(pattern, 15, 6), scan(rng, 15, 6))
    assert found.kind == "names"
    assert found.sure
    assert same_division(found.labels, np.repeat(np.arange(15), 6))
    assert found.alike > 0.9
    assert found.chance == pytest.approx(5 / 89, abs=0.01)


def test_the_label_is_the_shortest_beginning_that_says_it():
    found = find_cases(name_all("P{:02d}_slice{:03d}", 12, 4), scan(np.random.default_rng(0), 12, 4))
    assert found.labels[[0, -1]].tolist() == ["P00", "P11"]


def test_two_eyes_of_each_are_enough():
    names = [f"Image_{number:02d}{side}" for number in range(14) for side in "LR"]
    found = find_cases(names, scan(np.random.default_rng(0), 14, 2))
    assert found.sure
    assert same_division(found.labels, np.repeat(np.arange(14), 2))


@pytest.mark.parametrize("seed", range(20))
def test_names_that_looks_do_not_confirm_tell_nothing(seed):
    rng = np.random.default_rng(seed)
    assert find_cases(name_all("P{:02d}_{:d}", 15, 6), draw(rng, 90)) is None
    mixed = rng.permutation(scan(rng, 15, 6))
    assert find_cases(name_all("P{:02d}_{:d}", 15, 6), mixed) is None
    assert find_cases([rng.bytes(16).hex() for _ in range(90)], mixed) is None
    assert find_cases(name_all("ISIC_{:07d}", 90), mixed) is None


def test_all_studies_of_a_patient_are_one_case_where_they_look_alike():
    rng = np.random.default_rng(0)
    studies = np.concatenate([draw(rng, 2, like=patient, strength=15) for patient in draw(rng, 15)])
    images = np.concatenate([draw(rng, 4, like=study, strength=8) for study in studies])
    found = find_cases(name_all("P{:02d}_S{:d}_{:d}", 15, 2, 4), images)
    assert same_division(found.labels, np.repeat(np.arange(15), 8))
    strangers = find_cases(name_all("P{:02d}_S{:d}_{:d}", 15, 2, 4), scan(rng, 30, 4))
    assert same_division(strangers.labels, np.repeat(np.arange(30), 4))


def test_a_hospital_is_no_case_where_its_patients_are_told():
    rng = np.random.default_rng(0)
    patients = np.concatenate([draw(rng, 7, like=hospital, strength=20) for hospital in draw(rng, 12)])
    images = np.concatenate([draw(rng, 3, like=patient, strength=8) for patient in patients])
    found = find_cases(name_all("H{:02d}_{:d}_{:d}", 12, 7, 3), images)
    assert same_division(found.labels, np.repeat(np.arange(84), 3))
    few = find_cases(name_all("H{:02d}_{:d}_{:d}", 3, 7, 3), images[: 3 * 21])
    assert few.sure
    assert same_division(few.labels, np.repeat(np.arange(21), 3))


def test_few_hospitals_of_few_patients_do_not_hide_them():
    rng = np.random.default_rng(0)
    patients = np.concatenate([draw(rng, 5, like=hospital, strength=20) for hospital in draw(rng, 3)])
    images = np.concatenate([draw(rng, 3, like=patient, strength=8) for patient in patients])
    found = find_cases(name_all("H{:02d}_{:d}_{:d}", 3, 5, 3), images)
    assert found.sure
    assert same_division(found.labels, np.repeat(np.arange(15), 3))


def test_first_names_do_as_well_as_numbers():
    greek = [f"{chr(0x3B1 + person)}{number}" for person in range(12) for number in range(4)]
    found = find_cases(greek, scan(np.random.default_rng(0), 12, 4))
    assert found.sure
    assert same_division(found.labels, np.repeat(np.arange(12), 4))


def test_images_without_company_tell_nothing_of_the_others():
    rng = np.random.default_rng(0)
    names = name_all("P{:02d}_{:d}", 12, 4) + name_all("Q{:02d}_{:d}", 60, 1)
    found = find_cases(names, np.concatenate([scan(rng, 12, 4), draw(rng, 60)]))
    assert found.sure
    assert found.alike > 0.9
    assert found.chance == pytest.approx(3 / 47, abs=0.01)


@pytest.mark.parametrize("seed", range(5))
def test_years_of_a_slightly_different_light_are_no_cases(seed):
    rng = np.random.default_rng(seed)
    images = np.concatenate([draw(rng, 60, like=128 + light) for light in np.linspace(-30, 30, 12)])
    names, labels = name_all("{:d}_{:02d}", 12, 60), np.repeat(np.arange(12), 60)
    alike, chance, _ = cases._compare_looks(cases.shrink(images), labels, np.arange(720))
    assert 1.5 * chance < alike < 0.3
    assert find_cases(names, images) is None


def test_two_words_are_no_cases_but_a_few_numbers_may_be():
    images = scan(np.random.default_rng(0), 2, 40)
    assert find_cases([f"{place}_{number}" for place in ("north", "south") for number in range(40)], images) is None
    found = find_cases(name_all("video{:d}_{:03d}", 2, 40), images)
    assert not found.sure
    assert same_division(found.labels, np.repeat([0, 1], 40))


def test_a_case_of_most_images_is_not_sure():
    rng = np.random.default_rng(0)
    images = np.concatenate([scan(rng, 1, 60), scan(rng, MIN_CASES, 4)])
    names = name_all("a{:d}_{:d}", 1, 60) + name_all("b{:d}_{:d}", MIN_CASES, 4)
    assert not find_cases(names, images).sure
    assert not find_cases(names[35:], images[35:]).sure
    assert find_cases(names[45:], images[45:]).sure


def test_neighbours_in_number_that_look_alike_are_cut_into_films():
    rng = np.random.default_rng(0)
    images = take_films(rng, 20, 8)
    shuffle = rng.permutation(len(images))
    names = np.array([f"{number + 1}" for number in range(len(images))])  # 10 comes behind 9, not behind 1
    found = find_cases(names[shuffle], images[shuffle])
    assert found.kind == "numbers"
    assert found.sure
    assert same_division(found.labels, shuffle // 8)
    assert found.labels[np.flatnonzero(shuffle // 8 == 3)[0]] == "25"
    assert find_cases(names, images[shuffle]) is None


def test_a_flash_does_not_cut_a_film():
    rng = np.random.default_rng(0)
    images = take_films(rng, 20, 8)
    images[3::8] = draw(rng, 20)
    found = find_cases(name_all("{:03d}", 160), images)
    films = np.delete(found.labels.reshape(20, 8), 3, axis=1)
    assert all(len(set(film)) == 1 for film in films)
    assert len(set(films[:, 0])) >= 18  # one in twenty looks like one before it by chance
    assert found.alike == pytest.approx(5 * 20 / 159)


@pytest.mark.parametrize("block", [7, 1024])
def test_films_of_two_places_count_from_one_each(block, monkeypatch):
    monkeypatch.setattr(cases, "BLOCK", block)
    images = take_films(np.random.default_rng(0), 20, 8)
    names = [f"{side} {number:d}" for side in ("left", "right") for number in range(80)]
    assert same_division(find_cases(names, images).labels, np.repeat(np.arange(20), 8))


def test_films_end_where_the_words_before_the_number_change():
    names = [f"{'left' if number < 84 else 'right'} {number:d}" for number in range(160)]
    found = find_cases(names, take_films(np.random.default_rng(0), 20, 8))
    assert found.kind == "numbers"
    assert same_division(found.labels, [number // 8 + (number >= 84) for number in range(160)])


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_few_images_tell_nothing(count):
    assert find_cases(name_all("P1_{}", count), draw(np.random.default_rng(0), count)) is None


@pytest.mark.parametrize("pattern", ["{:02d}{:02d}", "P{:02d}_{:02d}"])
def test_images_that_are_all_the_same_tell_nothing(pattern):
    assert find_cases(name_all(pattern, 15, 4), np.full((60, SIDE, SIDE), 7, np.float32)) is None


def test_large_sets_are_judged_by_some_of_their_cases(monkeypatch):
    names, images = name_all("P{:02d}_{:d}", 30, 6), scan(np.random.default_rng(0), 30, 6)
    monkeypatch.setattr(cases, "LOOKED_AT", 60)
    compared = []
    find_nearest = cases._find_nearest
    monkeypatch.setattr(cases, "_find_nearest", lambda *given: compared.append(len(given[0])) or find_nearest(*given))
    assert same_division(find_cases(names, images).labels, np.repeat(np.arange(30), 6))
    assert set(compared) == {60}


def test_the_order_of_the_images_does_not_matter():
    rng = np.random.default_rng(0)
    names, images = np.array(name_all("P{:02d}_{:d}", 15, 6)), scan(rng, 15, 6)
    order = rng.permutation(90)
    assert find_cases(names[order], images[order]).labels.tolist() == find_cases(names, images).labels[order].tolist()


def test_a_few_other_images_are_told_as_those_of_the_set_were():
    rng = np.random.default_rng(0)
    images = take_films(rng, 22, 8)
    found = find_cases(name_all("{:03d}", 160), images[:160])
    others = name_all("{:d}", 16)
    assert find_cases(others, images[160:]) is None
    assert same_division(label_others(found, others, images[160:]), np.repeat([0, 1], 8))
    assert label_others(found, ["one", "two"], images[160:162]).tolist() == ["one", "two"]
    assert label_others(found, ["7"], images[:1]).tolist() == ["7"]
    assert label_others(found, [], images[:0]).tolist() == []


def test_one_patient_more_is_one_case():
    found = find_cases(name_all("P{:02d}_S1_{:d}", 12, 4), scan(np.random.default_rng(0), 12, 4))
    assert found.words == 2
    assert find_cases(name_all("{:02d}-{:d}", 12, 4), scan(np.random.default_rng(0), 12, 4)).words == 1
    assert label_others(found, ["P77_S1_1", "P77_S1_2", "Q3"], np.zeros((3, SIDE, SIDE))).tolist() == [
        "P77",
        "P77",
        "Q3",
    ]


@pytest.mark.parametrize(("share", "said"), [(1.0, "100 %"), (0.996, "100 %"), (0.123, "12 %"), (0.0123, "1.2 %")])
def test_shares_are_said_in_two_digits(share, said):
    labels = np.repeat(np.array(["P1", "P2"], dtype=object), 6)
    assert f": for {said} the image" in describe_cases(Cases(labels, "names", share, 0.5, True))


def test_films_are_described_as_such():
    labels = np.repeat(np.array(["001", "009"], dtype=object), [8, 4])
    assert describe_cases(Cases(labels, "numbers", 0.9, 0.05, True)) == (
        "holds 2 films or stacks by its numbers, such as 001 with 8 images from there on: 90 % of the neighbours in "
        "number look alike, by chance 5 %"
    )
    whole = Cases(labels[:8], "numbers", 0.9, 0.05, False)
    assert describe_cases(whole).startswith(
        "holds 1 film or stack by its numbers, such as 001 with 8 images from there"
    )
