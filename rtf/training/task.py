"""The training task: losses, optimiser and schedule, in Lightning's terms."""

import math
from collections.abc import Callable, Mapping

import lightning
import torch
from torch import Tensor, nn

from rtf.models.losses import Mean, classification_loss
from rtf.store.batches import Batch
from rtf.workers import give_back


class ReconstructionTask(lightning.LightningModule):
    """Train an autoencoder to rebuild light curves.

    The loss is the decoder's reconstruction loss, plus the bottleneck's own loss, plus `cls_weight` times the
    classification loss where there is a head.

    Parameters
    ----------
    model : `rtf.models.autoencoder.Autoencoder`
    optimizer : builds the optimiser from parameters
    loss : distance of the continuous channels, a key of `rtf.models.losses.DISTANCES`
    cls_weight : weight of the classification head's loss
    log_prior : (C,) for logit adjustment of the classification loss, or None
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
        log_prior: Tensor | None = None,
    ):
        super().__init__()
        self.model, self.build_optimizer = model, optimizer
        self.distance, self.cls_weight, self.warmup, self.seed = loss, cls_weight, warmup, seed
        self.register_buffer("log_prior", log_prior, persistent=False)
        self.sums: dict[str, dict[str, Tensor]] = {"train": {}, "val": {}}

    def losses(self, batch: Batch) -> dict[str, Mean]:
        """The terms of the loss, and what is logged beside them."""
        output = self.model(batch)
        losses = self.model.decoder.losses(output.decoded, batch, self.distance)
        losses["bottleneck"] = Mean(output.bottleneck_loss, len(batch))
        if output.logits is not None:
            # Adjusted in training alone: validation asks how good the classes are as they come.
            prior = self.log_prior if self.training else None
            losses["classification"] = classification_loss(output.logits, batch.label, prior)
        return losses

    def total(self, values: Mapping[str, Tensor]) -> Tensor:
        """What is minimised, from the values of its terms."""
        total = values["reconstruction"] + values["bottleneck"]
        return total + self.cls_weight * values["classification"] if "classification" in values else total

    def transfer_batch_to_device(self, batch: Batch, device, dataloader_idx: int) -> Batch:
        return batch.to(device, non_blocking=True)

    def on_train_epoch_start(self) -> None:
        # Processes that share a batch must not repeat each other's noise.
        torch.manual_seed((self.global_rank << 52) + (self.seed << 20) + self.current_epoch)

    def on_train_batch_start(self, batch: Batch, _: int) -> None:
        if hasattr(self.model.bottleneck, "set_progress"):
            steps = self.trainer.estimated_stepping_batches
            self.model.bottleneck.set_progress(self.trainer.global_step / max(steps, 1))

    def on_train_epoch_end(self) -> None:
        for name, value in self.model.bottleneck.metrics().items():
            self.log(f"train/bottleneck_{name}", value, sync_dist=self.trainer.world_size > 1)
        give_back()  # else the heap of a long training grows by half

    def training_step(self, batch: Batch, _: int) -> Tensor:
        losses = self.losses(batch)
        self._add("train", losses)
        return self.total({name: mean.value for name, mean in losses.items()})

    def validation_step(self, batch: Batch, _: int) -> None:
        self._add("val", self.losses(batch))

    def on_validation_epoch_end(self) -> None:
        # Validation ends an epoch, of training too.
        for stage in self.sums:
            means = self._means(stage)
            loss = self.total(means)
            logged = {"loss": loss, **means}
            if stage == "val":
                # It chooses the best epoch. A VQ-VAE's own loss grows while its light curves still improve.
                logged["score"] = loss - means["bottleneck"]
            self.log_dict({f"{stage}/{name}": value.float() for name, value in logged.items()})

    def _add(self, stage: str, losses: Mapping[str, Mean]) -> None:
        sums = self.sums[stage]
        for name, (value, weight) in losses.items():
            pair = torch.stack([value.detach().double() * weight, value.new_tensor(1.0).double() * weight])
            sums[name] = sums[name] + pair if name in sums else pair

    def _means(self, stage: str) -> dict[str, Tensor]:
        """Means over the epoch, of all processes: each term over its own detections or sources."""
        sums, self.sums[stage] = self.sums[stage], {}
        if self.trainer.world_size > 1:
            sums = {name: self.trainer.strategy.reduce(pair, reduce_op="sum") for name, pair in sums.items()}
        return {name: total / weight.clamp_min(1e-12) for name, (total, weight) in sums.items()}

    def configure_optimizers(self) -> dict:
        optimizer = self.build_optimizer(self._parameter_groups())
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: warmup_cosine(step, steps, self.warmup)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _parameter_groups(self) -> list[dict]:
        """Trainable parameters; those of a backbone with an `lr_factor` learn so much slower."""
        backbones = [m for m in self.model.modules() if getattr(m, "lr_factor", 1.0) != 1.0]
        slow = {id(p): m.lr_factor for m in backbones for p in m.parameters()}
        groups: dict[float, list] = {}
        for parameter in self.model.parameters():
            if parameter.requires_grad:
                groups.setdefault(slow.get(id(parameter), 1.0), []).append(parameter)
        lr = self.build_optimizer.keywords["lr"]
        return [{"params": members, "lr": lr * factor} for factor, members in groups.items()]


def warmup_cosine(step: int, steps: int, warmup: float, floor: float = 0.01) -> float:
    """Learning-rate factor: a linear rise over `warmup` of the steps, then a cosine down to `floor`."""
    rise = max(warmup * steps, 1)
    if step < rise:
        return (step + 1) / rise
    progress = min((step - rise) / max(steps - rise, 1), 1.0)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))
