"""A bundle -> Kaggle and back, by the real client; what it calls a success is believed only where it is one."""

import contextlib
import importlib.util
import io
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from seglib.errors import InputError
from seglib.kaggle.kernels import DATASET, KERNELS, ORDER
from seglib.machine.progress import is_watched

FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0  # seconds between two looks at what goes on
DATASET_LIMIT = 3600.0  # seconds in which a data set is ready, or never will be
ENDED = {"COMPLETE", "ERROR", "CANCEL_ACKNOWLEDGED"}
BAD = ("error", "cancel", "failed")  # how the words for a bad state begin
SOURCES = ("dataset", "competition", "kernel", "model")  # what a kernel can be attached to


def push_bundle(out: Path, *, say: Callable[[str], None] = print) -> None:
    """Send the data set, wait until it is ready, then each kernel, and wait until it has ended well.

    Args:
        out: the folder that ``bundle.make_bundle`` wrote.
        say: what tells the user how it goes.

    Raises:
        InputError: if the client is missing or has no credentials, Kaggle refuses something or drops it in silence, or
            a kernel ends in an error; with the words of Kaggle.
    """
    kernels = _read_kernels(out)
    api = _connect()
    _push_dataset(api, out / DATASET, say)
    for folder, about in kernels:
        _push_kernel(api, folder, about, say)
        _wait_for_kernel(api, about["id"], say)


def list_states(out: Path) -> list[tuple[str, str]]:
    """The data set and the kernels of a bundle, each with its state on Kaggle in words.

    Raises:
        InputError: as ``push_bundle``.
    """
    kernels, api = _read_kernels(out), _connect()
    about = json.loads((out / DATASET / "dataset-metadata.json").read_text(encoding="utf-8"))
    states = [(about["id"], _dataset_state(api, about["id"]) or "not sent")]
    for _, kernel in kernels:
        states.append((kernel["id"], _describe_state(*_kernel_state(api, kernel["id"]))))
    return states


def fetch_outputs(out: Path, target: Path) -> Iterator[Path]:
    """Bring the output of every kernel that has one into ``target``, a folder for each.

    Yields:
        The folder of each kernel, with its files and its log.

    Raises:
        InputError: as ``push_bundle``.
    """
    kernels, api = _read_kernels(out), _connect()
    for folder, kernel in kernels:
        state, _ = _kernel_state(api, kernel["id"])
        if state not in ENDED:
            continue
        own = target / folder.name
        with _kaggles_words(f"fetching the output of {kernel['id']}"):
            api.kernels_output(kernel["id"], str(own), force=True, quiet=True)
        yield own


def _read_kernels(out: Path) -> list[tuple[Path, dict[str, Any]]]:
    try:
        names = (out / ORDER).read_text(encoding="utf-8").split()
        folders = [out / KERNELS / name for name in names]
        return [(one, json.loads((one / "kernel-metadata.json").read_text(encoding="utf-8"))) for one in folders]
    except (OSError, ValueError):
        raise InputError(f"{out} holds nothing to push; make it with --run RUN or --preset NAME first") from None


def require_client() -> None:
    """Refuse where the client is not installed; it is not imported, as its import looks for credentials.

    Raises:
        InputError: if it, or what it needs, is missing.
    """
    for package in ("kaggle", "six"):  # the client needs six and does not say so
        if importlib.util.find_spec(package) is None:
            raise InputError(f"the package {package!r} is missing: pip install kaggle six (the extra seglib[kaggle])")


def _connect() -> Any:
    """The client, with the credentials it finds for itself."""
    require_client()
    with contextlib.redirect_stdout(io.StringIO()):  # its import prints how to log in, which comes once more below
        from kaggle.api.kaggle_api_extended import KaggleApi
    api, said = KaggleApi(), io.StringIO()
    with contextlib.redirect_stdout(said):
        try:
            api.authenticate()
        except SystemExit:
            raise InputError(f"the kaggle client has no credentials:\n{said.getvalue().strip()}") from None
        except OSError as error:
            raise InputError(f"Kaggle cannot be reached: {error}; connect to the internet and try again") from None
    return api


