"""Every number an experiment may change: one frozen record, what is allowed in it, and how it is made."""

import dataclasses
import difflib
import typing
from dataclasses import dataclass
from typing import Any

from seglib.coercion import coerce_value
from seglib.errors import InputError
from seglib.presets import PRESETS

MONITORS = ("val_loss", "val_dice")
OPTIMIZERS = ("adam", "adamw")
SCHEDULES = ("plateau", "onecycle", "cosine")
LOSSES = ("bce", "dice", "focal", "tversky", "lovasz")  # the terms a loss is summed from
SUMS = {"bce_dice": {"bce": 0.5, "dice": 0.5}}  # names of sums of them
ARCHITECTURES = ("Unet", "UnetPlusPlus", "MAnet", "Linknet", "FPN", "PSPNet", "DeepLabV3", "DeepLabV3Plus")
ARCHITECTURES += ("PAN", "UPerNet", "Segformer", "DPT")  # of smp, which takes them in any case
AUGMENTS = ("none", "standard", "strong")
AUGMENT_PLACES = ("auto", "loader", "device")
NORMS = ("none", "batch", "instance")
PRECISIONS = ("auto", "32", "bf16", "16")
WEIGHT_SUFFIXES = (".pth", ".pt", ".safetensors")
SYMMETRIES = (1, 2, 4, 8)  # subgroups of the symmetries of the square


@dataclass(frozen=True)
class Config:
    """One experiment. The defaults are the recipe of the seed project, the preset ``baseline``.

    Raises:
        InputError: if a value is impossible; the message names the field, the value and what is allowed.
    """

    # model
    architecture: str = "plain"  # "plain": our U-Net of five levels; or an architecture of smp, such as "Unet"
    encoder: str = ""  # encoder of an smp architecture, such as "resnet34"
    encoder_weights: str = (
        "none"  # none, imagenet (smp's hub), package (an installed one), or a .pth or .safetensors file
    )
    norm: str = "none"  # normalisation layers of the plain U-Net: none, batch or instance
    width: int = 64  # channels of the plain U-Net at full size; each of its four levels below has twice as many
    in_channels: int | None = None  # 1 gray, 3 colour; None: from the data
    white: float | None = None  # pixel value that means white in files deeper than 8 bits; None: from the data
    black: float = 0.0  # pixel value that means black there; from the data too, unless it is set
    # loss
    loss: str = "bce_dice"  # bce, dice, focal, tversky, lovasz, or a weighted sum; bce_dice is 0.5*bce + 0.5*dice
    # data
    image_size: int = 320  # pixels, both sides of what the network sees
    max_image_size: int = 0  # image_size is raised up to it where it would lose details of the masks; 0: never
    val_fraction: float = 0.2  # share of the training images held out for validation, where folds is 1
    folds: int = 1  # networks trained, each with another fold held out; their probabilities are averaged
    fold: int = 0  # which fold of folds.csv validates, where folds is 1
    symmetries: int = 8  # of the square that images have: 1 none, 2 left and right, 4 mirrors, 8 and turns; 0: by data
    augment: str = "standard"  # none, standard (flips, turns, affine, elastic, brightness) or strong (and more of all)
    augment_on: str = "auto"  # who augments: the loader, or the device, by batches; auto: a GPU if there is one
    num_workers: int = -1  # loader processes; -1: chosen from the machine
    # training
    batch_size: int = 16  # images per step
    accumulate: int = (
        0  # parts in which a batch passes through the device, gradients added; 0: one, or what memory has room for
    )
    epochs: int = 150  # at most so many passes over the training images
    min_steps: int = 0  # epochs are raised until at least so many optimizer steps are taken
    max_steps: int = 0  # epochs are lowered until at most so many optimizer steps are taken; 0: no limit
    optimizer: str = "adam"  # adam or adamw
    learning_rate: float = 1e-4  # of the decoder, or of the whole network where there is no encoder
    encoder_lr_factor: float = 1.0  # the encoder learns at learning_rate times this
    weight_decay: float = 0.0  # decoupled under adamw
    schedule: str = "plateau"  # plateau: halved when val_loss stalls; onecycle, cosine: warm-up, then down to nothing
    gradient_clip: float = 0.0  # largest norm of the gradient; 0: no limit
    ema_decay: float = 0.0  # of the moving average of the weights that is validated and kept; 0: none
    lr_patience: int = 3  # epochs without a better val_loss before the rate is halved (plateau)
    stop_patience: int = 10  # epochs without a better monitor before training stops; 0: never
    monitor: str = "val_loss"  # which column picks the best checkpoint and stops training: val_loss or val_dice
    precision: str = "32"  # auto, 32, bf16 or 16 (mixed)
    seed: int = 0  # of the split, the weights, the shuffling and the augmentation
    max_hours: float = 0.0  # training stops after an epoch that leaves no time for another, to go on later; 0: no limit
    compile: bool = (
        False  # the network is compiled for this machine before it trains: a minute or more, faster steps then
    )
    devices: int = 0  # processes that share every batch; 0: as many as there are GPUs and divide it, or one on a CPU
    # prediction
    tta: int = 1  # symmetries of the square averaged: 1 none, 2 and 4 mirrors, 8 mirrors and quarter turns
    tile: int = (
        0  # pixels of the windows a larger image is looked at in; 0: only where memory does not hold a whole one
    )
    # submission
    rle_by_rows: bool = False  # run lengths along the rows instead of down the columns
    rle_zero_based: bool = False  # run starts counted from 0 instead of 1

    def __post_init__(self) -> None:
        """Refuse values that cannot work."""
        _check_architecture(self)
        for name, allowed in _CHOICES.items():
            _check(getattr(self, name) in allowed, self, name, f"one of {', '.join(map(str, allowed))}")
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            _check(value is None or low <= value <= high, self, name, f"from {low:g} to {high:g}")
        named = self.encoder_weights in {"none", "imagenet", "package"} or self.encoder_weights.endswith(
            WEIGHT_SUFFIXES
        )
        _check(named, self, "encoder_weights", "none, imagenet, package or a .pth, .pt or .safetensors file")
        for name in ("image_size", "tile"):
            _check(getattr(self, name) % self.multiple == 0, self, name, f"a multiple of {self.multiple}")
        largest = self.max_image_size
        _check(not largest or largest >= self.image_size, self, "max_image_size", f"0 or {self.image_size} or more")
        _check(not self.max_steps or self.min_steps <= self.max_steps, self, "min_steps", "at most max_steps")
        _check(
            self.batch_size % self.parts == 0,
            self,
            "accumulate",
            f"a divisor of batch_size, which is {self.batch_size}",
        )
        _check(self.white is None or self.white > self.black, self, "white", f"above black, which is {self.black:g}")
        most = self.symmetries or max(SYMMETRIES)
        _check(self.tta <= most, self, "tta", f"at most symmetries, which is {most}")
        _check(self.fold < self.n_folds, self, "fold", f"below the number of folds, which is {self.n_folds}")
        parse_loss(self.loss)

    @property
    def multiple(self) -> int:
        """What the sides of an image must be a multiple of, for the network to halve them on its way down."""
        return 16 if self.architecture == "plain" else 32

    @property
    def n_folds(self) -> int:
        """How many parts the samples are split into."""
        return self.folds if self.folds > 1 else max(2, round(1 / self.val_fraction))

    @property
    def parts(self) -> int:
        """In how many parts a batch passes through the device, as long as memory lasts."""
        return max(1, self.accumulate)

    @property
    def member_seed(self) -> int:
        """Of the weights, the shuffling and the augmentation: another one for each fold, so that members differ."""
        return (self.seed + 1000 * self.fold) % 2**32


