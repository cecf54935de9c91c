import tracemalloc

import numpy as np
import pytest
import torch
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F  # noqa: N812
from torchmetrics.functional.classification import binary_calibration_error

from seglib.scores.calibration import (
    CELLS,
    DEFINITIONS,
    EPSILON,
    GRID,
    TITLES,
    calibration_error,
    count_bins,
    cross_entropy_loss,
    cross_fit_calibration,
    cross_fit_pairs,
    describe_pair,
    fit_temperature,
    logit_histogram,
    summarise_calibration,
    tabulate_calibration,
)
from seglib.scores.metrics import boundary_band


def make_map(rng, *, temperature, size=(60, 80), offset=0.0):
    """A map in half precision, its logits ``temperature`` times the true ones, and a mask drawn from the truth."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    far = size[0] / 3 - np.hypot(rows - size[0] / 2, columns - size[1] / 2)
    truth = 0.2 * far + rng.normal(size=size)
    mask = (rng.random(size) < expit(truth)).astype(np.uint8)
    return expit(temperature * truth + offset).astype(np.float16).astype(np.float32), mask


def make_maps(count, **how):
    rng = np.random.default_rng(0)
    return [make_map(rng, **how) for _ in range(count)]


def sum_histograms(maps):
    return sum(logit_histogram(probability, mask).astype(float) for probability, mask in maps)


def logits_of(probability):
    clipped = np.clip(probability.astype(float), EPSILON, 1 - EPSILON)
    return np.log(clipped / (1 - clipped))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_error_agrees_with_that_of_torchmetrics_on_the_pixels_themselves(temperature):
    maps = make_maps(8, temperature=temperature, offset=0.3)
    p, t = (torch.from_numpy(np.stack(part)).flatten() for part in zip(*maps, strict=True))
    ours = calibration_error(count_bins(sum_histograms(maps)))
    assert ours == pytest.approx(binary_calibration_error(p, t.int(), n_bins=20).item(), abs=0.001)


def test_the_error_by_hand():
    probability, mask = np.array([[0.125, 0.125, 0.625, 0.625]]), np.array([[0, 1, 1, 1]])
    counts = count_bins(logit_histogram(probability, mask), bins=4)
    assert counts == pytest.approx(np.array([[0.5, 0.0625, 0.25], [0, 0, 0], [0.5, 0.3125, 0.5], [0, 0, 0]]), abs=0.001)
    assert calibration_error(counts) == pytest.approx(0.1875 + 0.1875, abs=0.002)


def test_errors_in_opposite_directions_in_different_bins_do_not_cancel():
    probability, mask = np.array([[0.25] * 4 + [0.75] * 4]), np.array([[1] * 4 + [0] * 4])
    assert calibration_error(count_bins(logit_histogram(probability, mask))) == pytest.approx(0.75, abs=0.002)


def test_every_image_weighs_the_same_whatever_the_size_of_its_file():
    right = np.full((100, 100), 1.0), np.ones((100, 100), np.uint8)
    wrong = np.full((2, 2), 1.0), np.zeros((2, 2), np.uint8)
    assert calibration_error(count_bins(sum_histograms([right, wrong]))) == pytest.approx(0.5, abs=0.001)


def test_rounding_moves_a_probability_by_two_thousandths_at_most():
    probability = np.linspace(0, 1, 20001)[None]
    moved = []
    for part in np.array_split(probability, 2001, axis=1):
        histogram = logit_histogram(part, np.zeros(part.shape, np.uint8))
        moved.append(histogram[:, 0] @ expit(GRID) - part.mean())
    assert np.abs(moved).max() < 0.0018
    ends = logit_histogram(np.array([[0.0, 1.0]]), np.array([[0, 1]]))
    assert expit(GRID[np.flatnonzero(ends[:, 0])]) == pytest.approx([EPSILON, 1 - EPSILON])


def test_no_cell_holds_both_sides_of_a_half():
    half = np.float32(0.5)
    around = np.array([[np.nextafter(half, np.float32(0)), half, np.nextafter(half, np.float32(1))]])
    for number, cell in enumerate((CELLS // 2 - 1, CELLS // 2, CELLS // 2)):
        histogram = logit_histogram(around[:, number : number + 1], np.ones((1, 1), np.uint8))
        assert np.flatnonzero(histogram[:, 0]).tolist() in ([cell], [CELLS // 2])
    below = logit_histogram(np.array([[0.4999]]), np.ones((1, 1), np.uint8))
    assert np.flatnonzero(below[:, 0]).tolist() == [CELLS // 2 - 1]


def test_only_the_pixels_of_the_band_are_counted_and_an_empty_band_counts_nothing():
    (probability, mask), *_ = make_maps(1, temperature=2.0)
    band = boundary_band((probability > 0.5).astype(np.uint8))
    wanted = logit_histogram(probability[band][None], mask[band][None])
    assert np.array_equal(logit_histogram(probability, mask, band=band), wanted)
    assert wanted.sum(axis=0, dtype=float) == pytest.approx([1, mask[band].mean()])
    assert not logit_histogram(probability, mask, band=np.zeros_like(band)).any()


def test_cross_entropy_agrees_with_that_of_the_pixels():
    maps = make_maps(4, temperature=2.0)
    logits, mask = (np.stack(part) for part in zip(*[(logits_of(p), t) for p, t in maps], strict=True))
    for temperature in (0.5, 1.0, 3.0):
        exact = F.binary_cross_entropy_with_logits(torch.tensor(logits) / temperature, torch.tensor(mask).double())
        ours = cross_entropy_loss(sum_histograms(maps), temperature=temperature)
        assert ours == pytest.approx(exact.item(), rel=0.001)


@pytest.mark.parametrize("temperature", [0.6, 1.0, 1.7, 3.0])
def test_a_planted_temperature_is_found_again(temperature):
    maps = make_maps(10, temperature=temperature, size=(120, 160))
    # half precision takes certain foreground for more certain still, the clip for less: neither weighs much
    assert fit_temperature(sum_histograms(maps)) == pytest.approx(temperature, rel=0.05)


def test_the_temperature_agrees_with_every_one_tried_and_with_a_regression_of_scikit_learn():
    maps = make_maps(6, temperature=2.0, offset=0.4)
    found = fit_temperature(sum_histograms(maps))
    logits, mask = (np.stack(part).ravel() for part in zip(*[(logits_of(p), t) for p, t in maps], strict=True))
    tried = np.linspace(1, 3, 401)
    losses = [np.mean(np.logaddexp(0, logits / t) - mask * logits / t) for t in tried]
    assert found == pytest.approx(tried[np.argmin(losses)], rel=0.01)
    slope = LogisticRegression(C=np.inf, fit_intercept=False).fit(logits[:, None], mask).coef_.item()
    assert found == pytest.approx(1 / slope, rel=0.01)


def test_a_temperature_outside_the_bounds_ends_at_them():
    certain = logit_histogram(np.array([[0.4, 0.6]]), np.array([[0, 1]]))
    backward = logit_histogram(np.array([[0.1, 0.9]]), np.array([[1, 0]]))
    assert fit_temperature(certain) == pytest.approx(0.05, rel=0.01)
    assert fit_temperature(backward) == pytest.approx(20, rel=0.01)


def test_a_table_at_a_temperature_is_the_table_of_the_maps_changed_by_it():
    (probability, mask), *_ = make_maps(1, temperature=2.5)
    ours = count_bins(logit_histogram(probability, mask), temperature=2.5)
    changed = expit(logits_of(probability) / 2.5).ravel()
    columns = (np.ones(changed.size), changed, mask.ravel().astype(float))
    exact = np.stack([np.histogram(changed, 20, (0, 1), weights=column)[0] for column in columns], axis=1)
    # pixels that lie on the end of a bin may be rounded over it, so sums from below are compared
    assert ours.cumsum(axis=0) == pytest.approx(exact.cumsum(axis=0) / changed.size, abs=0.005)
    assert ours.sum(axis=0) == pytest.approx(exact.sum(axis=0) / changed.size, abs=0.0005)


def test_a_fold_does_not_move_its_own_temperature_and_moves_the_others():
    histograms = [logit_histogram(*pair) for pair in make_maps(6, temperature=2.0)]
    folds = [0, 1, 2, 0, 1, 2]
    other = [logit_histogram(*pair) for pair in make_maps(6, temperature=0.5)]
    plain = cross_fit_calibration(histograms, folds)["fold_temperatures"]
    mixed = [mine if fold else theirs for mine, theirs, fold in zip(histograms, other, folds, strict=True)]
    changed = cross_fit_calibration(mixed, folds)["fold_temperatures"]
    assert changed[0] == plain[0]
    assert changed[1] < 0.9 * plain[1]
    assert plain[0] == fit_temperature(sum(h.astype(float) for h, fold in zip(histograms, folds, strict=True) if fold))


def test_overconfident_maps_are_calibrated_by_the_temperature_of_the_others():
    maps = make_maps(10, temperature=2.5)
    bands = [boundary_band((probability > 0.5).astype(np.uint8)) for probability, _ in maps]
    histograms = [logit_histogram(probability, mask) for probability, mask in maps]
    facts = cross_fit_calibration(iter(histograms), np.arange(10) % 5)
    assert facts["temperature"] == pytest.approx(2.5, rel=0.05)
    assert facts["ece_after"] < 0.3 * facts["ece_before"]
    assert facts["ece_before"] == calibration_error(facts["before"])
    assert facts["before"] == pytest.approx(count_bins(sum_histograms(maps)))
    assert facts["ece_after"] == calibration_error(facts["after"])
    assert facts["after"].sum(axis=0)[[0, 2]] == pytest.approx(facts["before"].sum(axis=0)[[0, 2]])
    measured = (logit_histogram(*pair, band=band) for pair, band in zip(maps, bands, strict=True))
    banded = cross_fit_calibration(histograms, np.arange(10) % 5, measured=measured)
    assert all(banded[name] == facts[name] for name in ("temperature", "fold_temperatures"))
    assert facts["ece_before"] < banded["ece_before"]  # the easy background hides what is wrong at the edge
    assert banded["ece_after"] < banded["ece_before"]
    summary = summarise_calibration(facts, banded)
    assert set(DEFINITIONS) == set(TITLES) == set(summary)
    rows = tabulate_calibration(summary | {"dice_mean": 0.5})
    assert rows["score"].tolist() == [*TITLES.values()]
    assert rows.loc["temperature", "value"] == f"{facts['temperature']:.4f}"
    assert rows.loc["temperature", "meaning"] == DEFINITIONS["temperature"]


def test_what_cannot_be_counted_is_refused():
    mask = np.ones((2, 2), np.uint8)
    with pytest.raises(ValueError, match=r"\(2, 1\) and mask or band \(2, 2\) differ"):
        logit_histogram(np.ones((2, 1)), mask)
    with pytest.raises(ValueError, match=r"\(2, 2\) and mask or band \(1, 2\) differ"):
        logit_histogram(np.ones((2, 2)), mask, band=np.ones((1, 2), bool))
    for value in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match=r"leaves \[0, 1\]"):
            logit_histogram(np.array([[0.5, value]]), np.ones((1, 2), np.uint8))
    for measure in (cross_entropy_loss, fit_temperature, lambda nothing: calibration_error(count_bins(nothing))):
        with pytest.raises(ValueError, match="no pixels"):
            measure(np.zeros((CELLS, 2)))
    with pytest.raises(ValueError, match="shorter"):
        cross_fit_calibration([logit_histogram(np.ones((2, 2)), mask)] * 2, [1])


def test_one_fold_alone_keeps_its_temperature_and_no_pixels_are_no_number():
    whole, band = describe_pair(np.full((4, 4), 0.8), np.zeros((4, 4), np.uint8))  # an empty reference has no edge
    facts = cross_fit_calibration([whole] * 2, [3, 3])
    assert facts["fold_temperatures"] == {3: 1.0}
    assert facts["ece_before"] == facts["ece_after"] == pytest.approx(0.8, abs=1e-3)
    edges = cross_fit_calibration([whole] * 2, [3, 3], measured=[band] * 2)
    assert np.isnan(edges["ece_before"])
    assert set(summarise_calibration(facts, edges)) == {"temperature", "ece_before", "ece_after"}


def test_a_pair_is_described_whole_and_round_its_edge():
    mask = np.zeros((100, 100), np.uint8)
    mask[30:70, 30:70] = 1
    whole, band = describe_pair(np.where(mask, 0.9, 0.2), mask)
    assert whole[:, 1].sum() == pytest.approx(0.16, abs=1e-6)
    assert 0.3 < band[:, 1].sum() < 0.7


def test_pairs_are_calibrated_in_one_pass_as_their_histograms_are():
    maps, folds = make_maps(10, temperature=2.0, offset=0.3), np.arange(10) % 5
    whole, bands = zip(*(describe_pair(*pair) for pair in maps), strict=True)
    found = cross_fit_pairs(iter(maps), folds)
    for facts, part in zip(found, (whole, bands), strict=True):
        wanted = cross_fit_calibration(whole, folds, measured=part)
        assert facts["fold_temperatures"] == pytest.approx(wanted["fold_temperatures"])
        for name in ("temperature", "ece_before", "ece_after"):
            assert facts[name] == pytest.approx(wanted[name])
        np.testing.assert_allclose(facts["after"], wanted["after"])
    with pytest.raises(ValueError, match="shorter"):
        cross_fit_pairs(maps, folds[:9])


def test_memory_does_not_grow_with_the_pairs_that_are_calibrated():
    rng, peaks = np.random.default_rng(0), []
    for count in (50, 500):
        pairs = ((rng.random((4, 4)), np.eye(4, dtype=np.uint8)) for _ in range(count))
        tracemalloc.start()
        cross_fit_pairs(pairs, np.arange(count) % 5)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 1e6  # the histograms of 450 more would take 14 MB


def test_what_a_temperature_says_comes_before_how_it_is_computed():
    assert DEFINITIONS["temperature"].startswith(
        "Above 1 the network is too sure of itself, below 1 too careful, and 1 "
    )
