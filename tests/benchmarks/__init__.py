"""Benchmarks: `make bench`. Each measures a baseline and ours side by side in one process."""
