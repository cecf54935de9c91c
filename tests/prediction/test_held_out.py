import numpy as np
import pandas as pd
import pytest
import torch
from networks import Brightness, Constant

from seglib.config import make_config
from seglib.data.samples import list_samples
from seglib.errors import InputError
from seglib.images.reading import image_size
from seglib.prediction.held_out import join_held_out, predict_held_out, read_held_out, read_member_maps
from seglib.prediction.probabilities import predict_probabilities


@pytest.fixture
def config():
    return make_config(image_size=64, in_channels=3, white=255, batch_size=3)


def test_every_sample_is_predicted_by_the_members_that_held_it_out(phantoms, config, tmp_path):
    samples = list_samples(phantoms)[:9].assign(fold=[0, 1, 2, 2, 1, 0, 0, 2, 1])
    members = [(Constant(float(fold)), make_config(**{**vars(config), "folds": 3, "fold": fold})) for fold in range(3)]
    predict_held_out(members, samples, tmp_path / "held_out.npy")
    sizes = [image_size(path) for path in samples["image_path"]]
    maps = list(read_held_out([tmp_path / "held_out.npy"], sizes))
    assert [map_.shape for map_ in maps] == sizes
    found = [float(map_.mean()) for map_ in maps]
    assert found == pytest.approx(torch.sigmoid(torch.tensor(samples["fold"].to_numpy()).float()).tolist(), abs=1e-3)
    assert [path.name for path in tmp_path.iterdir()] == ["held_out.npy"]


def test_members_of_several_sizes_are_kept_at_the_largest(phantoms, config, tmp_path):
    samples = list_samples(phantoms)[:2].assign(fold=0)
    other = make_config(**{**vars(config), "image_size": 96})
    predict_held_out([(Constant(-100.0), config), (Constant(0.0), other)], samples, tmp_path / "held_out.npy")
    kept = np.load(tmp_path / "held_out.npy")
    assert kept.shape == (2, 96, 96)
    assert (kept == 0.25).all()


def test_a_kept_map_and_a_fresh_one_are_the_same_to_the_last_bit(phantoms, config, tmp_path):
    samples = list_samples(phantoms)[:5].assign(fold=0)
    predict_held_out([(Brightness(), config)], samples, tmp_path / "held_out.npy")
    fresh = predict_probabilities([(Brightness(), config)], samples["image_path"])
    sizes = [image_size(path) for path in samples["image_path"]]
    for one, other in zip(read_held_out([tmp_path / "held_out.npy"], sizes), fresh, strict=True):
        assert np.array_equal(one, other)


def test_maps_that_could_not_all_be_made_leave_no_file(phantoms, config, tmp_path):
    samples = list_samples(phantoms)[:3].assign(fold=0)
    (tmp_path / "broken.png").touch()
    samples.loc[2, "image_path"] = str(tmp_path / "broken.png")
    with pytest.raises(InputError, match="broken.png"):
        predict_held_out([(Brightness(), config)], samples, tmp_path / "held_out.npy")
    assert [path.name for path in tmp_path.iterdir()] == ["broken.png"]


def test_the_kept_maps_of_an_ensemble_are_averaged_whatever_their_sizes(phantoms, config, tmp_path):
    samples = list_samples(phantoms)[:3].assign(fold=0)
    for name, logit, size in (("a", -100.0, 64), ("b", 0.0, 96)):
        member = (Constant(logit), make_config(**{**vars(config), "image_size": size}))
        predict_held_out([member], samples, tmp_path / f"{name}.npy")
    sizes = [image_size(path) for path in samples["image_path"]]
    kept = [tmp_path / "a.npy", tmp_path / "b.npy"]
    for map_ in read_held_out(kept, sizes):
        assert np.allclose(map_, 0.25)
    for maps, size in zip(read_member_maps(kept, sizes[1:], rows=[1, 2]), sizes[1:], strict=True):
        assert maps.shape == (2, *size)
        assert maps.mean(axis=(1, 2)).tolist() == [0, 0.5]


def test_kept_maps_of_other_samples_or_none_are_refused(phantoms, config, tmp_path):
    samples = list_samples(phantoms)[:3].assign(fold=0)
    predict_held_out([(Constant(0.0), config)], samples, tmp_path / "a.npy")
    with pytest.raises(InputError, match=r"a\.npy holds 3 maps and not 2"):
        next(read_held_out([tmp_path / "a.npy"], [(5, 5)] * 2))
    with pytest.raises(InputError, match=r"b\.npy is missing"):
        next(read_held_out([tmp_path / "b.npy"], [(5, 5)] * 2))


def test_kept_maps_that_were_copied_in_part_are_refused(tmp_path):
    np.save(tmp_path / "whole.npy", np.zeros((2, 64, 64), np.float16))
    whole = (tmp_path / "whole.npy").read_bytes()
    for size in (0, 5, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / "a.npy").write_bytes(whole[:size])
        with pytest.raises(InputError, match=r"a\.npy is damaged; run 04_evaluation of that run again"):
            next(read_held_out([tmp_path / "a.npy"], [(5, 5)] * 2))


def test_the_folds_that_runs_kept_apart_join_to_what_one_run_would_have_kept(phantoms, config, tmp_path):
    samples = list_samples(phantoms)[:9].assign(fold=[0, 1, 2, 2, 1, 0, 0, 2, 1])
    members = [(Brightness(), make_config(**{**vars(config), "fold": fold})) for fold in range(3)]
    predict_held_out(members, samples, tmp_path / "whole.npy")
    for fold, member in enumerate(members):
        predict_held_out([member], samples[samples["fold"] == fold], tmp_path / f"{fold}.npy")
    paths = {fold: tmp_path / f"{fold}.npy" for fold in (2, 0, 1)}
    join_held_out(paths, samples["fold"], tmp_path / "joined.npy")
    assert np.array_equal(np.load(tmp_path / "joined.npy"), np.load(tmp_path / "whole.npy"))


def test_folds_of_several_sizes_join_at_the_largest(phantoms, config, tmp_path):
    samples = list_samples(phantoms)[:2].assign(fold=[1, 0])
    for fold, size in ((0, 64), (1, 96)):
        member = (Constant(float(fold)), make_config(**{**vars(config), "image_size": size, "fold": fold}))
        predict_held_out([member], samples[samples["fold"] == fold], tmp_path / f"{fold}.npy")
    join_held_out({fold: tmp_path / f"{fold}.npy" for fold in (0, 1)}, samples["fold"], tmp_path / "joined.npy")
    kept = np.load(tmp_path / "joined.npy")
    assert kept.shape == (2, 96, 96)
    assert kept[:, 0, 0].tolist() == pytest.approx([torch.tensor(1.0).sigmoid().item(), 0.5], abs=1e-3)


def test_folds_that_are_not_all_there_or_of_other_images_do_not_join(phantoms, config, tmp_path):
    samples = list_samples(phantoms)[:3].assign(fold=0)
    predict_held_out([(Constant(0.0), config)], samples, tmp_path / "a.npy")
    paths = {0: tmp_path / "a.npy", 1: tmp_path / "b.npy"}
    with pytest.raises(InputError, match=r"b\.npy is missing"):
        join_held_out(paths, pd.Series([0, 0, 0, 1]), tmp_path / "joined.npy")
    with pytest.raises(InputError, match=r"a\.npy holds 3 maps and not 2"):
        join_held_out({0: tmp_path / "a.npy", 1: tmp_path / "a.npy"}, pd.Series([0, 0, 1, 1]), tmp_path / "joined.npy")
    assert not list(tmp_path.glob("*joined*"))
