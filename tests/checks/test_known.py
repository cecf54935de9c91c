import numpy as np
import pytest
from patients import draw, name_all, scan, take_films

from seglib.checks import known
from seglib.checks.cases import find_cases
from seglib.checks.known import Images, Known, describe_known, find_known


def ask(train_ids, train, test_ids, test):
    parts = [
        Images(list(ids), list(part), [f"{ids_}.png" for ids_ in ids])
        for ids, part in ((train_ids, train), (test_ids, test))
    ]
    return find_known(find_cases(train_ids, train), *parts)


def divide(is_test, names, images):
    names = np.array(names)
    return names[~is_test], images[~is_test], names[is_test], images[is_test]


def draw_some(rng, count):
    return rng.random(count) < 0.25


def scan_hospitals(rng, hospitals, patients, slices):
    """(2, N, S, S): slices of patients of hospitals, and as many of other patients of the same hospitals."""
    people = np.concatenate([draw(rng, 2 * patients, like=place, strength=20) for place in draw(rng, hospitals)])
    images = np.concatenate([draw(rng, slices, like=person, strength=8) for person in people])
    both = images.reshape(hospitals, 2, patients * slices, *images.shape[1:])
    return both[:, 0].reshape(-1, *images.shape[1:]), both[:, 1].reshape(-1, *images.shape[1:])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("strength", [20, 80])
def test_patients_whose_slices_lie_in_both_parts_are_told(seed, strength):
    rng = np.random.default_rng(seed)
    images = np.concatenate([draw(rng, 8, like=patient, strength=strength) for patient in draw(rng, 30)])
    is_test = draw_some(rng, 240)
    found = ask(*divide(is_test, name_all("P{:02d}_slice{:d}", 30, 8), images))
    assert found.kind == "names"
    assert found.images == is_test.sum()
    assert found.alike > 0.75
    assert found.chance == pytest.approx(1 / 30, abs=0.01)
    assert found.test_path != found.train_path
    assert found.test_path.split("_")[0] == found.train_path.split("_")[0]


def test_patients_of_test_alone_are_not_counted():
    rng = np.random.default_rng(0)
    patient, number = np.divmod(np.arange(38 * 8), 8)
    is_test = (patient >= 30) | ((patient < 8) & (number >= 5))
    found = ask(*divide(is_test, name_all("P{:02d}_{:d}", 38, 8), scan(rng, 38, 8)))
    assert found.images == 8 * 3
    assert found.alike == 1


@pytest.mark.parametrize(
    ("patients", "shared", "told"), [(12, 0, False), (12, 3, False), (12, 6, True), (40, 3, False), (40, 4, True)]
)
def test_a_few_shared_patients_may_be_chance(patients, shared, told):
    patient, number = np.divmod(np.arange(patients * 8), 8)
    is_test = ((patient < shared) & (number >= 5)) | (patient == patients - 1)
    names = name_all("P{:02d}_{:d}", patients, 8)
    found = ask(*divide(is_test, names, scan(np.random.default_rng(0), patients, 8)))
    assert (found is not None) == told


@pytest.mark.parametrize(("true", "told"), [(3, False), (8, True)])
def test_images_that_are_mostly_of_others_are_not_taken_for_those_of_train(true, told):
    rng = np.random.default_rng(0)
    images = scan(rng, 30, 18)
    is_test = np.tile(np.arange(18) >= 8, 30)
    train_ids, train, test_ids, test = divide(is_test, name_all("P{:02d}_{:d}", 30, 18), images)
    strangers = np.tile(np.arange(10) >= true, 30)
    test[strangers] = draw(rng, strangers.sum())
    assert (ask([f"{name}{row}" for row, name in enumerate(train_ids)], train, test_ids, test) is not None) == told


def test_names_that_count_all_images_do_as_well():
    images = scan(np.random.default_rng(0), 30, 8)
    is_test = np.tile(np.arange(8) >= 5, 30)
    names = [f"P{number // 8:02d}_{number:04d}" for number in range(240)]
    assert ask(*divide(is_test, names, images)) is not None


def compare(cases_, images, hits):
    """Each case is claimed by so many images, of which some show it, the others one of the other cases each."""
    claimed, number = np.divmod(np.arange(cases_ * images), images)
    seen = np.where(number < hits, claimed, (claimed + number) % cases_)
    return known._compare(seen, claimed, np.arange(cases_), np.zeros(cases_, int))


def test_what_shuffled_names_reach_is_chance():
    assert compare(4, 1, 1)[::2] == (1, False)
    assert compare(10, 1, 1)[::2] == (1, True)


