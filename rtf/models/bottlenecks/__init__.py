"""Bottlenecks: what turns the encoder's vector into the fingerprint.

Each is an `nn.Module` built with `(d_model, latent_dim)`, with

- `forward(pooled (B, d_model)) -> (latent (B, latent_dim), loss)`: the fingerprint, which is also what the
  decoder gets, and a scalar to add to the training loss
- `latent_dim`, and `bytes`: what has to be sent for one fingerprint

One file here and one in conf/bottleneck/ make a new one.
"""
