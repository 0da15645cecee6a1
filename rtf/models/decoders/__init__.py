"""Decoders: from a fingerprint back to a light curve. One file here and one in conf/decoder/ add one.

Each is an `nn.Module` built with `(latent_dim)`:

- `forward(latent (B, latent_dim), batch) -> decoded`, of a type of its own
- `losses(decoded, batch, distance) -> {name: rtf.models.losses.Mean}`: training minimises `reconstruction`
  and logs the others
- `error(decoded, batch) -> (B,)`: reconstruction error of each source over the detections shown
- `rebuilt(decoded, batch, statistics) -> {dt, mag, magerr, band}`: (B, L) each, in physical units
- `needs_targets`: whether training batches carry detections that the encoder is not shown
- `set_statistics(mean, std)`, optional: takes the normalisation of the photometry
- `at(latent, days, band, statistics) -> (mag, sigma)`, where it answers for any time
"""
