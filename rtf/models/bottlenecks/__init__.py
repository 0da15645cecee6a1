"""Bottlenecks: from the encoder's vector to the fingerprint. A new one: a file here, one in conf/bottleneck/.

Each is an `nn.Module` built with `(d_model, latent_dim, **settings)`; conf/bottleneck/ explains the settings.

- `forward(pooled (B, d_model)) -> (latent (B, latent_dim), loss)`: the fingerprint, which the decoder gets
  too, and a scalar to add to the training loss
- `latent_dim`; `bits` of information in one fingerprint; `bytes` to send it: bits / 8, rounded up
- `metrics() -> dict of floats`: how training batches of this process used it since the last call
- `set_progress(fraction)`, optional: training calls it before every step with the share done, 0 to 1

Those that quantise also have

- `sizes`: the number of codes in each codebook
- `codes(pooled) -> (B, len(sizes))` int64; `packing.pack(codes, sizes)` writes them into exactly `bytes`
  bytes
- `from_codes(codes) -> latent (B, latent_dim)`: bit for bit the fingerprint that `forward` gives (`ae_rvq`,
  which has floats besides: only with `coded`)

They compute in float32 under autocast too. Only training mode changes a codebook.
"""
