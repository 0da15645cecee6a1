"""Image backbones: what turns a triplet of stamps into a vector.

Each is an `nn.Module` with

- `forward(stamps (B, 3, 63, 63) float32, prepared as in rtf.features.stamps) -> (B, width)`
- `width`, the number of features
- `frozen`: its parameters never change, so that `backbone(stamps)` can be computed once for each stamp
- `lr_factor`: its learning rate in units of the rest of the model's
- `load_pretrained()`: fetch and load the weights it starts from. Training calls it once, before the first
  epoch; a finished run holds all weights itself, and nothing is fetched when it is loaded.

No backbone mixes the sources of a batch: a source has the same fingerprint alone and in company.
One file here and one in conf/image_backbone/ make a new one.
"""