def test_a_little_more_than_chance_is_not_enough():
    alike, chance, far = compare(40, 20, 2)
    assert (alike, far) == (0.1, False)
    assert chance == pytest.approx(1 / 40, abs=0.002)
    assert compare(40, 20, 3)[::2] == (0.15, True)


def test_two_eyes_of_which_one_is_in_test_are_told():
    rng = np.random.default_rng(0)
    names = [f"{person:03d}_{side}" for person in range(80) for side in ("left", "right")]
    found = ask(*divide(draw_some(rng, 160), names, scan(rng, 80, 2)))
    assert found.alike > 0.9


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("strength", [20, 60])
def test_patients_that_are_numbered_anew_are_not_taken_for_those_of_train(seed, strength):
    rng = np.random.default_rng(seed)
    train, test = (
        np.concatenate([draw(rng, 8, like=patient, strength=strength) for patient in draw(rng, count)])
        for count in (30, 12)
    )
    running = [f"P{number // 8:02d}_{number + 500}" for number in range(96)]  # no name that Train has as well
    for names in (name_all("P{:02d}_{:d}", 12, 8), running):
        assert ask(name_all("P{:02d}_{:d}", 30, 8), train, names, test) is None


@pytest.mark.parametrize(("hospitals", "patients"), [(2, 15), (12, 7), (20, 3)])
@pytest.mark.parametrize("first", [0, 3])
def test_hospitals_that_train_and_test_share_are_no_patients(hospitals, patients, first):
    train, test = scan_hospitals(np.random.default_rng(0), hospitals, patients, 4)
    names = name_all("H{:02d}_{:d}_{:d}", hospitals, patients, 4)
    others = [f"{name[:-1]}{int(name[-1]) + first}" for name in names]
    assert ask(names, train, others, test) is None


def test_a_number_of_hospital_and_patient_does_not_hide_that_they_are_others():
    train, test = scan_hospitals(np.random.default_rng(0), 6, 9, 4)
    names, others = name_all("{:d}{:d}_{:d}", 6, 9, 4), [f"{name}{name[-1]}" for name in name_all("{}{}_{}", 6, 9, 4)]
    assert find_cases(names, train).sure
    assert ask(names, train, others, test) is None


def test_patients_of_two_hospitals_that_lie_in_both_parts_are_told():
    rng = np.random.default_rng(0)
    images = scan_hospitals(rng, 2, 15, 6)[0]
    found = ask(*divide(draw_some(rng, 180), name_all("H{:02d}_{:d}_{:d}", 2, 15, 6), images))
    assert found.alike > 0.95
    assert found.chance == pytest.approx(1 / 15, abs=0.01)  # of the patients of its hospital


def test_kinds_called_by_words_are_no_patients():
    rng = np.random.default_rng(0)
    images, is_test = scan(rng, 14, 14), draw_some(rng, 196)
    words = [f"{letter * 5}_{number}" for letter in "abcdefghijklmn" for number in range(14)]
    assert find_cases(np.array(words)[~is_test], images[~is_test]).sure
    assert ask(*divide(is_test, words, images)) is None
    assert ask(*divide(is_test, name_all("{:d}_{:d}", 14, 14), images)) is not None


@pytest.mark.parametrize("first", [0, 20])
def test_levels_that_all_patients_have_are_no_patients(first):
    rng = np.random.default_rng(0)
    levels = draw(rng, 12)
    train, test = (
        np.concatenate([draw(rng, count, like=level, strength=20) for level in levels]) for count in (20, 10)
    )
    names = name_all("slice{:02d}_P{:d}", 12, 20)
    others = [f"slice{level:02d}_P{patient + first}" for level in range(12) for patient in range(10)]
    assert find_cases(names, train).sure
    assert ask(names, train, others, test) is None


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("cut", [True, False])
def test_films_that_are_cut_between_the_parts_are_told(seed, cut):
    rng = np.random.default_rng(seed)
    is_test = np.tile(np.arange(8) >= 5, 30) if cut else draw_some(rng, 240)
    found = ask(*divide(is_test, name_all("{:03d}", 240), take_films(rng, 30, 8)))
    assert found.kind == "numbers"
    assert found.images == is_test.sum()
    assert found.alike > 0.6
    assert found.chance == pytest.approx(1 / 30, abs=0.02)
    assert abs(int(found.test_path[:3]) - int(found.train_path[:3])) < 8


