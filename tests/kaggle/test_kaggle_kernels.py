import pytest

from seglib.errors import InputError
from seglib.kaggle.kernels import check_names, describe_kernel, plan_kernels
from seglib.runs.notebooks import NOTEBOOKS

WHO = {"owner": "me-too", "name": "isic-best"}


def reads(kernels):
    return {kernel.folder: kernel.follows and kernel.follows.folder for kernel in kernels}


def test_kernels_of_a_trained_run_wait_for_nothing():
    kernels = plan_kernels(NOTEBOOKS, trained=True, parts=1, **WHO)
    assert reads(kernels) == dict.fromkeys(NOTEBOOKS)


def test_kernels_of_a_run_to_be_trained_read_what_the_ones_before_them_left():
    kernels = plan_kernels(NOTEBOOKS, trained=False, parts=3, **WHO)
    assert reads(kernels) == {
        "01_eda": None,
        "02_training": None,
        "02_training-2": "02_training",
        "02_training-3": "02_training-2",
        "03_loss_curves": "02_training-3",
        "04_evaluation": "02_training-3",
        "05_submission": "04_evaluation",
    }
    straight = plan_kernels(["02_training", "05_submission"], trained=False, parts=1, **WHO)
    assert reads(straight) == {"02_training": None, "05_submission": "02_training"}


def test_the_slug_of_a_kernel_is_its_title():
    slugify = pytest.importorskip("slugify").slugify  # what the client compares with
    for kernel in plan_kernels(NOTEBOOKS, trained=False, parts=2, **WHO):
        assert kernel.id == f"me-too/{slugify(kernel.title)}"
        assert 5 <= len(kernel.title) <= 50


def test_every_key_is_written_out():
    kernels = plan_kernels(["02_training", "05_submission"], trained=False, parts=1, **WHO)
    assert describe_kernel(kernels[1], datasets=["me-too/a", "b/c"], competition="contest") == {
        "id": "me-too/seglib-isic-best-05-submission",
        "title": "seglib isic-best 05 submission",
        "code_file": "05_submission.ipynb",
        "language": "python",
        "kernel_type": "notebook",
        "is_private": True,
        "enable_gpu": True,
        "enable_tpu": False,
        "enable_internet": False,
        "machine_shape": "NvidiaTeslaT4",
        "docker_image_pinning_type": "original",
        "docker_image": None,
        "keywords": [],
        "dataset_sources": ["me-too/a", "b/c"],
        "competition_sources": ["contest"],
        "kernel_sources": ["me-too/seglib-isic-best-02-training"],
        "model_sources": [],
    }
    assert describe_kernel(kernels[0], datasets=[], competition=None)["competition_sources"] == []


def test_a_title_that_is_too_long_is_refused_before_anything_is_sent():
    with pytest.raises(InputError, match="has more than 50 characters, Kaggle's limit; give a shorter --name"):
        plan_kernels(NOTEBOOKS, owner="me", name="a" * 30, trained=True, parts=1)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"owner": "a/b"}, "'a/b' is no name of an owner"),
        ({"owner": "me"}, "'me' is no name of an owner"),
        ({"name": "My run"}, "'My run' cannot stand in an address"),
        ({"name": "a--b"}, "'a--b' cannot stand"),
        ({"name": ""}, "'' cannot stand"),
        ({"competition": None, "datasets": []}, "no images are attached; name them with --competition"),
        ({"competition": "https://www.kaggle.com/c/x"}, "is no competition's slug; give the last part"),
        ({"datasets": ["images"]}, "'images' is no data set of Kaggle; write OWNER/SLUG"),
        ({"datasets": ["you/ab"]}, "'you/ab' is no data set"),
    ],
)
def test_names_that_kaggle_would_refuse_are_refused_here(changed, words):
    fine = {"owner": "me-too", "name": "isic-best", "competition": "2425-contest", "datasets": ["you/images"]}
    check_names(**fine)
    check_names(**fine | {"competition": None})
    with pytest.raises(InputError, match=words):
        check_names(**fine | changed)
