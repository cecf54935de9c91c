"""Files of other people: images that a run predicts, and tables of run lengths."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from seglib import errors, paths

SAID_AT_MOST = 6  # values named in a line
MUCH_BETTER = 0.2  # of the mean Dice in the other direction


def predict(arguments: argparse.Namespace) -> None:
    """Masks for a folder of any images."""
    from seglib.checks import outputs, units
    from seglib.data import unseen
    from seglib.images import reading
    from seglib.machine import ranks
    from seglib.models import checkpoints
    from seglib.prediction import folders, rules

    run, out, rank = (
        Path(arguments.run).absolute(),
        paths.take_folder(Path(arguments.out).absolute()),
        ranks.find_rank(),
    )
    if not run.is_dir():
        raise errors.InputError(f"there is no folder {run}; name that of a run")
    outputs.refuse_among_images(out)
    source = Path(arguments.images)
    images, masks = unseen.list_images_below(source, out)
    if masks:
        print(f"{masks} masks in {source} are passed over", flush=True)
    members = checkpoints.load_members(run)
    config = members[0][1]
    for problem in units.judge_units(images, reading.Scale(config.black, config.white)) if rank.index == 0 else []:
        print(problem.sentence, flush=True)
    found = folders.predict_images(
        members,
        rules.read_rules(run / "masks.json"),
        images,
        out,
        source=source,
        with_maps=arguments.probabilities,
        rank=rank,
        say=lambda line: print(line, flush=True),
    )
    if found.missing:
        print(f"{found.missing} of {found.images} images are left to other processes; if none is at work, run it again")
        return
    print(f"masks       {out}\ntable       {out / folders.TABLE_NAME}", flush=True)
    if found.unreadable:
        raise errors.InputError(
            f"{len(found.unreadable)} of {found.images} images cannot be read and have no mask, listed in "
            f"{out / folders.UNREADABLE_NAME}; mend or remove them and run the same again"
        )


def score(arguments: argparse.Namespace) -> None:
    """Dice and IoU of anybody's submission."""
    from seglib.images import mask_files, masks
    from seglib.scores import summaries
    from seglib.submission import scoring

    truth = scoring.list_truth(Path(arguments.truth))
    first = [truth[stem] for stem in sorted(truth)[: scoring.LOOKED_AT]]
    if all(masks.is_photograph(path) for path in first):
        raise errors.InputError(
            f"{mask_files.first_file(first[0])} looks like a photograph and not like a mask, as do the others; name "
            "the folder that holds the reference masks"
        )
    rows = {"column": arguments.column, "where": _parse_where(arguments.where)}
    submitted = scoring.read_submitted(Path(arguments.submission), truth, **rows, **_name_order(arguments))
    scores = scoring.score_submission(submitted, truth, masks.read_mask)
    summary = summaries.summarise_scores(scores)
    for name, text in summaries.describe_scores(summary).items():
        print(f"{text}\n    {summaries.DEFINITIONS[name]}")
    if arguments.json:
        paths.write_text(Path(arguments.json), json.dumps(summary, indent=2) + "\n")
    ours, theirs = scoring.compare_directions(submitted, truth, masks.read_mask)
    if theirs >= ours + MUCH_BETTER:
        other = _name_other_direction(arguments)
        print(f"look: {other}, the Dice of the first images is {theirs:.4f} instead of {ours:.4f}")


def decode(arguments: argparse.Namespace) -> None:
    """The masks of a table of run lengths, as files."""
    from seglib.checks import outputs
    from seglib.submission import decoding

    how = {"column": arguments.column, "where": _parse_where(arguments.where), "rest_empty": arguments.rest_empty}
    out = paths.take_folder(Path(arguments.out).absolute())
    outputs.refuse_among_images(out)
    found = decoding.decode_masks(Path(arguments.table), Path(arguments.images), out, **how, **_name_order(arguments))
    print(f"masks       {out}: {found.masks}, of which {found.empty} are empty")
    if found.others:
        plural = "s" if found.others > 1 else ""
        print(f"passed over {found.others} row{plural} about images that are not in {arguments.images}")
    if found.joined:
        name, values = found.joined
        few = ", ".join(values[:SAID_AT_MOST]) + (", ..." if len(values) > SAID_AT_MOST else "")
        print(f"joined      rows of {len(values)} values of {name} ({few}); --where {name}={values[-1]} takes one")
    if found.torn:
        print(f"look        the masks seem torn; delete them and try {_name_other_direction(arguments)}")
    if found.untold:
        print("look        all images are square, so the direction could not be told: look at a few masks")


def _parse_where(pairs: Sequence[str]) -> dict[str, str]:
    unclear = [pair for pair in pairs if "=" not in pair]
    if unclear:
        raise errors.InputError(f"--where {unclear[0]} cannot be; write COLUMN=VALUE, such as class=stomach")
    return dict(pair.split("=", 1) for pair in pairs)


def _name_order(arguments: argparse.Namespace) -> dict[str, bool]:
    return {name: getattr(arguments, name) for name in ("by_rows", "zero_based", "relative")}


def _name_other_direction(arguments: argparse.Namespace) -> str:
    return "without --by-rows" if arguments.by_rows else "with --by-rows"
