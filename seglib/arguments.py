"""Words on the command line -> what was asked for."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from seglib import config


def parse_words(words: Sequence[str] | None) -> argparse.Namespace:
    """What was asked for; its ``command`` is the name of a command.

    Args:
        words: those after ``seglib``; None: of this process.

    Raises:
        SystemExit: with 2 after a sentence, if the words cannot be; with 0 after the help that was asked for.
    """
    parser = argparse.ArgumentParser(prog="seglib", description="Segment medical images in two dimensions.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    for add in (
        _add_run,
        _add_grid,
        _add_ensemble,
        _add_check,
        _add_get,
        _add_kaggle,
        _add_phantoms,
        _add_compare,
        _add_predict,
        _add_score,
        _add_decode,
    ):
        add(commands)
    words = sys.argv[1:] if words is None else words
    if words and not words[0].startswith("-") and words[0] not in commands.choices:
        parser.error(f"there is no command {words[0]!r}; {config.near_miss(words[0], commands.choices)}")
    found, unknown = parser.parse_known_args(words)
    if unknown:
        help_ = f"seglib {found.command} --help"
        parser.error(f"{found.command} does not know {' '.join(unknown)}; {help_} says what it knows")
    if found.command == "check":
        _join_data(parser, found)
    return found


def _join_data(parser: argparse.ArgumentParser, found: argparse.Namespace) -> None:
    """The folder may stand alone, or behind --data as it does for every other command."""
    if found.data and found.option_data and found.data != found.option_data:
        parser.error(f"check looks at one folder; name {found.data} or {found.option_data}")
    found.data = found.data or found.option_data


def _add_run(commands: Any) -> None:
    command = commands.add_parser(
        "run", help="notebooks in order: from a folder of images to a submission and a report"
    )
    command.add_argument(
        "--data",
        metavar="DIR",
        help="a folder with Train/Image, Train/Mask, Test/Image; or isic2016, kaggle:SLUG, phantoms (default: found)",
    )
    command.add_argument("--out", metavar="DIR", default="outputs/run", help="folder of the run (default: %(default)s)")
    command.add_argument(
        "--preset", metavar="NAME", default="baseline", help=f"{', '.join(config.PRESETS)} (default: %(default)s)"
    )
    command.add_argument(
        "--set", metavar="NAME=VALUE", action="append", default=[], help="change one setting; repeatable"
    )
    command.add_argument("--only", metavar="NUMBERS", help="such as 02,03")


def _add_grid(commands: Any) -> None:
    command = commands.add_parser(
        "grid", help="many runs at once: every combination of settings, on this machine or many"
    )
    command.add_argument(
        "file", metavar="FILE.yaml", help="data, out, preset, set, only, and grid: the values of each axis"
    )
    command.add_argument(
        "--scheduler", metavar="ADDRESS", help="of a running Dask cluster (default: workers on this machine)"
    )
    command.add_argument("--workers", type=int, metavar="N", help="on this machine (default: one for each GPU, or one)")
    command.add_argument(
        "--dry-run", action="store_true", help="check the file, say what would be run, and run nothing"
    )


def _add_ensemble(commands: Any) -> None:
    command = commands.add_parser("ensemble", help="average several runs: seeds, architectures, or folds")
    command.add_argument("runs", metavar="RUN", nargs="+", help="folders of finished runs on the same data")
    command.add_argument("--out", metavar="DIR", required=True, help="folder of the ensemble")
    command.add_argument("--data", metavar="DIR", help="the data set (default: that of the first run)")


def _add_check(commands: Any) -> None:
    command = commands.add_parser("check", help="what is wrong with a data set: 0 nothing, 1 problems, 2 cannot look")
    command.add_argument("data", metavar="DIR", nargs="?", help="as --data of run, a folder (default: found)")
    command.add_argument("--data", dest="option_data", metavar="DIR", help="the same, as run has it")
    command.add_argument(
        "--json", action="store_true", help="print a list of objects: file, problem, severity, fact, cure"
    )
    command.add_argument(
        "--fix-list", metavar="CSV", help="write which files to leave out; run heeds DIR/leave_out.csv"
    )
    command.add_argument("--folds", metavar="CSV", help="folds.csv of a run: look for leaks across its folds too")


def _add_get(commands: Any) -> None:
    command = commands.add_parser("get", help="fetch a data set: isic2016, or kaggle:SLUG")
    command.add_argument("name")
    command.add_argument("--out", metavar="DIR", required=True, help="where the tree is laid out")


def _add_kaggle(commands: Any) -> None:
    command = commands.add_parser("kaggle", help="send a run to Kaggle: a data set, and a kernel for each notebook")
    command.add_argument(
        "--run", metavar="DIR", help="a run; a trained one is evaluated and submitted, another trained on"
    )
    command.add_argument("--preset", metavar="NAME", help="without --run: train there from the start by this preset")
    command.add_argument(
        "--set", metavar="NAME=VALUE", action="append", default=[], help="change one setting; repeatable"
    )
    command.add_argument(
        "--owner", metavar="NAME", help="whose kernels they will be: the last part of your page's address"
    )
    command.add_argument("--competition", metavar="SLUG", help="whose images: the last part of its address")
    command.add_argument(
        "--dataset", metavar="OWNER/SLUG", action="append", default=[], help="images of a data set; repeatable"
    )
    command.add_argument(
        "--data-dir",
        metavar="DIR",
        help="where the data lies among Kaggle's inputs, such as SLUG/data (default: found)",
    )
    command.add_argument("--out", metavar="DIR", required=True, help="folder of what is sent, and of what comes back")
    command.add_argument("--name", metavar="NAME", help="in the titles on Kaggle (default: that of the run's folder)")
    command.add_argument("--only", metavar="NUMBERS", help="notebooks, such as 04,05")
    command.add_argument(
        "--hours",
        type=float,
        default=8.5,
        help="limit of a kernel that trains (default: %(default)s; Kaggle's is 12 or 9)",
    )
    command.add_argument("--parts", type=int, default=1, metavar="N", help="kernels in a row that train (default: 1)")
    command.add_argument("--push", action="store_true", help="send it, wait, and fail where anything failed")
    command.add_argument("--status", action="store_true", help="how the kernels are doing; exit code 1 if one failed")
    command.add_argument("--fetch", action="store_true", help="bring outputs of kernels to DIR/outputs")


def _add_phantoms(commands: Any) -> None:
    command = commands.add_parser("phantoms", help="write a made-up data set to try things with")
    command.add_argument("--out", metavar="DIR", required=True)
    command.add_argument("--train", type=int, default=64, metavar="N", help="training images (default: %(default)s)")
    command.add_argument("--test", type=int, default=16, metavar="N", help="test images (default: %(default)s)")
    command.add_argument("--seed", type=int, default=0)


def _add_compare(commands: Any) -> None:
    command = commands.add_parser("compare", help="is the second run better than the first, image by image?")
    command.add_argument("first", metavar="RUN")
    command.add_argument("second", metavar="RUN")


def _add_predict(commands: Any) -> None:
    command = commands.add_parser("predict", help="masks for a folder of any images, by a finished run")
    command.add_argument("run", metavar="RUN", help="folder of a run, or of an ensemble")
    command.add_argument("images", metavar="IMAGES", help="a folder with images")
    command.add_argument("--out", metavar="DIR", required=True, help="folder of the masks; what is there is kept")
    command.add_argument("--probabilities", action="store_true", help="also the maps, as PNG of 16 bits: value/65535")


def _add_score(commands: Any) -> None:
    command = commands.add_parser("score", help="Dice and IoU of anybody's submission")
    command.add_argument("--truth", metavar="DIR", required=True, help="reference masks, or a data set with Test/Mask")
    command.add_argument("--submission", metavar="CSV", required=True)
    command.add_argument("--json", metavar="FILE", help="write the scores there too")
    _add_order(command)


def _add_decode(commands: Any) -> None:
    command = commands.add_parser("decode", help="masks as files, of a CSV with run lengths")
    command.add_argument("table", metavar="CSV", help="its first column names the images")
    command.add_argument("images", metavar="IMAGES", help="the folder with the images")
    command.add_argument("--out", metavar="DIR", required=True, help="folder of the masks, such as Train/Mask; new")
    command.add_argument("--rest-empty", action="store_true", help="images without a row get an empty mask")
    _add_order(command)


def _add_order(command: argparse.ArgumentParser) -> None:
    """Which run lengths of a CSV are meant, and how they count."""
    command.add_argument("--column", metavar="NAME", help="that of the run lengths (default: told by its name)")
    command.add_argument(
        "--where",
        metavar="COLUMN=VALUE",
        action="append",
        default=[],
        help="only rows with this value, such as class=stomach; repeatable",
    )
    command.add_argument("--by-rows", action="store_true", help="run lengths go along the rows")
    command.add_argument("--zero-based", action="store_true", help="run starts are counted from 0")
    command.add_argument(
        "--relative", action="store_true", help="run starts are counted from the end of the run before"
    )
