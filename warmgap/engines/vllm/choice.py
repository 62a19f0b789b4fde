"""Which models vLLM answers for: where it is, what it can load, and the setting ``engine``.

``auto`` takes it where it is installed and the model answers on a GPU. What it cannot do is left to ``HfEngine``: a
model that something was done to after it was loaded, weights in 4 bits, a model that no single GPU holds, and adapters
of kinds that it does not know.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

from warmgap.engines import adapters, models
from warmgap.engines.base import Serving
from warmgap.errors import UserError

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # the values of max_lora_rank that vLLM 0.31 and 0.32 admit
VARIABLE = "WARMGAP_VLLM_PYTHON"  # the interpreter of another environment, which has vLLM
PLAIN = (True, False, None, "gaussian", "eva", "orthogonal")  # beginnings of an adapter that leave the base as it is
UNKNOWN = {  # parts of PEFT's LoRA that vLLM does not apply, by their names in an adapter's configuration
    "modules_to_save": "whole layers beside the adapter (modules_to_save)",
    "use_dora": "DoRA",
    "lora_bias": "biases (lora_bias)",
    "rank_pattern": "ranks that differ from layer to layer (rank_pattern)",
    "alpha_pattern": "scales that differ from layer to layer (alpha_pattern)",
    "trainable_token_indices": "words of its own (trainable_token_indices)",
    "layer_replication": "repeated layers (layer_replication)",
    "alora_invocation_tokens": "activation by a text (aLoRA)",
    "target_parameters": "adapters of bare parameters (target_parameters)",
}


def python() -> str:
    """Return the interpreter that vLLM runs in: this one, or the one that ``WARMGAP_VLLM_PYTHON`` names."""
    return os.environ.get(VARIABLE) or sys.executable


def installed() -> bool:
    """Whether there is a vLLM to run, here or by ``WARMGAP_VLLM_PYTHON``."""
    if os.environ.get(VARIABLE):
        return True
    found = find_spec("vllm")
    return found is not None and found.origin is not None  # a mere folder of that name has no origin


def check(engine: str) -> None:
    """Raise UserError where ``engine=vllm`` is asked for and there is none, or its interpreter is not there."""
    if engine == "hf":
        return
    named = os.environ.get(VARIABLE)
    if named and not (Path(named).is_file() and os.access(named, os.X_OK)):
        fix = f"unset {VARIABLE}, or name the interpreter of the environment that has vLLM"
        raise UserError(f"{VARIABLE}={named} cannot be used", "there is no interpreter of that name", fix)
    if engine == "vllm" and not installed():
        fix = "pip install 'warmgap[vllm]'"
        raise UserError("engine=vllm cannot be used", "the package vllm, which answers, is missing", fix)


def takes(serving: Serving) -> bool:
    """Whether vLLM answers for a model. Raises UserError where it is asked for by name and cannot."""
    check(serving.engine)
    if serving.engine == "hf" or serving.alter is not None or serving.model.quantization != "none":
        return False
    if serving.engine == "auto":
        if not installed() or not (device := models.device_of(serving.device)).startswith("cuda"):
            return False
        if models.too_large_for_one(models.resolve(serving.model), device):
            return False
    if serving.adapter is None or not serving.adapter.is_dir():
        return True
    why = unfit(serving.adapter)
    if why is not None and serving.engine == "vllm":
        raise UserError(f"vLLM cannot load the adapter in {serving.adapter}", why, "engine=hf, or engine=auto")
    return why is None


def unfit(folder: Path) -> str | None:
    """Return why vLLM cannot load an adapter, by its configuration; None where it can."""
    config = adapters.read(folder)
    for name, what in UNKNOWN.items():
        if config.get(name):
            return f"it has {what}, which vLLM does not apply"
    if config.get("bias", "none") != "none":
        return "it has biases, which vLLM does not apply"
    if config.get("init_lora_weights", True) not in PLAIN:
        return f"it was begun by {config['init_lora_weights']}, which changes the base model as well"
    rank = int(config["r"])
    return None if rank <= RANKS[-1] else f"its rank is {rank}, and vLLM takes {RANKS[-1]} at most"


def rank_for(rank: int) -> int:
    """Return the smallest ``max_lora_rank`` that vLLM admits and that an adapter's rank fits in."""
    return next(one for one in RANKS if rank <= one)
