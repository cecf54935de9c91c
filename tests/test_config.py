import dataclasses

import pytest

from seglib.config import PRESETS, Config, make_config
from seglib.errors import InputError


def test_the_default_is_the_recipe_of_the_seed():
    config = make_config()
    assert config == Config() == make_config("baseline")
    assert (config.architecture, config.batch_size, config.image_size, config.epochs) == ("plain", 16, 320, 150)
    assert (config.optimizer, config.learning_rate, config.bce_weight) == ("adam", 1e-4, 0.5)
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
        ("augment", "false", False),
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
        ({"augment": "maybe"}, "true or false"),
        ({"epochs": 0}, "from 1 to"),
        ({"image_size": 100}, "a multiple of 16"),
        ({"norm": "layer"}, "one of none, batch, instance"),
        ({"tta": 3}, "one of 1, 2, 4, 8"),
        ({"threshold": 1.5}, "from 0 to 1"),
        ({"learning_rate": float("nan")}, "from 1e-08 to 10"),
        ({"architecture": "Unet"}, "encoder"),
        ({"min_steps": 9, "max_steps": 3}, "at most max_steps"),
    ],
)
def test_what_cannot_be_is_refused_in_words(settings, words):
    with pytest.raises(InputError, match=words.replace("?", r"\?")):
        make_config(**settings)


def test_a_misspelt_preset_names_the_near_miss():
    with pytest.raises(InputError, match=r"'quik'; did you mean quick\?"):
        make_config("quik")


def test_none_keeps_the_value_of_the_preset():
    assert make_config("quick", epochs=None) == make_config("quick")


def test_encoders_of_smp_need_a_multiple_of_32():
    with pytest.raises(InputError, match="a multiple of 32"):
        make_config("quick", image_size=144)