@contextlib.contextmanager
def _kaggles_words(doing: str) -> Iterator[None]:
    """Turn whatever the client raises into an InputError that says what was being done; its prints are not shown."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            yield
    except (Exception, SystemExit) as error:  # HTTPError of requests, ValueError, TypeError, OSError
        reason = str(error).strip() or said.getvalue().strip() or type(error).__name__
        raise InputError(f"{doing} failed: {reason}") from None


def _push_dataset(api: Any, folder: Path, say: Callable[[str], None]) -> None:
    about = json.loads((folder / "dataset-metadata.json").read_text(encoding="utf-8"))
    identifier = about["id"]
    before = _dataset_version(api, identifier)
    is_new = _dataset_state(api, identifier) is None
    say(f"data set {identifier}: sending {'it' if is_new else 'a new version'}")
    with _kaggles_words(f"sending the data set {identifier}"):
        how = {"dir_mode": "zip", "quiet": not is_watched()}  # left to itself, the client passes folders over
        if is_new:
            answer = api.dataset_create_new(str(folder), **how)
        else:
            answer = api.dataset_create_version(str(folder), "sent by seglib", **how)
    if answer is None or answer.error or (answer.status or "").lower() != "ok":
        words = answer.error or f"it answered {answer.status!r}" if answer is not None else "the client did not say why"
        raise InputError(f"Kaggle did not take the data set {identifier}: {words}")
    if answer.invalid_tags:
        raise InputError(f"Kaggle dropped tags of the data set {identifier}: {answer.invalid_tags}")
    _wait_for_dataset(api, identifier, before)
    say(f"data set {identifier}: ready")


def _wait_for_dataset(api: Any, identifier: str, before: int | None) -> None:
    """Wait until a data set is ready and, where versions are told, newer than ``before``."""
    for waited in _waits():
        state = _dataset_state(api, identifier)
        if state in {"failed", "deleted"}:
            raise InputError(f"Kaggle could not make the data set {identifier}: it is {state}; look at its page")
        now = _dataset_version(api, identifier) if before is not None else None
        if state == "ready" and (now is None or now > before):
            return
        if waited > DATASET_LIMIT:
            raise InputError(
                f"the data set {identifier} is still {state or 'out of sight'} after an hour; push again later"
            )


def _dataset_state(api: Any, identifier: str) -> str | None:
    """The state of a data set; None where there is none, for which Kaggle may answer 403 as for a private one."""
    from requests import HTTPError

    with _kaggles_words(f"asking for the data set {identifier}"):
        try:
            return api.dataset_status(identifier)
        except HTTPError as error:
            if error.response is not None and error.response.status_code in {403, 404}:
                return None
            raise


def _dataset_version(api: Any, identifier: str) -> int | None:
    """The number of the current version of a data set; None where it cannot be told."""
    try:
        with _kaggles_words("asking"):
            return int(json.loads(api.dataset_status(identifier, format="json"))["current_version_number"])
    except (InputError, TypeError, ValueError):
        return None


def _push_kernel(api: Any, folder: Path, about: dict[str, Any], say: Callable[[str], None]) -> None:
    identifier = about["id"]
    with _kaggles_words(f"sending the kernel {identifier}"):
        answer = api.kernels_push(str(folder))
    if answer is None or answer.error:
        raise InputError(f"Kaggle did not take the kernel {identifier}: {answer.error if answer else 'no answer'}")
    for kind in SOURCES:
        dropped = getattr(answer, f"invalid_{kind}_sources", None)
        if dropped:
            raise InputError(f"Kaggle dropped {kind} sources of the kernel {identifier}: {', '.join(dropped)}")
    if answer.invalid_tags:
        raise InputError(f"Kaggle dropped tags of the kernel {identifier}: {', '.join(answer.invalid_tags)}")
    say(f"kernel {identifier}: version {answer.version_number} runs, {answer.url}")


def _wait_for_kernel(api: Any, identifier: str, say: Callable[[str], None]) -> None:
    for _ in _waits():
        state, message = _kernel_state(api, identifier)
        if state in ENDED:
            break
    if state != "COMPLETE":
        raise InputError(f"the kernel {identifier} did not end well: {_describe_state(state, message)}")
    say(f"kernel {identifier}: complete")


def _kernel_state(api: Any, identifier: str) -> tuple[str, str]:
    from requests import HTTPError

    with _kaggles_words(f"asking for the kernel {identifier}"):
        try:
            answer = api.kernels_status(identifier)
        except HTTPError as error:
            if error.response is not None and error.response.status_code == 404:
                return "NOT_SENT", ""
            raise
    return answer.status.name, answer.failure_message or ""


def _describe_state(state: str, message: str) -> str:
    return f"{state.lower().replace('_', ' ')}{f' ({message})' if message else ''}"


def _waits() -> Iterator[float]:
    """Seconds waited so far, again and again, with longer and longer pauses in between."""
    started, pause = time.monotonic(), FIRST_WAIT
    while True:
        yield time.monotonic() - started
        time.sleep(pause)
        pause = min(LONGEST_WAIT, 1.5 * pause)
