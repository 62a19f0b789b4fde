"""Figures of our own, each beside a peer's in the same run: ``python -m benchmarks``."""
