import dataclasses
import re

import pytest

from seglib.config import LOSSES, PRESETS, Config, find_difference, make_config, parse_loss
from seglib.errors import InputError
from seglib.training import losses


def test_the_default_is_the_recipe_of_the_seed():
    config = make_config()
    assert config == Config() == make_config("baseline")
    assert (config.architecture, config.batch_size, config.image_size, config.epochs) == ("plain", 16, 320, 150)
    assert (config.optimizer, config.learning_rate, config.loss) == ("adam", 1e-4, "bce_dice")
    assert (config.schedule, config.lr_patience, config.stop_patience) == ("plateau", 3, 10)


def test_resnet34_differs_from_the_recipe_in_its_network_only():
    ours, seed = dataclasses.asdict(make_config("resnet34")), dataclasses.asdict(Config())
    assert {name for name in ours if ours[name] != seed[name]} == {"architecture", "encoder", "encoder_weights"}


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_can_be_made(preset):
    assert isinstance(make_config(preset), Config)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("learning_rate", "1e-4", 1e-4),  # YAML leaves this one a text
        ("epochs", "5", 5),
        ("epochs", 5.0, 5),
        ("rle_by_rows", "false", False),
        ("compile", "true", True),
        ("in_channels", "1", 1),
        ("in_channels", "none", None),
        ("white", "4095", 4095.0),
    ],
)
def test_text_becomes_what_the_field_wants(name, text, value):
    found = getattr(make_config(**{name: text}), name)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"epoch": 5}, "did you mean epochs?"),
        ({"qqq": 5}, "choose from"),
        ({"epochs": "many"}, "epochs='many' is not a whole number"),
        ({"epochs": 2.5}, "whole number"),
        ({"epochs": True}, "whole number"),
        ({"learning_rate": "fast"}, "is not a number"),
        ({"rle_by_rows": "maybe"}, "true or false"),
        ({"augment": "false"}, "one of none, standard, strong"),
        ({"loss": "0.5*bce + dise"}, "no loss 'dise'; did you mean dice?"),
        ({"loss": ""}, "there is no loss ''"),
        ({"loss": "-1*bce"}, "WEIGHT*NAME"),
        ({"loss": "x*bce"}, "WEIGHT*NAME"),
        ({"loss": "inf*bce"}, "WEIGHT*NAME"),
        ({"folds": 3, "fold": 3}, "below the number of folds, which is 3"),
        ({"fold": 5}, "below the number of folds, which is 5"),
        ({"epochs": 0}, "from 1 to"),
        ({"image_size": 100}, "a multiple of 16"),
        ({"norm": "layer"}, "one of none, batch, instance"),
        ({"tta": 3}, "one of 1, 2, 4, 8"),
        ({"tta": 4, "symmetries": 2}, "tta=4 cannot be; it must be at most symmetries, which is 2"),
        ({"symmetries": 3}, "one of 0, 1, 2, 4, 8"),
        ({"tta": 0}, "one of 1, 2, 4, 8"),
        ({"tile": 100}, "tile=100 cannot be; it must be a multiple of 16"),
        ({"tile": -16}, "tile=-16 cannot be; it must be from 0 to 4096"),
        ({"ema_decay": 1.5}, "from 0 to 0.99999"),
        ({"learning_rate": float("nan")}, "from 1e-08 to 10"),
        ({"architecture": "Unet"}, "architecture='Unet' needs an encoder; add one, such as encoder=resnet34, or take"),
        ({"architecture": "pan", "image_size": 48}, "architecture='pan' needs an encoder"),
        (
            {"architecture": "Foo", "image_size": 48},
            "there is no architecture 'Foo'; choose from plain, Unet, UnetPlus",
        ),
        ({"architecture": "Unett"}, "there is no architecture 'Unett'; did you mean Unet?"),
        ({"architecture": "Plain"}, "there is no architecture 'Plain'; did you mean plain?"),
        ({"min_steps": 9, "max_steps": 3}, "at most max_steps"),
        (
            {"batch_size": 16, "accumulate": 3},
            "accumulate=3 cannot be; it must be a divisor of batch_size, which is 16",
        ),
        ({"accumulate": -1}, "accumulate=-1 cannot be; it must be from 0 to"),
    ],
)
def test_what_cannot_be_is_refused_in_words(settings, words):
    with pytest.raises(InputError, match=re.escape(words)):
        make_config(**settings)


