"""Data sets: what is wrong with one; one that is fetched, or made up."""

import argparse
import json
from pathlib import Path

from seglib import paths


def check(arguments: argparse.Namespace) -> int:
    """All that is wrong with a data set; gives 1 where anything is."""
    from seglib.checks import listing, problems
    from seglib.data import samples

    data_dir = paths.find_data_dir(fetch_if_named(arguments.data))
    table = problems.inspect_data(data_dir, folds=arguments.folds and Path(arguments.folds)).problems
    passed_over = samples.describe_left_out(data_dir)  # by the list that there was; it may be written below
    if arguments.fix_list:
        left_out = listing.list_left_out(table, data_dir)
        paths.write_text(Path(arguments.fix_list), left_out.to_csv(index=False))
    if arguments.json:
        print(json.dumps(table.to_dict("records"), indent=2))
    else:
        if passed_over:
            print(passed_over)
        print(f"{data_dir}: {listing.describe_problems(table)}")
        if arguments.fix_list:
            count = f"{len(left_out)} files" if len(left_out) else "no file"
            print(f"{arguments.fix_list} names {count} to leave out")
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


def fetch_if_named(data: str | None) -> str | Path | None:
    """A folder is taken as it is; the name of a data set is fetched into the project first, "phantoms" made there."""
    if not is_fetched(data):
        return data
    root = paths.find_project_root()
    if data == "phantoms":
        from seglib.data import synthetic

        return synthetic.write_phantoms(root / "outputs" / "phantoms")
    from seglib import downloads

    return downloads.get_data(data, root / "data" / data.removeprefix("kaggle:"))


def is_fetched(data: str | None) -> bool:
    """Whether this is the name of a data set, and not a folder."""
    named = data is not None and (data in {"phantoms", "isic2016"} or data.startswith("kaggle:"))
    return named and not Path(data).exists()
