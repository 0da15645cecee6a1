"""The training task: losses, optimiser and schedule, in Lightning's terms."""

import math
from collections.abc import Callable

import lightning
import torch
from torch import Tensor, nn

from rtf.features.photometry import CHANNELS
from rtf.models.losses import channel_losses, classification_loss
from rtf.store.batches import Batch


class ReconstructionTask(lightning.LightningModule):
    """Train an autoencoder to rebuild light curves.

    The loss is the mean of the four channels' losses, plus the bands' cross-entropy, plus the bottleneck's
    own loss, plus `cls_weight` times the classification loss where there is a head.

    Parameters
    ----------
    model : `rtf.models.autoencoder.Autoencoder`
    optimizer : builds the optimiser from parameters
    loss : distance of the continuous channels, a key of `rtf.models.losses.DISTANCES`
    cls_weight : weight of the classification head's loss
    warmup : share of all steps in which the learning rate rises from 0
    seed : with the epoch, decides dropout, so that a resumed run repeats an uninterrupted one
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Callable[..., torch.optim.Optimizer],
        *,
        loss: str,
        cls_weight: float,
        warmup: float,
        seed: int,
    ):
        super().__init__()
        self.model, self.build_optimizer = model, optimizer
        self.distance, self.cls_weight, self.warmup, self.seed = loss, cls_weight, warmup, seed

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        output = self.model(batch)
        losses = channel_losses(output, batch, self.distance)
        total = torch.stack([losses[c] for c in CHANNELS]).mean() + losses["band"] + output.bottleneck_loss
        if output.logits is not None:
            losses["classification"] = classification_loss(output.logits, batch.label)
            total = total + self.cls_weight * losses["classification"]
        return {"loss": total, **losses}

    def transfer_batch_to_device(self, batch: Batch, device, dataloader_idx: int) -> Batch:
        return batch.to(device, non_blocking=True)

    def on_train_epoch_start(self) -> None:
        torch.manual_seed((self.seed << 20) + self.current_epoch)

    def training_step(self, batch: Batch, _: int) -> Tensor:
        losses = self.losses(batch)
        self._log("train", losses, batch)
        return losses["loss"]

    def validation_step(self, batch: Batch, _: int) -> None:
        self._log("val", self.losses(batch), batch)

    def _log(self, stage: str, losses: dict[str, Tensor], batch: Batch) -> None:
        # Means over an epoch weight each batch by its detections, as the losses themselves do. A batch's
        # count differs between processes, so Lightning is left to weight them.
        self.log_dict(
            {f"{stage}/{name}": value.detach() for name, value in losses.items()},
            on_step=False,
            on_epoch=True,
            batch_size=int(batch.mask.sum()),
            sync_dist=self.trainer.world_size > 1,
        )

    def configure_optimizers(self) -> dict:
        optimizer = self.build_optimizer(self.parameters())
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: warmup_cosine(step, steps, self.warmup)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def warmup_cosine(step: int, steps: int, warmup: float, floor: float = 0.01) -> float:
    """Learning-rate factor: a linear rise over `warmup` of the steps, then a cosine down to `floor`."""
    rise = max(warmup * steps, 1)
    if step < rise:
        return (step + 1) / rise
    progress = min((step - rise) / max(steps - rise, 1), 1.0)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))
