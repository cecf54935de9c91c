"""What was asked for on the command line -> the functions of the package; nothing else."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from seglib import config, errors, paths
from seglib.arguments import parse_words

SAID_AT_MOST = 6  # values named in a line
MUCH_BETTER = 0.2  # of the mean Dice in the other direction


def main(words: Sequence[str] | None = None) -> int:
    """Run one command.

    The exit code is 0, 1 for a failure of ours (``check``: for problems found), 2 for something the user can mend, 137
    where a process that computed for us was killed, 130 where we were stopped, or 141 where nobody reads on.
    """
    arguments = parse_words(words)
    try:
        code = COMMANDS[arguments.command](arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        return _end_pipe()
    except errors.InputError as error:
        return _stop(str(error), 2)
    except OSError as error:  # a full disk, a folder that is a file
        return _stop(f"{error.filename or 'a file'}: {error.strerror or error}; mend that and run the same again", 2)
    except errors.KilledError as error:
        return _stop(str(error), 137)
    except RuntimeError as error:
        return _stop(str(error), 1)
    except KeyboardInterrupt:
        return _stop("stopped; the same command goes on after the last finished epoch or image", 130)
    return code or 0


def _end_pipe() -> int:
    """Silence where whoever reads, such as head, has seen enough; but another pipe is that of a process of ours."""
    try:
        print(flush=True)  # a flush alone finds nothing left to write
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python flushes once more, and complains
        return 141
    return _stop("a process that worked for this one has gone; run the same again", 1)


def _stop(sentence: str, code: int) -> int:
    print(f"seglib: {sentence}", file=sys.stderr)
    return code


def _run(arguments: argparse.Namespace) -> None:
    from seglib.data import fingerprints
    from seglib.images import mask_files
    from seglib.machine import ranks
    from seglib.runs import notebooks
    from seglib.training import orders

    names = notebooks.choose_notebooks(arguments.only)
    settings = notebooks.parse_settings(arguments.preset, arguments.set)
    if ranks.find_rank().index > 0:
        return _join(names, paths.resolve_output_dir(Path(arguments.out).absolute()))
    data_dir = paths.find_data_dir(_fetch_if_named(arguments.data))
    names = notebooks.choose_notebooks(arguments.only, with_test=_look_for_test(data_dir, arguments.only))
    output_dir = paths.resolve_output_dir(Path(arguments.out).absolute())
    train = _check_data(data_dir, with_test="05_submission" in names)
    data_hash = fingerprints.fingerprint_data(mask_files.list_files(train))
    notebooks.check_output(output_dir, preset=arguments.preset, settings=settings, data_hash=data_hash)
    if "02_training" in names and not any(output_dir.rglob("last.ckpt")):
        _say_duration(config.make_config(arguments.preset, **settings), len(train))
    paths.resolve_output_dir(output_dir, create=True)
    facts = {"preset": arguments.preset, "settings": settings, "data_hash": data_hash}
    with orders.lead(output_dir):
        notebooks.run_notebooks(names, data_dir=data_dir, output_dir=output_dir, **facts)
    _say_results(output_dir)


def _look_for_test(data_dir: Path, only: str | None = None) -> bool:
    """Whether there is a folder for test images; where not, and all notebooks are meant, it is said what follows."""
    from seglib.data import trees

    found = trees.has_test(data_dir)
    if not found and only is None:
        print(f"{data_dir} holds no folder Test, so nothing is predicted for submission: 05_submission is left out")
    return found


def _say_results(output_dir: Path) -> None:
    from seglib.runs import report

    print(f"score       {report.describe_headline(output_dir)}")
    print(f"report      {report.write_report(output_dir)}")
    if (output_dir / "submission.csv").exists():
        print(f"submission  {output_dir / 'submission.csv'}")
    if paths.is_unfinished(output_dir):
        print(report.UNFINISHED)


def _join(names: Sequence[str], output_dir: Path) -> None:
    """Train with the process that runs the notebooks, as torchrun or SLURM started several."""
    from seglib.training import members, orders

    if "02_training" in names:
        members.fit_members(*orders.await_order(output_dir))


def _grid(arguments: argparse.Namespace) -> None:
    from seglib.grid import cells, run

    if arguments.workers is not None and (arguments.scheduler or arguments.workers < 1):
        raise errors.InputError(
            "--workers is how many are started here, 1 or more; a cluster at --scheduler has its own"
        )
    asked = cells.read_grid(Path(arguments.file))
    if arguments.dry_run:
        if not _is_fetched(asked.data):
            data_dir = paths.find_data_dir(asked.data)
            asked = cells.fit_to_data(asked, with_test=_look_for_test(data_dir, asked.only))
            cells.check_cells(asked, data_dir)
        print(cells.describe_plan(asked))
        return
    data_dir = paths.find_data_dir(_fetch_if_named(asked.data))
    asked = cells.fit_to_data(asked, with_test=_look_for_test(data_dir, asked.only))
    where = {"scheduler": arguments.scheduler, "workers": arguments.workers}
    failed = run.run_grid(asked, data_dir, **where, say=lambda line: print(line, flush=True))
    print(f"table       {asked.out / 'grid.csv'}", flush=True)
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(asked.cells)} cells failed; {failed[0]}")


def _ensemble(arguments: argparse.Namespace) -> None:
    from seglib.data import fingerprints
    from seglib.images import mask_files
    from seglib.runs import ensembles, notebooks

    output_dir = paths.resolve_output_dir(Path(arguments.out).absolute())
    first = ensembles.make_ensemble([Path(run).absolute() for run in arguments.runs], output_dir)
    facts = {name: first[name] for name in ("preset", "settings", "data_hash")}
    data_dir = paths.find_data_dir(_fetch_if_named(arguments.data or first["data_dir"]))
    with_test = _look_for_test(data_dir)
    names = notebooks.choose_notebooks("03,04,05" if with_test else "03,04")
    train = _check_data(data_dir, with_test=with_test)
    if fingerprints.fingerprint_data(mask_files.list_files(train)) != first["data_hash"]:
        raise errors.InputError(f"the runs were made on other data than {data_dir}; name theirs with --data")
    notebooks.run_notebooks(names, data_dir=data_dir, output_dir=output_dir, **facts)
    _say_results(output_dir)


def _predict(arguments: argparse.Namespace) -> None:
    from seglib.data import samples
    from seglib.machine import ranks
    from seglib.models import checkpoints
    from seglib.prediction import folders, rules

    run, out, rank = Path(arguments.run).absolute(), Path(arguments.out).absolute(), ranks.find_rank()
    if not run.is_dir():
        raise errors.InputError(f"there is no folder {run}; name that of a run")
    source = Path(arguments.images)
    images, masks = samples.list_images_below(source, out)
    if masks:
        print(f"{masks} masks in {source} are passed over", flush=True)
    found = folders.predict_images(
        checkpoints.load_members(run),
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


def _fetch_if_named(data: str | None) -> str | Path | None:
    """A folder is taken as it is; the name of a data set is fetched into the project first, "phantoms" made there."""
    if not _is_fetched(data):
        return data
    root = paths.find_project_root()
    if data == "phantoms":
        from seglib.data import synthetic

        return synthetic.write_phantoms(root / "outputs" / "phantoms")
    from seglib import downloads

    return downloads.get_data(data, root / "data" / data.removeprefix("kaggle:"))


def _is_fetched(data: str | None) -> bool:
    """Whether this is the name of a data set, and not a folder."""
    named = data is not None and (data in {"phantoms", "isic2016"} or data.startswith("kaggle:"))
    return named and not Path(data).exists()


def _check_data(data_dir: Path, *, with_test: bool) -> pd.DataFrame:
    """The training samples, after everything that will be read was read once; stops at what cannot work."""
    from seglib.checks import facts, fields, labels
    from seglib.data import leftovers, samples
    from seglib.submission import files

    train = samples.list_samples(data_dir)
    test = samples.list_test_images(data_dir) if with_test else None
    if test is not None and (template := files.find_template(data_dir, set(test["sample_id"]), say=print)):
        if template.parent != data_dir.absolute():
            print(f"the submission will have the order and columns of {template}", flush=True)
        files.check_template(template, set(test["sample_id"]))
    for folder in (unused := leftovers.find_unused(data_dir, samples.read_left_out(data_dir))):
        print(f"{folder} holds images that are not used")
    scale = facts.find_scale(train)
    measured = facts.check_samples(train, scale=scale)
    for problem in fields.find_field_of_view(measured, unused):
        raise errors.InputError(problem.sentence)
    for problem in labels.judge_labels(measured):
        print(problem.sentence)
    if test is not None:
        facts.measure_test_images(test, scale=scale)
    print(f"{data_dir}: {len(train)} training images" + (f", {len(test)} test images" if test is not None else ""))
    return train


def _say_duration(settings: config.Config, count: int) -> None:
    """Hours are announced before they are spent."""
    import dataclasses

    from seglib.models import networks
    from seglib.training import durations

    white = settings.black + 255 if settings.white is None else settings.white
    known = dataclasses.replace(settings, in_channels=settings.in_channels or 3, white=white)
    val_size = round(count / settings.n_folds)
    network = networks.build_model(known)
    seconds = durations.estimate_seconds(network, known, train_size=count - val_size, val_size=val_size)
    print(durations.describe_duration(seconds), flush=True)


def _check(arguments: argparse.Namespace) -> int:
    from seglib.checks import listing, problems

    data_dir = paths.find_data_dir(arguments.data)
    table = problems.inspect_data(data_dir, folds=arguments.folds and Path(arguments.folds)).problems
    if arguments.fix_list:
        paths.write_text(Path(arguments.fix_list), listing.list_left_out(table, data_dir).to_csv(index=False))
    if arguments.json:
        print(json.dumps(table.to_dict("records"), indent=2))
    else:
        print(f"{data_dir}: {listing.describe_problems(table)}")
    return int((table["severity"] != "note").any())


def _get(arguments: argparse.Namespace) -> None:
    from seglib import downloads

    print(downloads.get_data(arguments.name, Path(arguments.out)))


def _phantoms(arguments: argparse.Namespace) -> None:
    from seglib.data import synthetic

    print(
        synthetic.write_phantoms(Path(arguments.out), train=arguments.train, test=arguments.test, seed=arguments.seed)
    )


def _score(arguments: argparse.Namespace) -> None:
    from seglib.images import reading
    from seglib.scores import summaries
    from seglib.submission import scoring

    truth = scoring.list_truth(Path(arguments.truth))
    rows = {"column": arguments.column, "where": _parse_where(arguments.where)}
    submitted = scoring.read_submitted(Path(arguments.submission), truth, **rows, **_name_order(arguments))
    scores = scoring.score_submission(submitted, truth, reading.read_mask)
    summary = summaries.summarise_scores(scores)
    for name, text in summaries.describe_scores(summary).items():
        print(f"{text}\n    {summaries.DEFINITIONS[name]}")
    if arguments.json:
        paths.write_text(Path(arguments.json), json.dumps(summary, indent=2) + "\n")
    ours, theirs = scoring.compare_directions(submitted, truth, reading.read_mask)
    if theirs >= ours + MUCH_BETTER:
        other = _name_other_direction(arguments)
        print(f"look: {other}, the Dice of the first images is {theirs:.4f} instead of {ours:.4f}")


def _parse_where(pairs: Sequence[str]) -> dict[str, str]:
    unclear = [pair for pair in pairs if "=" not in pair]
    if unclear:
        raise errors.InputError(f"--where {unclear[0]} cannot be; write COLUMN=VALUE, such as class=stomach")
    return dict(pair.split("=", 1) for pair in pairs)


def _name_order(arguments: argparse.Namespace) -> dict[str, bool]:
    return {name: getattr(arguments, name) for name in ("by_rows", "zero_based", "relative")}


def _name_other_direction(arguments: argparse.Namespace) -> str:
    return "without --by-rows" if arguments.by_rows else "with --by-rows"


def _decode(arguments: argparse.Namespace) -> None:
    from seglib.submission import decoding

    how = {"column": arguments.column, "where": _parse_where(arguments.where), "rest_empty": arguments.rest_empty}
    out = Path(arguments.out).absolute()
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


def _compare(arguments: argparse.Namespace) -> None:
    from seglib.scores import intervals, masks

    pairs = masks.pair_scores(Path(arguments.first), Path(arguments.second))
    groups = pairs["group"].to_numpy()
    of = f" of {count} groups, each of which counts as one," if (count := pairs["group"].nunique()) < len(pairs) else ""
    print(f"{len(pairs)} images{of} that both runs held out; + means that the second is better")
    for name, word in (("dice", "Dice"), ("iou", "IoU")):
        scores = (pairs[f"{name}_{which}"].to_numpy() for which in ("first", "second"))
        facts = intervals.compare_scores(*scores, groups=groups)
        print(
            f"{word:4} {facts['difference']:+.4f} (95 % interval {facts['low']:+.4f} to {facts['high']:+.4f}), "
            f"p = {facts['p']:.2g}; better on {facts['better']}, worse on {facts['worse']} of {len(pairs)} images"
        )
        print(f"     {intervals.describe_comparison(facts)}")


def _kaggle(arguments: argparse.Namespace) -> int:
    from seglib.kaggle import client, kernels

    out = Path(arguments.out).absolute()
    if arguments.run or arguments.preset or arguments.set:
        _bundle(arguments, out)
    elif not (arguments.push or arguments.status or arguments.fetch):
        raise errors.InputError("nothing to do; name --run RUN or --preset NAME, or say --push, --status or --fetch")
    if arguments.push:
        client.push_bundle(out, say=lambda line: print(line, flush=True))
    states = client.list_states(out) if arguments.status else []
    for name, state in states:
        print(f"{name}  {state}")
    if arguments.fetch:
        for folder in client.fetch_outputs(out, out / kernels.OUTPUTS):
            print(f"output of {folder.name}: {folder}")
    return int(any(state.startswith(client.BAD) for _, state in states))


def _bundle(arguments: argparse.Namespace, out: Path) -> None:
    from seglib.kaggle import bundle
    from seglib.runs import notebooks

    if arguments.run and (arguments.preset or arguments.set):
        raise errors.InputError("--run has its own numbers; leave out --preset and --set, or leave out --run")
    if arguments.owner is None:
        raise errors.InputError("whose kernels will they be? give --owner, the last part of your page's address")
    if arguments.run:
        recipe = bundle.read_recipe(Path(arguments.run).absolute())
    else:
        preset = arguments.preset or "baseline"
        recipe = bundle.Recipe(preset, notebooks.parse_settings(preset, arguments.set))
    called = Path(arguments.run).absolute().name if arguments.run else recipe.preset
    kernels = bundle.make_bundle(
        recipe,
        out,
        owner=arguments.owner,
        name=arguments.name or called.lower().replace("_", "-"),
        competition=arguments.competition,
        datasets=arguments.dataset,
        data_dir=arguments.data_dir,
        only=arguments.only,
        hours=arguments.hours,
        parts=arguments.parts,
    )
    for kernel in kernels:
        print(f"{kernel.id}  reads {kernel.follows.id if kernel.follows else 'the data set'}")
    print(f"ready in {out}; send it with seglib kaggle --out {arguments.out} --push")


COMMANDS = {
    "run": _run,
    "grid": _grid,
    "ensemble": _ensemble,
    "check": _check,
    "get": _get,
    "kaggle": _kaggle,
    "phantoms": _phantoms,
    "compare": _compare,
    "predict": _predict,
    "score": _score,
    "decode": _decode,
}
