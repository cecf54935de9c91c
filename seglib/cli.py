"""The command ``seglib``: words -> one of its commands, and how that ends: an exit code, and a sentence."""

import os
import sys
from collections.abc import Sequence

from seglib import errors
from seglib.arguments import parse_words
from seglib.commands import files, kaggle, runs, sets

COMMANDS = {
    "run": runs.run,
    "grid": runs.grid,
    "ensemble": runs.ensemble,
    "check": sets.check,
    "get": sets.get,
    "kaggle": kaggle.kaggle,
    "phantoms": sets.phantoms,
    "compare": runs.compare,
    "predict": files.predict,
    "score": files.score,
    "decode": files.decode,
}


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
    """End without a word where the reader of our output, such as head, has closed it; other broken pipes are errors."""
    try:
        print(flush=True)  # a flush alone finds nothing left to write
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python flushes once more, and complains
        return 141
    return _stop("a process that worked for this one has gone; run the same again", 1)


def _stop(sentence: str, code: int) -> int:
    print(f"seglib: {sentence}", file=sys.stderr)
    return code
