"""Data sets: what is wrong with one; one that is fetched, or made up."""

import argparse
import json
from pathlib import Path

from seglib import paths


def check(arguments: argparse.Namespace) -> int:
    """All that is wrong with a data set; gives 1 where anything is."""
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


def get(arguments: argparse.Namespace) -> None:
    """A data set that others have published, fetched."""
    from seglib import downloads

    print(downloads.get_data(arguments.name, paths.take_folder(Path(arguments.out))))


def phantoms(arguments: argparse.Namespace) -> None:
    """A data set that is made up."""
    from seglib.data import synthetic

    out = paths.take_folder(Path(arguments.out))
    print(synthetic.write_phantoms(out, train=arguments.train, test=arguments.test, seed=arguments.seed))
