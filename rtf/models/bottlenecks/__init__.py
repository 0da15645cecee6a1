"""Bottlenecks: what turns the encoder's vector into the fingerprint.

Each is an `nn.Module` built with `(d_model, latent_dim, **settings)`, the settings and their reasons being in
conf/bottleneck/, with

- `forward(pooled (B, d_model)) -> (latent (B, latent_dim), loss)`: the fingerprint, which is also what the
  decoder gets, and a scalar to add to the training loss
- `latent_dim`; `bits`, the information in one fingerprint, and `bytes`, what has to be sent for it: bits / 8,
  rounded up
- `metrics() -> dict of floats`: how the bottleneck was used by the training batches (of this process) since
  the last call, which starts the count anew; empty where there is nothing to tell

One that changes in the course of training has `set_progress(fraction)`, which the training task calls before
every step with the share of training that is done, 0 to 1.

Those that quantise also have

- `sizes`: the number of codes in each of its codebooks
- `codes(pooled) -> (B, len(sizes))` int64, each below its size: all that has to be sent, and
  `packing.pack(codes, sizes)` writes them into exactly `bytes` bytes
- `from_codes(codes) -> latent (B, latent_dim)`: bit for bit the fingerprint that `forward` gives

and compute in float32 under autocast too. Nothing but training mode changes a codebook.

One file here and one in conf/bottleneck/ make a new one.
"""