# Fields of where and how long a run computes: they change nothing in its results but rounding (that of augmented images
# as well, by a fraction of a gray level), and batch statistics where a batch is divided; a resumed run may change them.
# Not so tile: windows change the maps a little, and with them the scores and the rules of masks.json; and prediction
# takes it from the checkpoint, so that another one in a run that is trained would be accepted and do nothing.
CIRCUMSTANCES = frozenset({"augment_on", "num_workers", "max_hours", "devices", "accumulate", "compile"})

_CHOICES = {
    "norm": NORMS,
    "in_channels": (None, 1, 3),
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "monitor": MONITORS,
    "precision": PRECISIONS,
    "symmetries": (0, *SYMMETRIES),
    "tta": SYMMETRIES,
    "augment": AUGMENTS,
    "augment_on": AUGMENT_PLACES,
}
_RANGES = {
    "white": (-(2**32), 2**32),
    "black": (-(2**32), 2**32),
    "width": (1, 1024),
    "image_size": (32, 4096),
    "max_image_size": (0, 4096),
    "val_fraction": (0.02, 0.5),
    "folds": (1, 50),
    "fold": (0, 49),
    "num_workers": (-1, 256),
    "batch_size": (1, 4096),
    "accumulate": (0, 4096),
    "epochs": (1, 100_000),
    "min_steps": (0, 10**9),
    "max_steps": (0, 10**9),
    "learning_rate": (1e-8, 10),
    "encoder_lr_factor": (0, 100),
    "weight_decay": (0, 10),
    "gradient_clip": (0, 1e6),
    "ema_decay": (0, 0.99999),
    "lr_patience": (0, 10_000),
    "stop_patience": (0, 10_000),
    "seed": (0, 2**32 - 1),
    "max_hours": (0, 10_000),
    "devices": (0, 1024),
    "tile": (0, 4096),
}


