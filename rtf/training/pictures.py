"""Pictures of rebuilt light curves while a model trains, for the tracker."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from lightning.pytorch.callbacks import Callback

from rtf.encoding.fingerprinter import Fingerprinter
from rtf.figures import light_curve_figure, rebuilt_light_curves, save
from rtf.store.read import open_store


class ReconstructionPictures(Callback):
    """Rebuilt light curves of a few validation sources, drawn as training goes on.

    Parameters
    ----------
    store : the run's data set
    every : epochs between pictures; the last epoch always has one
    n_sources : panels, spread evenly over the validation split
    log : given a name, the image file and the epoch; the file is gone afterwards
    """

    def __init__(self, store: str, every: int, n_sources: int, log: Callable[[str, Path, int], None]):
        self.store, self.every, self.n_sources, self.log_picture = store, every, n_sources, log

    def on_fit_start(self, trainer, task) -> None:
        store = open_store(self.store)
        here = store.sources("val")
        chosen = np.unique(np.linspace(0, here.stop - here.start - 1, self.n_sources).astype(int))
        self.names, self.labels = store.object_id[here][chosen], store.label[here][chosen]
        self.detections = store.detections("val", cutouts=True).take(chosen)

    def on_train_epoch_end(self, trainer, task) -> None:
        epoch = trainer.current_epoch + 1
        if not trainer.is_global_zero:
            return
        if epoch % self.every and epoch != trainer.max_epochs:
            return
        fingerprinter: Fingerprinter = task.fingerprinter()
        curves = rebuilt_light_curves(fingerprinter.reconstruct(self.detections), self.names, self.labels)
        task.model.train()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rebuilt.png"
            save(light_curve_figure(curves, f"validation sources, epoch {epoch}"), path)
            self.log_picture("val/light_curves", path, trainer.current_epoch)
