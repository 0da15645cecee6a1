"""A small convolutional network for stamps, trained from scratch.

Notable:
- four 3 x 3 convolutions of stride 2 (63 pixels a side become 32, 16, 8 and 4), then the mean over the 4 x 4
- no normalisation layers: one over the batch would tie a source to its company, one within the stamp would
  divide out how bright the source is. Stamps are in units of their noise, and He's initialisation keeps that
- prepared sky is 0, as is the convolutions' padding: the sky goes on beyond the stamp
"""

from itertools import pairwise

from torch import Tensor, nn

CHANNELS = (3, 32, 64, 128, 128)


class SimpleCNN(nn.Module):
    """Four convolutions, a mean over positions, a linear map.

    Parameters
    ----------
    width : number of features
    dropout : of the averaged channels
    """

    frozen = False
    lr_factor = 1.0

    def __init__(self, width: int = 128, dropout: float = 0.0):
        super().__init__()
        self.width = width
        layers = []
        for before, after in pairwise(CHANNELS):
            convolution = nn.Conv2d(before, after, 3, stride=2, padding=1)
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            nn.init.zeros_(convolution.bias)
            layers += [convolution, nn.ReLU()]
        self.convolutions = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(CHANNELS[-1], width)

    def load_pretrained(self) -> None:
        """Nothing: this network starts from scratch."""

    def forward(self, stamps: Tensor) -> Tensor:
        """(B, 3, 63, 63) prepared stamps to (B, width)."""
        return self.project(self.dropout(self.convolutions(stamps).mean((2, 3))))
