"""Checkpoints -> files that are there whole or not at all."""

import os
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins import TorchCheckpointIO

from seglib.errors import InputError

PART = ".{name}.{process}.part"  # beside its place


class WholeCheckpoints(TorchCheckpointIO):
    """Lightning's, written beside their place and moved onto it in one step.

    Lightning's own write into the folder for temporary files first. Where that is on another disk, the move is a copy
    onto the checkpoint of before, and a kill during it leaves neither.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint.

        Raises:
            InputError: if the disk does not take it; the checkpoint of before is still there then.
        """
        place = Path(path)
        part = place.with_name(PART.format(name=place.name, process=os.getpid()))
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.save(checkpoint, part)
            os.replace(part, place)
        except (OSError, RuntimeError) as error:  # torch's own writer raises the latter where the disk is full
            reason = getattr(error, "strerror", None) or "is the disk full?"
            raise InputError(f"{place} cannot be written ({reason}); free some room and run the same again") from error
        finally:
            part.unlink(missing_ok=True)


def remove_parts(folder: Path) -> None:
    """Remove what a killed process left of checkpoints."""
    for part in folder.glob(PART.format(name="*.ckpt", process="*")):
        part.unlink(missing_ok=True)
