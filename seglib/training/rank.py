"""``torchrun ... -m seglib.training.rank ORDER``: one of those that train together, by an order in a folder."""

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Thread

from seglib.errors import InputError, MemoryShortageError
from seglib.training.members import fit_members
from seglib.training.orders import GRACE_SECONDS, REFUSAL, SHORTAGE, read_order
from seglib.writing import write_text


def main(words: Sequence[str]) -> int:
    """Do what the order says: 0, or 2 for something the user can mend, or 130 when interrupted.

    Args:
        words: the folder that ``orders.write_order`` left; and ``--stop-with-stdin``, to stop when the standard input
            closes, as it does when the process that holds its other end is gone.
    """
    folder = Path(words[0])
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background inherits that it be ignored
    if "--stop-with-stdin" in words:
        Thread(target=_stop_with_stdin, daemon=True).start()
    try:
        fit_members(*read_order(folder))
    except InputError as error:
        if folder.is_dir():
            write_text(folder / (SHORTAGE if isinstance(error, MemoryShortageError) else REFUSAL), str(error))
        print(f"seglib: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _stop_with_stdin() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(GRACE_SECONDS)
    os._exit(130)  # it waits for another process, which is gone


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
