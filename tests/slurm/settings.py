"""A model small enough to train on a few sources in seconds."""

SMALL = [
    "modalities=photometry", "latent_dim=8", "encoder.d_model=32", "encoder.n_layers=1", "encoder.n_heads=4",
    "encoder.d_ff=64", "decoder.d_model=32", "decoder.n_layers=1", "decoder.d_ff=64",
    "batch_size=16", "tracking=none", "progress=false", "accelerator=cpu", "num_threads=1",
]  # fmt: skip
