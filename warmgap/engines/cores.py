"""How this process shares the processor's cores with others."""

from __future__ import annotations

import os

SPINS = "10000"  # some ten microseconds; OpenMP's own default is thirty times as long


def share() -> None:
    """Let a thread that waits for the others sleep after a short while; call it before torch is loaded.

    While they spin instead, threads whose core is taken by another process are waited for at full speed: answering on
    two cores beside one busy process took five times as long as on quiet ones, and takes 1.6 times so
    (``benchmarks/busy.py``). What the environment says of it is left alone.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