def make_config(preset: str = "baseline", **settings: Any) -> Config:
    """A preset with some of its fields changed.

    Args:
        preset: a key of ``PRESETS``.
        **settings: fields of ``Config`` by name; text is coerced to the field's type, ``None`` keeps the preset's. An
            ``image_size`` among them is kept, unless there is a ``max_image_size`` too, and so are ``epochs``, unless
            there are ``min_steps`` or ``max_steps``; ``symmetries`` lower ``tta``, unless it is there too.

    Returns:
        The checked configuration.

    Raises:
        InputError: for an unknown preset or field (with the near miss) and for an impossible value; and for one that
            the architecture of the preset has no use for, unless ``architecture`` is among the settings.

    Example:
        >>> make_config("quick", epochs="3", learning_rate="1e-4").epochs
        3
    """
    if preset not in PRESETS:
        raise InputError(f"there is no preset {preset!r}; {near_miss(preset, PRESETS)}")
    fields = {field.name: field for field in dataclasses.fields(Config)}
    for name in settings:
        if name not in fields:
            raise InputError(f"there is no setting {name!r}; {near_miss(name, fields)}")
    hints = typing.get_type_hints(Config)
    given = {name: coerce_value(name, value, hints[name]) for name, value in settings.items() if value is not None}
    if "image_size" in given:
        given.setdefault("max_image_size", 0)
    if "epochs" in given:
        given = {"min_steps": 0, "max_steps": 0} | given
    if given.get("symmetries"):
        given.setdefault("tta", min(PRESETS[preset].get("tta", 1), given["symmetries"]))
    config = Config(**{**PRESETS[preset], **given})
    if "architecture" not in given:
        _refuse_idle(config, {name for name, value in given.items() if value != fields[name].default})
    return config


def find_difference(ours: Config, theirs: Config) -> str | None:
    """The first field in which two configurations would compute something else; None where there is none.

    Example:
        >>> find_difference(Config(seed=1, num_workers=0), Config(seed=2, num_workers=4))
        'seed'
    """
    names = (field.name for field in dataclasses.fields(Config) if field.name not in CIRCUMSTANCES)
    return next((name for name in names if getattr(ours, name) != getattr(theirs, name)), None)


def parse_loss(text: str) -> tuple[tuple[float, str], ...]:
    """The weighted terms of a loss: ``"bce_dice"``, ``"focal"``, ``"0.7*bce + 0.3*lovasz"``.

    Raises:
        InputError: if a term is no loss of ``LOSSES``, or its weight is no positive number.

    Example:
        >>> parse_loss("0.7*bce + lovasz"), parse_loss("2*bce_dice")
        (((0.7, 'bce'), (1.0, 'lovasz')), ((1.0, 'bce'), (1.0, 'dice')))
    """
    terms = []
    for term in text.split("+"):
        weight, star, name = term.rpartition("*")
        name = name.strip()
        if name not in {*LOSSES, *SUMS}:
            raise InputError(f"loss={text!r} cannot be; there is no loss {name!r}; {near_miss(name, LOSSES)}")
        try:
            number = float(weight) if star else 1.0
        except ValueError:
            number = 0.0
        if not 0 < number < float("inf"):
            raise InputError(f"loss={text!r} cannot be; write each term as WEIGHT*NAME, such as 0.5*bce + 0.5*dice")
        terms += [(number * part, one) for one, part in SUMS.get(name, {name: 1.0}).items()]
    return tuple(terms)


def near_miss(word: str, known: typing.Iterable[str]) -> str:
    """The cure for a misspelt word: the nearest known one, or all of them.

    Example:
        >>> near_miss("epoch", ["epochs", "seed"])
        'did you mean epochs?'
    """
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else f"choose from {', '.join(known)}"


def _check_architecture(config: Config) -> None:
    """Other names than ``plain`` are of smp, and need an encoder; where one is given, smp itself says what it has."""
    name = config.architecture
    if name == "plain" or config.encoder:
        return
    if name.lower() not in map(str.lower, ARCHITECTURES):
        raise InputError(f"there is no architecture {name!r}; {near_miss(name, ('plain', *ARCHITECTURES))}")
    raise InputError(
        f"architecture={name!r} needs an encoder; add one, such as encoder=resnet34, or take architecture=plain, which "
        "needs none"
    )


def _refuse_idle(config: Config, given: set[str]) -> None:
    """A setting of another kind of network is a mistake: who named an encoder would train without one, unaware."""
    others = ("encoder", "encoder_weights") if config.architecture == "plain" else ("norm", "width")
    for name in others:
        if name in given:
            raise InputError(
                f"{name}={getattr(config, name)!r} does nothing in architecture={config.architecture}; "
                "set architecture too, or leave it out"
            )


def _check(holds: bool, config: Config, name: str, wanted: str) -> None:
    if not holds:
        raise InputError(f"{name}={getattr(config, name)!r} cannot be; it must be {wanted}")