@pytest.mark.parametrize("seed", range(5))
def test_films_that_lie_in_one_part_each_are_not_told(seed):
    rng = np.random.default_rng(seed)
    is_test = np.repeat(np.arange(40) % 4 == 1, 8)
    assert ask(*divide(is_test, name_all("{:03d}", 320), take_films(rng, 40, 8))) is None
    assert ask(*divide(np.arange(160) > 123, name_all("{:03d}", 160), take_films(rng, 20, 8))) is None  # one is cut


@pytest.mark.parametrize("step", [1, 2])
def test_films_that_are_numbered_anew_are_not_told(step):
    rng = np.random.default_rng(0)
    train, test = take_films(rng, 30, 8), take_films(rng, 10, 8)
    train_ids = [f"{2 * number:03d}" for number in range(240)]
    assert ask(train_ids, train, [f"{step * number + step - 1:03d}" for number in range(80)], test) is None


def test_a_frame_whose_number_train_has_as_well_is_none_of_its_films():
    own, names = np.array([0, 0, 1]), np.array(["a1", "a3"], dtype=object)
    test_ids = ["a2", "a03", "a04", "b2", "none", "a9"]
    claimed, strata = known._claim_films(None, own, names, ["a1", "a2.", "a3"], test_ids)
    assert claimed.tolist() == [-1, -1, 1, -1, -1, 1]
    assert strata.tolist() == [0, 0]


def test_a_frame_is_of_the_film_of_the_nearest_number_a_few_places_away():
    train_ids = [f"{number}" for number in (1, 2, 11, 12)]
    test_ids = [f"{number}" for number in range(3, 11)] + [f"{number}" for number in range(13, 20)]
    own, names = np.array([0, 0, 1, 1]), np.array(["1", "11"], dtype=object)
    claimed, _ = known._claim_films(None, own, names, train_ids, test_ids)
    assert claimed.tolist() == [0] * 4 + [1] * 4 + [1] * 5 + [-1] * 2


def test_nothing_is_said_where_cases_are_not_sure_or_test_is_empty():
    images = scan(np.random.default_rng(0), 9, 8)
    assert ask(*divide(draw_some(np.random.default_rng(1), 72), name_all("P{:02d}_{:d}", 9, 8), images)) is None
    images = scan(np.random.default_rng(0), 12, 4)
    assert ask(name_all("P{:02d}_{:d}", 12, 4), images, [], images[:0]) is None
    assert ask(name_all("P{:02d}_{:d}", 12, 4), images, ["Q1", "x", "Q2_7"], images[:3]) is None
    assert find_known(None, Images([], [], []), Images([], [], [])) is None


def test_large_sets_are_judged_by_some_of_their_images(monkeypatch):
    rng = np.random.default_rng(0)
    parts = divide(draw_some(rng, 480), name_all("P{:02d}_{:d}", 60, 8), scan(rng, 60, 8))
    monkeypatch.setattr(known, "LOOKED_AT", 90)
    compared = []
    find_nearest = known._find_nearest
    monkeypatch.setattr(
        known, "_find_nearest", lambda *given: compared.append(tuple(map(len, given))) or find_nearest(*given)
    )
    monkeypatch.setattr(known, "BLOCK", 7)
    found = ask(*parts)
    assert found.alike == 1
    assert found.images == len(parts[2])
    assert all(max(sizes) <= 90 for sizes in compared)
    assert len(compared) == 1


def test_cases_that_test_shares_come_first_where_not_all_can_be_compared(monkeypatch):
    monkeypatch.setattr(known, "LOOKED_AT", 90)
    patient, number = np.divmod(np.arange(60 * 8), 8)
    is_test = (patient % 10 == 3) & (number >= 5)
    assert ask(*divide(is_test, name_all("P{:02d}_{:d}", 60, 8), scan(np.random.default_rng(0), 60, 8))) is not None


def test_the_nearest_look_is_not_the_longest():
    looks = np.array([[0, 0], [9, 9], [90, 90]], np.float32)
    nearest, distance = known._find_nearest(looks, np.array([[8, 8], [60, 60], [1, 0]], np.float32))
    assert nearest.tolist() == [1, 2, 0]
    assert distance == pytest.approx([2, 1800, 1], abs=0.01)


def test_what_is_found_of_films_is_described_as_such():
    found = Known("numbers", 9, 0.834, 0.0361, "/a/Test/Image/018.png", "/a/Train/Image/017.png")
    assert describe_known(found, 12) == (
        "seems to show films or stacks of Train: 9 of 12 images stand near its images by their numbers, such as "
        "018.png near Train/Image/017.png; for 83 % the training image most like them is of that film, by chance "
        "for 3.6 %"
    )
