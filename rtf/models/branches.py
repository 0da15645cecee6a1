"""Branches: what turns a feature of the whole source into a vector beside the transformer's tokens."""

from torch import Tensor, nn


class VectorBranch(nn.Module):
    """A vector of features (B, width), such as those of a GP, to (B, d_model): Linear, LayerNorm, ReLU."""

    def __init__(self, d_model: int, width: int):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, d_model), nn.LayerNorm(d_model), nn.ReLU())

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features)


class ImageBranch(nn.Module):
    """Stamps (B, 3, 63, 63), or what a frozen backbone made of them before (B, width), to (B, d_model)."""

    def __init__(self, d_model: int, backbone: nn.Module):
        super().__init__()
        self.backbone = backbone
        self.project = nn.Sequential(nn.Linear(backbone.width, d_model), nn.LayerNorm(d_model))

    def forward(self, stamps: Tensor) -> Tensor:
        features = self.backbone(stamps) if stamps.dim() == 4 else stamps
        return self.project(features)
