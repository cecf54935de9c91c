"""Curves -> a verdict in words.

The rules of `diagnose`, in the order of their weight. ``noise`` is the scatter of a curve about its trend; the end of
a run is its last sixth, at least three epochs.

| kind | fires where |
|---|---|
| diverged | a loss is not a number, or training ends at twice its lowest loss, by more than noise, and stays there |
| too short | fewer than five epochs: nothing else is said |
| rate too high | the training loss jumps up and down by a fifth of itself from epoch to epoch |
| rate too low | the training loss falls steadily, but by less than 30 % in all, at a rate that was not lowered |
| learns nothing | the training loss ends where it began, and the Dice is below a half |
| overfitting | the validation loss ends 3 % and more than noise above its best; the training loss went on falling |
| getting worse | the validation loss ends as far above its best, and the training loss no longer falls; or the end is |
| | worse than what came before it by 3 % and by more than noise |
| stuck at a floor | the validation loss is flat and three times what masks of this Dice deserve |
| noisy validation | noise hides what the validation loss gains, though the training loss is quiet |
| still improving | the end is better than what came before it by 2 % and by more than noise |
| plateau | nothing gained at the end, and the rate was never lowered |
| converged | nothing gained at the end, and the rate was lowered |
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from seglib.training.history import NEEDED, find_best_epoch

SHORT = 5  # epochs; three points of a second difference, on which the noise rests, need as many
JUMPS = 0.2  # noise over level; the training loss of our records has 0.02 to 0.06
SLOW = 0.3  # share of the first training loss that a run loses at least, at any rate that suits
RISE = 0.03  # of the validation loss; folds of our records end up to 0.02 above their best by chance alone
GAIN = 0.02  # of the validation loss; less is chance from one network to the next
NOTHING = 0.05  # share of the first training loss; a network that learns loses more than that in its second epoch
FLOOR = 3.0  # validation loss over 1 - Dice: 1.3 to 2.3 in our records, 3.6 and more where a sigmoid is applied twice
LARGE = 0.1  # gain of the validation loss
CALM = 4.0  # noise of a curve over that of its end; chance alone seldom makes it more than 3
NOISY = 0.05  # noise over level; the validation loss of our records has up to 0.03
LOWERED = 0.6  # a rate that ends below this share of its largest was lowered; halved once counts


@dataclass(frozen=True)
class Verdict:
    """What a curve says: its kind (the table above), the evidence in words and numbers, and what to do."""

    kind: str
    sentence: str
    advice: str
    evidence: dict[str, float]
    also: tuple["Verdict", ...] = ()


@dataclass(frozen=True)
class _Curves:
    """The arrays that the rules look at, and how many epochs are the end of the run."""

    epochs: np.ndarray
    train: np.ndarray
    val: np.ndarray
    dice: np.ndarray
    rate: np.ndarray
    kept: int  # the epoch whose weights are
    monitor: str  # the column that picked it

    @property
    def last(self) -> int:
        return max(3, len(self.epochs) // 6)

    @property
    def lowered(self) -> bool:
        return self.rate[-1] < LOWERED * self.rate.max()

    def describe_kept(self, begun: int) -> str:
        """Which epoch is kept, where the validation loss rose from the epoch ``begun`` on."""
        if self.monitor == "val_loss" or self.kept <= begun:
            return f"Epoch {self.kept} is kept, so nothing is lost"
        return f"Epoch {self.kept} is kept, though the loss was rising, as its Dice is the highest"


def diagnose(history: pd.DataFrame, monitor: str = "val_loss") -> Verdict:
    """Read a loss curve: the weightiest verdict, and in its field ``also`` the others that are true.

    Args:
        history: of one network, as ``read_history`` and ``split_history`` give it; also of a run cut short.
        monitor: the column that picks the epoch that is kept, ``val_loss`` or ``val_dice``.

    Returns:
        The verdict; its kinds and when they fire stand at the top of this module. ``evidence`` holds the numbers that
        the sentence is made of, and ``advice`` names the setting to change.

    Example:
        >>> falls = [0.5 * 0.8**epoch + 0.1 for epoch in range(12)]
        >>> curve = {"epoch": range(1, 13), "train_loss": falls, "val_loss": falls, "val_dice": 0.8, "lr": 1e-3}
        >>> diagnose(pd.DataFrame(curve)).kind
        'still improving'
    """
    arrays = (history[name].to_numpy(float) for name in NEEDED)
    kept = find_best_epoch(history.reset_index(drop=True), monitor)
    curves = _Curves(*arrays, kept=kept, monitor=monitor)
    broken = _find_divergence(curves)
    if broken:
        return broken
    if len(history) < SHORT:
        return Verdict(
            "too short",
            f"Too short to tell: {len(history)} epoch{'s' if len(history) > 1 else ''}.",
            f"Train for at least {SHORT} epochs, or wait.",
            {"epochs": len(history)},
        )
    found = [verdict for rule in RULES if (verdict := rule(curves))]
    worse = any(verdict.kind in ("overfitting", "getting worse") for verdict in found)
    said = ("converged", "getting worse") if worse else ()  # the one would deny it, the other say it twice
    return replace(found[0], also=tuple(one for one in found[1:] if one.kind not in said))


def estimate_noise(values: np.ndarray) -> float:
    """The scatter of a curve about its trend, a standard deviation: 1.4826 median(abs(second differences)) / sqrt(6).

    A straight trend has no second differences, and the median passes over a few jumps (after Gasser, Sroka and
    Jennen-Steinmetz 1986, with a robust scale).

    Args:
        values: (N,) with N at least 3.
    """
    return float(1.4826 * np.median(np.abs(np.diff(values, 2))) / np.sqrt(6))


def recommend_patience(history: pd.DataFrame) -> int:
    """How many epochs without a new best to wait before training is stopped, given the noise of the validation loss.

    As many as the trend needs to fall by twice the noise, 2 noise / slope, where the slope is what the second half of
    the run gained on average per epoch; at least 3, at most as many as there are epochs.
    """
    val = history["val_loss"].to_numpy(float)
    half = len(val) // 2
    if half < 3:
        return 3
    slope = (val[: len(val) - half].mean() - val[-half:].mean()) / half
    needed = np.ceil(2 * estimate_noise(val) / slope) if slope > 0 else len(val)
    return int(np.clip(needed, 3, len(val)))


def _smooth(values: np.ndarray, window: int) -> np.ndarray:
    return pd.Series(values).rolling(window, center=True, min_periods=1).mean().to_numpy()


def _find_divergence(curves: _Curves) -> Verdict | None:
    bad = ~(np.isfinite(curves.train) & np.isfinite(curves.val))
    advice = "Lower learning_rate to a third, and set gradient_clip=1; with precision=16, try bf16 or 32."
    if bad.any():
        epoch = int(curves.epochs[bad.argmax()])
        return Verdict("diverged", f"Diverged: the loss is not a number at epoch {epoch}.", advice, {"epoch": epoch})
    if len(curves.train) < SHORT:
        return None
    low, end = float(_smooth(curves.train, 3).min()), float(np.median(curves.train[-3:]))
    calm = np.flatnonzero(curves.train <= 1.5 * low)[-1] + 1  # epochs until the loss left its lowest for good
    noise = estimate_noise(curves.train[:calm]) if calm >= SHORT else 0
    if calm == len(curves.train) or end <= low + max(low, 6 * noise):
        return None
    epoch = int(curves.epochs[calm])
    sentence = f"Diverged at epoch {epoch}: the training loss rose from {low:.3g} to {end:.3g}."
    return Verdict("diverged", sentence, advice, {"epoch": epoch, "low": low, "end": end})


def _find_jumps(curves: _Curves) -> Verdict | None:
    level, noise = float(np.median(curves.train)), estimate_noise(curves.train)
    rises = np.diff(curves.train) > JUMPS * level  # a curve that only falls has none, however steep it is
    if noise <= JUMPS * level or rises.sum() < 2:
        return None
    sentence = f"Learning rate too high: the training loss jumps by {noise:.3g} about a level of {level:.3g}."
    advice = "Lower learning_rate to a third, or raise batch_size; gradient_clip=1 holds single steps back."
    return Verdict("rate too high", sentence, advice, {"noise": noise, "level": level})


def _find_slowness(curves: _Curves) -> Verdict | None:
    first, end = float(curves.train[0]), float(curves.train[-3:].mean())
    fallen, noise = (first - end) / first if first else 0.0, estimate_noise(curves.train)
    steady = (np.diff(_smooth(curves.train, max(3, len(curves.train) // 10))) < 0).mean() > 0.7
    going_on = curves.train[-curves.last :].mean() < curves.train[-2 * curves.last : -curves.last].mean() - noise / 2
    if curves.lowered or not (0 < fallen < SLOW and steady and going_on):
        return None
    sentence = (
        f"Learning rate too low: the training loss falls steadily, but only by {100 * fallen:.0f} % in "
        f"{len(curves.epochs)} epochs, from {first:.3g} to {end:.3g}."
    )
    advice = "Raise learning_rate three to ten times, or start from pretrained weights (encoder_weights)."
    return Verdict("rate too low", sentence, advice, {"fallen": fallen, "first": first, "end": end})


def _find_nothing(curves: _Curves) -> Verdict | None:
    first, end = float(curves.train[0]), float(curves.train[-3:].mean())
    lowest, dice = float(_smooth(curves.train, 3).min()), float(curves.dice[-3:].mean())
    if min(lowest, end) < (1 - NOTHING) * first or dice >= 0.5:
        return None
    sentence = f"Learns nothing: the training loss stays at {end:.3g}, where it began, and the Dice is {dice:.3f}."
    advice = (
        "Try a tenth of learning_rate and ten times it, or norm=batch in a plain U-Net; look at the masks in 01_eda."
    )
    return Verdict("learns nothing", sentence, advice, {"first": first, "end": end, "dice": dice})


def _find_rise(curves: _Curves) -> Verdict | None:
    """A validation loss that ends above its best: overfitting where the training loss fell on, by more than noise."""
    window = max(3, len(curves.val) // 10)
    val, train = _smooth(curves.val, window), _smooth(curves.train, window)
    best = int(val.argmin())
    low, end = float(val[best]), float(curves.val[-curves.last :].mean())
    lucky = np.sqrt(2 * np.log(len(val)) / window)  # the best of many means of noise is below them all
    chance = estimate_noise(curves.val) * (lucky + 2 / np.sqrt(curves.last))
    if len(curves.val) - 1 - best < curves.last or end - low <= max(RISE * low, chance):
        return None
    epoch, train_end = int(curves.epochs[best]), float(curves.train[-curves.last :].mean())
    evidence = {"epoch": epoch, "best": low, "end": end, "rise": (end - low) / (low or end), "kept": curves.kept}
    rose = f"from epoch {epoch}: the validation loss rose from {low:.3g} to {end:.3g}"
    if train[best] - train_end <= 2 * estimate_noise(curves.train) * np.sqrt(2 / curves.last):
        sentence = (
            f"Getting worse {rose}, and the training loss fell no more ({train[best]:.3g}, then {train_end:.3g})."
        )
        advice = (
            f"{curves.describe_kept(epoch)}; a lower learning_rate, or one that falls "
            "(schedule=cosine), may go on to learn, and fewer epochs spare the time."
        )
        return Verdict("getting worse", sentence, advice, evidence)
    sentence = f"Overfitting {rose}, while the training loss fell from {train[best]:.3g} to {train_end:.3g}."
    advice = (
        f"{curves.describe_kept(epoch)}; more augmentation (augment=strong), weight_decay or "
        "a smaller network may gain something."
    )
    return Verdict("overfitting", sentence, advice, evidence)


def _find_floor(curves: _Curves) -> Verdict | None:
    loss, dice = float(curves.val.min()), float(curves.dice[curves.val.argmin()])
    ratio = loss / max(1 - dice, 0.02)
    flat = abs(_gain(curves)) < GAIN
    if not (flat and dice > 0.5 and loss > 0.2 and ratio > FLOOR):
        return None
    sentence = f"The loss is stuck at a floor: it stays at {loss:.3g}, though the Dice is {dice:.3f}."
    advice = "Look for a sigmoid that is applied twice: the losses of seglib take logits and make it themselves."
    return Verdict("stuck at a floor", sentence, advice, {"loss": loss, "dice": dice, "ratio": ratio})


def _find_noise(curves: _Curves) -> Verdict | None:
    level, noise = float(np.median(curves.val)), estimate_noise(curves.val)
    quiet = estimate_noise(curves.train) <= JUMPS * np.median(curves.train)
    half = len(curves.val) // 2
    gained = abs(curves.val[: len(curves.val) - half].mean() - curves.val[-half:].mean())
    if not (quiet and noise > NOISY * level and noise > gained / 2):
        return None
    patience = recommend_patience(pd.DataFrame({"val_loss": curves.val}))
    sentence = f"Noisy validation: the loss scatters by {noise:.3g} about a level of {level:.3g}."
    advice = (
        f"Set stop_patience and lr_patience to {patience} or more, hold out more images (val_fraction), or use folds=5."
    )
    return Verdict("noisy validation", sentence, advice, {"noise": noise, "level": level, "patience": patience})


def _gain(curves: _Curves) -> float:
    """How far the mean validation loss of the end is below that of as many epochs before, as a share of the latter.

    Where that is 0, of the former.
    """
    end, before = curves.val[-curves.last :].mean(), curves.val[-2 * curves.last : -curves.last].mean()
    return float((before - end) / (before or end or 1))


def _noise_behind(gain: float, curves: _Curves) -> float:
    """The noise of the validation loss: of the whole curve, or of its end after a large gain, where that is far calmer.

    At a rate that has fallen to nothing every curve is calm, and more epochs would not add to what little it gains.
    """
    whole, end = estimate_noise(curves.val), estimate_noise(curves.val[-2 * curves.last :])
    return end if gain > LARGE and whole > CALM * end else whole


def _find_end(curves: _Curves) -> Verdict:
    gain, end = _gain(curves), float(curves.val[-curves.last :].mean())
    chance = float(2 * _noise_behind(gain, curves) * np.sqrt(2 / curves.last) / (end or 1))
    evidence = {
        "gain": gain,
        "chance": chance,
        "end": end,
        "rate": float(curves.rate[-1]),
        "epochs": len(curves.epochs),
    }
    what = (
        f"the validation loss of the last {curves.last} epochs is {end:.3g} on average, {-100 * gain:+.1f} % against "
    )
    what += "the epochs before them"
    what += f" (chance alone can do {100 * chance:.1f} %)" if GAIN < abs(gain) <= chance else ""
    if gain > max(GAIN, chance):
        advice = f"More epochs would have helped, such as --set epochs={2 * len(curves.epochs)}" + (
            "; the schedule then stretches with them." if curves.lowered else "."
        )
        return Verdict("still improving", f"Still improving: {what}.", advice, evidence)
    if gain < -max(RISE, chance):
        begun = int(curves.epochs[-curves.last - 1])
        advice = f"{curves.describe_kept(begun)}; a lower learning_rate may go on to learn."
        return Verdict("getting worse", f"Getting worse: {what}.", advice, evidence)
    if not curves.lowered:
        advice = (
            "Let the rate fall (schedule=cosine, or plateau with a smaller lr_patience): that is where the rest is."
        )
        return Verdict("plateau", f"On a plateau: {what}, at the full learning rate.", advice, evidence)
    return Verdict("converged", f"Converged: {what}.", "Nothing to do about the training; look at the masks.", evidence)


RULES: tuple[Callable[[_Curves], Verdict | None], ...] = (
    _find_jumps,
    _find_slowness,
    _find_nothing,
    _find_rise,
    _find_floor,
    _find_noise,
    _find_end,
)