@pytest.mark.parametrize(
    ("preset", "settings", "words"),
    [
        (
            "baseline",
            {"encoder": "resnet34"},
            "encoder='resnet34' does nothing in architecture=plain; set architecture",
        ),
        ("baseline", {"encoder_weights": "package"}, "encoder_weights='package' does nothing in architecture=plain;"),
        ("quick", {"norm": "batch"}, "norm='batch' does nothing in architecture=Unet; set architecture too, or leave"),
        ("quick", {"width": "8"}, "width=8 does nothing in architecture=Unet; set architecture too, or leave it out"),
    ],
)
def test_what_would_do_nothing_is_refused_unless_the_architecture_was_chosen(preset, settings, words):
    with pytest.raises(InputError, match=re.escape(words)):
        make_config(preset, **settings)
    for architecture in ("plain", "Unet"):  # as in a grid of both
        make_config(preset, **{"architecture": architecture, "encoder": "resnet34"} | settings)
    assert make_config("baseline", encoder_weights="none") == make_config("baseline")


def test_a_misspelt_preset_names_the_near_miss():
    with pytest.raises(InputError, match=r"'quik'; did you mean quick\?"):
        make_config("quik")


def test_none_keeps_the_value_of_the_preset():
    assert make_config("quick", epochs=None) == make_config("quick")


def test_epochs_that_are_given_stay_unless_steps_are_given_too():
    assert (make_config("quick").min_steps, make_config("quick").max_steps) == (100, 560)
    config = make_config("quick", epochs=3)
    assert (config.epochs, config.min_steps, config.max_steps) == (3, 0, 0)
    config = make_config("quick", epochs=3, min_steps=50)
    assert (config.min_steps, config.max_steps) == (50, 0)
    assert make_config("quick", epochs=None) == make_config("quick")


def test_symmetries_that_are_given_lower_what_is_averaged_unless_that_is_given_too():
    for preset, averaged in (("quick", 4), ("best", 8), ("baseline", 1)):
        assert make_config(preset).tta == averaged
        assert make_config(preset).symmetries == (8 if preset == "baseline" else 0)
        assert make_config(preset, symmetries="2").tta == min(2, averaged)
        assert make_config(preset, symmetries=8).tta == averaged
        assert make_config(preset, symmetries=0).tta == averaged
    with pytest.raises(InputError, match="tta=8 cannot be; it must be at most symmetries, which is 2"):
        make_config("best", symmetries=2, tta=8)


def test_encoders_of_smp_need_a_multiple_of_32():
    with pytest.raises(InputError, match="a multiple of 32"):
        make_config("quick", image_size=144)
    with pytest.raises(InputError, match="tile=48 cannot be; it must be a multiple of 32"):
        make_config("quick", tile=48)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("bce_dice", ((0.5, "bce"), (0.5, "dice"))),
        ("lovasz", ((1.0, "lovasz"),)),
        (" 0.7 * bce+ 3e-1*tversky ", ((0.7, "bce"), (0.3, "tversky"))),
        ("2*bce_dice + lovasz", ((1.0, "bce"), (1.0, "dice"), (1.0, "lovasz"))),
    ],
)
def test_a_loss_is_a_weighted_sum_of_named_terms(text, terms):
    assert parse_loss(text) == terms


def test_the_losses_that_can_be_named_are_those_there_are():
    assert set(LOSSES) == set(losses.LOSSES)


def test_samples_are_split_into_as_many_parts_as_networks_or_as_the_held_out_share_asks_for():
    assert [make_config(**given).n_folds for given in ({}, {"val_fraction": 0.3}, {"folds": 7})] == [5, 3, 7]


def test_members_of_a_run_draw_differently_and_the_first_one_as_the_seed_says():
    seeds = {make_config(folds=5, fold=fold, seed=3).member_seed for fold in range(5)}
    assert len(seeds) == 5
    assert make_config(seed=3).member_seed == 3


def test_where_a_run_computes_makes_no_other_run_of_it():
    ours = Config(num_workers=1, max_hours=9, devices=2, accumulate=4, compile=True)
    assert find_difference(ours, Config()) is None
    assert find_difference(ours, dataclasses.replace(ours, tta=2)) == "tta"
    assert find_difference(ours, dataclasses.replace(ours, tile=64)) == "tile"


def test_white_is_above_black_where_it_is_known():
    assert make_config("baseline", black=300).white is None
    assert make_config("baseline", black=-1024, white=-24).black == -1024
    for black, white in ((255, 255), (0, -1)):
        with pytest.raises(InputError, match=f"it must be above black, which is {black}"):
            make_config("baseline", black=black, white=white)
