"""Checkpoints -> files that are there whole or not at all."""

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins import TorchCheckpointIO

from seglib.errors import InputError
from seglib.writing import write_whole


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
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            with write_whole(place) as part:
                torch.save(checkpoint, part)
        except (OSError, RuntimeError) as error:  # torch's own writer raises the latter where the disk is full
            reason = getattr(error, "strerror", None) or "is the disk full?"
            raise InputError(f"{place} cannot be written ({reason}); free some room and run the same again") from error
