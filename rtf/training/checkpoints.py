"""Checkpoints of a run: the last epoch and the best, each whole or not there at all.

A full disk or a kill leaves the former checkpoint. A run folder may be moved: the best epoch is remembered by
file name.
"""

import logging
from pathlib import Path

import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from rtf.files import whole

log = logging.getLogger(__name__)

FOLDER, LAST, BEST = "checkpoints", "checkpoints/last.ckpt", "checkpoints/best.ckpt"


class Checkpoints(ModelCheckpoint):
    """Lightning's, but without forgetting the best epoch when the run folder was moved."""

    def load_state_dict(self, state: dict) -> None:
        def here(path: str) -> str:
            return str(Path(self.dirpath) / Path(path).name) if path else path

        paths = ("best_model_path", "kth_best_model_path", "last_model_path")
        best = {here(path): score for path, score in state["best_k_models"].items()}
        state = state | {key: here(state[key]) for key in paths}
        super().load_state_dict(state | {"dirpath": self.dirpath, "best_k_models": best})


class WholeCheckpoints(TorchCheckpointIO):
    """Writes checkpoints whole or not at all, without a detour through another file system."""

    def save_checkpoint(self, checkpoint: dict, path, storage_options=None) -> None:
        try:
            with whole(path) as temporary:
                torch.save(checkpoint, temporary)
        except RuntimeError as error:  # torch's own word for a disk that is full
            raise OSError(f"{path} could not be written; is the disk full? ({error})") from error


def newest_checkpoint(run: Path) -> Path | None:
    """The checkpoint from which a run goes on: the last epoch, else the best; None: from the beginning.

    One that cannot be read is passed over, with a warning.
    """
    for name in (LAST, BEST):
        path = run / name
        if not path.exists():
            continue
        try:
            torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except Exception as error:  # whatever torch says to a file that is cut short
            log.warning("%s cannot be read and is left aside (%s)", path, " ".join(str(error).split())[:200])
        else:
            return path
    return None
