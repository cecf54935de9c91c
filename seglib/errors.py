"""What a user did that cannot be done, in one sentence with the cure; and what is wrong with one of the files."""

from pathlib import Path
from typing import NamedTuple


class InputError(ValueError):
    """A mistake in the data, the settings or the command line.

    Its message is one sentence that names the thing and says what to do about it; the command line prints that
    sentence without a traceback and leaves with exit code 2, and a notebook shows it without one, too.
    """

    def _render_traceback_(self) -> list[str]:
        """What IPython shows below the cell."""
        return [f"{type(self).__name__}: {self}"]


class MemoryShortageError(InputError):
    """Too many images at once for the memory of a device."""


class KilledError(RuntimeError):
    """A process that computed for us is gone: killed, or out of memory. To begin again may help."""


class Problem(NamedTuple):
    """What is wrong with a file: a row of the table of `listing`, or a sentence to stop with."""

    file: Path
    problem: str  # its kind, a key of ``listing.KINDS``
    fact: str  # what was found
    cure: str  # what to do about it

    @property
    def sentence(self) -> str:
        """All of it, for an `InputError`."""
        return f"{self.file} {self.fact}; {self.cure}"

    @classmethod
    def of_error(cls, file: Path, problem: str, error: InputError) -> "Problem":
        """What an `InputError` about a file says, taken apart: ``FILE: FACT; CURE``."""
        fact, _, cure = str(error).removeprefix(str(file)).lstrip(": ").rpartition("; ")
        return cls(file, problem, fact, cure)

    @classmethod
    def of_sizes(cls, file: Path, mask: tuple[int, int], image: tuple[int, int]) -> "Problem":
        """A mask of another height and width than its image."""
        fact = f"is {mask[1]} x {mask[0]} pixels but its image is {image[1]} x {image[0]}"
        turned = " (or turn it, if a camera's note in the image, EXIF, turns that)" if mask == image[::-1] else ""
        return cls(
            file, "size mismatch", fact, f"export the mask again at the size of the image{turned}, or remove both"
        )
