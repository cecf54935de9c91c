"""``python -m seglib.leash``: the command ``seglib``, ended with all that it started as soon as its starter ends."""

import os
import sys
import threading

import psutil


def end_with_starter() -> None:
    """End this process and all below it as soon as its standard input is closed.

    Whoever starts it keeps the other end of the pipe, and does nothing else: even one that is killed lets go of it. So
    no process of a lost worker goes on writing into the folder in which another one has begun.
    """
    threading.Thread(target=_end_when_let_go, daemon=True).start()


def _end_when_let_go() -> None:
    while os.read(0, 1024):
        pass
    for process in psutil.Process().children(recursive=True):  # a kernel is in a session of its own
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    os._exit(1)


if __name__ == "__main__":
    from seglib.cli import main

    end_with_starter()
    sys.exit(main())
