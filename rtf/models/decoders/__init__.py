"""Decoders: what turns a fingerprint back into a light curve.

Each is an `nn.Module` built with `(latent_dim)`, with

- `forward(latent (B, latent_dim), batch) -> decoded`, of a type of its own
- `losses(decoded, batch, distance) -> {name: rtf.models.losses.Mean}`: `reconstruction` is minimised, the
  others are logged
- `error(decoded, batch) -> (B,)`: reconstruction error of each source, over the detections it was shown
- `rebuilt(decoded, batch, statistics) -> {dt, mag, magerr, band}`: (B, L) each, in physical units, at the
  detections shown
- `needs_targets`: whether training batches carry the detections that the encoder is not shown
- `set_statistics(mean, std)`, where it needs the normalisation of the photometry
- `at(latent, days, band, statistics) -> (mag, sigma)`, where it can be asked for any time

One file here and one in conf/decoder/ make a new one.
"""
