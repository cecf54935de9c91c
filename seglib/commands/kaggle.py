"""A run on Kaggle's machines: sent, watched and brought back."""

import argparse
from pathlib import Path

from seglib import errors, paths


def kaggle(arguments: argparse.Namespace) -> int:
    """Bundle, send, watch and fetch, as far as asked for; gives 1 where a kernel failed."""
    from seglib.kaggle import client, kernels

    out = paths.take_folder(Path(arguments.out).absolute())
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
