"""Runs: one, many, several as one, and two against each other."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seglib import config, errors, paths
from seglib.commands import sets

if TYPE_CHECKING:
    import pandas as pd  # only named below; to import it is most of the wait for --help


def run(arguments: argparse.Namespace) -> None:
    """Notebooks in order, from images to a submission and a report; a process that another one leads only trains."""
    from seglib.checks import outputs
    from seglib.data import fingerprints
    from seglib.images import mask_files
    from seglib.machine import ranks
    from seglib.runs import manifests, notebooks
    from seglib.training import orders

    names = notebooks.choose_notebooks(arguments.only)
    settings = notebooks.parse_settings(arguments.preset, arguments.set)
    if ranks.find_rank().index > 0:
        return _join(names, paths.resolve_output_dir(Path(arguments.out).absolute()))
    data_dir = paths.find_data_dir(sets.fetch_if_named(arguments.data))
    output_dir = paths.resolve_output_dir(Path(arguments.out).absolute())
    outputs.refuse_among_data(output_dir, data_dir)
    names = notebooks.choose_notebooks(arguments.only, with_test=_look_for_test(data_dir, arguments.only))
    train = check_data(data_dir, with_test="05_submission" in names)
    data_hash = fingerprints.fingerprint_data(mask_files.list_files(train))
    manifests.check_output(output_dir, preset=arguments.preset, settings=settings, data_hash=data_hash)
    if "02_training" in names and not any(output_dir.rglob("last.ckpt")):
        _say_duration(config.make_config(arguments.preset, **settings), len(train))
    paths.resolve_output_dir(output_dir, create=True)
    facts = {"preset": arguments.preset, "settings": settings, "data_hash": data_hash}
    with orders.lead(output_dir):
        notebooks.run_notebooks(names, data_dir=data_dir, output_dir=output_dir, **facts)
    _say_results(output_dir)


def _join(names: Sequence[str], output_dir: Path) -> None:
    """Train with the process that runs the notebooks, as torchrun or SLURM started several."""
    from seglib.training import members, orders

    if "02_training" in names:
        members.fit_members(*orders.await_order(output_dir))


def grid(arguments: argparse.Namespace) -> None:
    """Every combination of settings that a file asks for."""
    from seglib.checks import outputs
    from seglib.grid import cells, run

    if arguments.workers is not None and (arguments.scheduler or arguments.workers < 1):
        raise errors.InputError(
            "--workers is how many are started here, 1 or more; a cluster at --scheduler has its own"
        )
    asked = cells.read_grid(Path(arguments.file))
    if arguments.dry_run:
        if not sets.is_fetched(asked.data):
            data_dir = paths.find_data_dir(asked.data)
            outputs.refuse_among_data(asked.out, data_dir)
            asked = cells.fit_to_data(asked, with_test=_look_for_test(data_dir, asked.only))
            cells.check_cells(asked, data_dir)
        print(cells.describe_plan(asked))
        return
    data_dir = paths.find_data_dir(sets.fetch_if_named(asked.data))
    outputs.refuse_among_data(asked.out, data_dir)
    asked = cells.fit_to_data(asked, with_test=_look_for_test(data_dir, asked.only))
    where = {"scheduler": arguments.scheduler, "workers": arguments.workers}
    failed = run.run_grid(asked, data_dir, **where, say=lambda line: print(line, flush=True))
    print(f"table       {asked.out / 'grid.csv'}", flush=True)
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(asked.cells)} cells failed; {failed[0]}")


def ensemble(arguments: argparse.Namespace) -> None:
    """Several runs as one."""
    from seglib.checks import outputs
    from seglib.data import fingerprints
    from seglib.images import mask_files
    from seglib.runs import ensembles, notebooks

    output_dir = paths.resolve_output_dir(Path(arguments.out).absolute())
    plan = ensembles.plan_ensemble([Path(run).absolute() for run in arguments.runs], output_dir)
    first = plan.first
    facts = {name: first[name] for name in ("preset", "settings", "data_hash")}
    data_dir = paths.find_data_dir(sets.fetch_if_named(arguments.data) or paths.lengthen(first["data_dir"]))
    outputs.refuse_among_data(output_dir, data_dir)
    with_test = _look_for_test(data_dir)
    names = notebooks.choose_notebooks("03,04,05" if with_test else "03,04")
    train = check_data(data_dir, with_test=with_test)
    if fingerprints.fingerprint_data(mask_files.list_files(train)) != first["data_hash"]:
        raise errors.InputError(f"the runs were made on other data than {data_dir}; name theirs with --data")
    ensembles.write_ensemble(plan, output_dir)
    notebooks.run_notebooks(names, data_dir=data_dir, output_dir=output_dir, **facts)
    _say_results(output_dir)


def compare(arguments: argparse.Namespace) -> None:
    """Whether the second run is better than the first, image by image."""
    from seglib.scores import intervals, masks

    pairs = masks.pair_scores(Path(arguments.first), Path(arguments.second))
    groups = pairs["group"].to_numpy()
    count = pairs["group"].nunique()
    of = f" of {count} groups, each of which counts as one," if count < len(pairs) else ""
    print(f"{len(pairs)} images{of} that both runs held out; + means that the second is better")
    for name, word in (("dice", "Dice"), ("iou", "IoU")):
        scores = (pairs[f"{name}_{which}"].to_numpy() for which in ("first", "second"))
        facts = intervals.compare_scores(*scores, groups=groups)
        ends = f"95 % interval {facts['low']:+.4f} to {facts['high']:+.4f}"
        ends = ends if count > 1 else "no interval, as all is of one image or group"
        print(
            f"{word:4} {facts['difference']:+.4f} ({ends}), "
            f"p = {facts['p']:.2g}; better on {facts['better']}, worse on {facts['worse']} of {len(pairs)} images"
        )
        print(f"     {intervals.describe_comparison(facts)}")


def _look_for_test(data_dir: Path, only: str | None = None) -> bool:
    """Whether there is a folder for test images; where not, and all notebooks are meant, it is said what follows.

    A folder that holds no training images either is not what was meant, so these are looked for first.
    """
    from seglib.data import samples
    from seglib.trees import parts

    found = parts.has_test(data_dir)
    if not found and only is None:
        samples.list_samples(data_dir)
        print(f"{data_dir} holds no folder Test, so nothing is predicted for submission: 05_submission is left out")
    return found


def check_data(data_dir: Path, *, with_test: bool) -> "pd.DataFrame":
    """The training samples, after everything that will be read was read once; stops at what cannot work."""
    from seglib.checks import facts, fields, labels, pages, units
    from seglib.data import samples, unseen
    from seglib.submission import files
    from seglib.trees import leftovers

    train = samples.list_samples(data_dir)
    if passed_over := samples.describe_left_out(data_dir):
        print(passed_over)
    test = unseen.list_test_images(data_dir) if with_test else None
    if test is not None and (template := files.find_template(data_dir, set(test["sample_id"]), say=print)):
        if template.parent != data_dir.absolute():
            print(f"the submission will have the order and columns of {template}", flush=True)
        files.check_template(template, set(test["sample_id"]))
    for folder in (unused := leftovers.find_unused(data_dir, samples.read_left_out(data_dir))):
        print(f"{folder} holds images that are not used")
    for problem in samples.tell_extras(data_dir):
        print(problem.sentence)
    scale = facts.find_scale(train)
    measured = facts.check_samples(train, scale=scale)
    for problem in fields.find_field_of_view(measured, unused):
        raise errors.InputError(problem.sentence)
    for problem in [*labels.judge_labels(measured), *pages.judge_pages(train, test)]:
        print(problem.sentence)
    if test is not None:
        for problem in units.judge_units(test, scale):
            print(problem.sentence)
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


def _say_results(output_dir: Path) -> None:
    from seglib.runs import findings, report

    print(f"score       {findings.describe_headline(output_dir)}")
    print(f"report      {report.write_report(output_dir)}")
    if (output_dir / "submission.csv").exists():
        print(f"submission  {output_dir / 'submission.csv'}")
    if paths.is_unfinished(output_dir):
        print(findings.UNFINISHED)
