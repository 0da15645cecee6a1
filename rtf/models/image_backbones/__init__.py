"""Image backbones: from three stamps to a vector. One file here and one in conf/image_backbone/ add one.

Each is an `nn.Module` that treats every source of a batch on its own:

- `forward(stamps (B, 3, 63, 63) float32, prepared as in rtf.features.stamps) -> (B, width)`
- `width`, the number of features; `lr_factor`, its learning rate over that of the rest of the model
- `frozen`: its parameters never change, so training computes its features once for each stamp
- `load_pretrained()`: load the weights it starts from. Training calls it once; a finished run holds all
  weights
"""
