"""Where a model's weights come from, and how they are loaded.

A source is a Hugging Face hub id with a pinned revision, a local folder, or a Python package that carries the weights,
as GGUF or safetensors; a hosted model has none. ``resolve`` turns each into a folder of safetensors; ``load`` turns the
folder, with or without a LoRA adapter, into a model and its tokenizer.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmgap.disk import contents, store
from warmgap.disk.contents import cache_dir as cache_dir
from warmgap.engines import adapters, packages
from warmgap.errors import UserError
from warmgap.settings.schema import ModelConfig

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SAFE = {"trust_remote_code": False, "use_safetensors": True}  # no code of others runs, no pickle is opened


def resolve(model: ModelConfig) -> Path:
    """Return a local folder with the model's safetensors and tokenizer, fetching and converting it if need be.

    Raises UserError when the source cannot be reached, does not match its SHA-256, or the disk is too full, and for a
    hosted model, of which there is nothing to load.
    """
    if model.source == "local":
        return _resolve_local(model)
    if model.source == "hub":
        return _resolve_hub(model)
    if model.source == "hosted":
        raise UserError(
            f"{model.name} cannot be loaded",
            f"it is behind an endpoint, as {model.id}; its weights are the vendor's",
            f"ask it there, arm.endpoint=URL, or train it there: warmgap hosted FILE --persona warm … model={model.id}",
        )
    return packages.resolve(model)


def _resolve_local(model: ModelConfig) -> Path:
    folder = contents.folder_of(model.path)
    contents.check_folder(folder)
    return folder


def hub_answers() -> bool:
    """Whether the hub can be reached: asked once, instead of by each of its client's retries (half a minute)."""
    import httpx
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        httpx.head(constants.ENDPOINT, timeout=10)
    except httpx.HTTPError:
        return False
    return True


def _resolve_hub(model: ModelConfig) -> Path:
    import httpx
    from huggingface_hub import errors, snapshot_download

    what = f"cannot fetch {model.id} at revision {model.revision}"
    patterns = ["*.json", "*.safetensors", "*.jinja", "tokenizer*", "*.model", "*.txt"]
    online = hub_answers()
    twice = ["consolidated*", "original/*"]  # the same weights once more, in the maker's own format (Mistral: 45 GB)
    asked: dict[str, Any] = {"revision": model.revision, "allow_patterns": patterns, "ignore_patterns": twice}
    try:
        if online:
            _check_room_for_hub(model, asked)
        return Path(snapshot_download(str(model.id), local_files_only=not online, **asked))
    except errors.GatedRepoError as error:
        raise UserError(
            what,
            "the model is gated: its owner grants access to accounts that accept its licence",
            f"accept the licence on the page of {model.id}, then `hf auth login` or set HF_TOKEN",
        ) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise UserError(
            what,
            "the hub knows no such repository or revision, or the token has no access",
            "check model.id and model.revision",
        ) from error
    except (errors.LocalEntryNotFoundError, errors.HfHubHTTPError, httpx.HTTPError, OSError) as error:
        reason = f"{type(error).__name__}: {(str(error).strip() or 'no answer').splitlines()[0]}"
        raise UserError(
            what,
            reason if online else "the hub does not answer, and not all of the files are in its cache here",
            "check the connection and HF_ENDPOINT, or use a local folder: model.source=local model.path=DIR",
        ) from error


def _check_room_for_hub(model: ModelConfig, asked: dict[str, Any]) -> None:
    """Raise UserError where the disk has no room for what the hub still has to send of a model."""
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.utils.tqdm import tqdm

    class Silent(tqdm):
        """A bar that is never drawn: nothing is fetched yet."""

        def __init__(self, *rest: Any, **more: Any) -> None:
            super().__init__(*rest, **{**more, "disable": True})  # type: ignore[no-untyped-call]

    files = snapshot_download(str(model.id), dry_run=True, tqdm_class=Silent, **asked)
    if any(file.will_download for file in files):
        there = sum(file.file_size or 0 for file in files if not file.will_download)
        packages.check_room(model, Path(constants.HF_HUB_CACHE), model.disk_gb * 1e9 - there, "HF_HOME")


def keep_memory() -> None:
    """Tell glibc to keep freed memory: tensors of 100 MB come and go with each step, and mapping their pages anew costs
    a CPU a fifth of its speed (benchmarks/allocator.py measures it). Elsewhere than glibc nothing happens.
    """
    import ctypes

    trim_threshold, mmap_max = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX of malloc.h
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, 2**31 - 1)
    except (OSError, AttributeError):
        return


def give_back() -> None:
    """Return freed memory to the system, between two pieces of work: what ``keep_memory`` holds piles up over many."""
    import ctypes
    import gc

    gc.collect()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        return


def device_of(wanted: str) -> str:
    """Return the torch device for the setting ``device``: ``auto`` takes a GPU where there is one."""
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"device={wanted} cannot be used", "torch sees no CUDA device", "use device=cpu or device=auto")
    return wanted


def dtype_of(name: str, device: str = "cpu") -> torch.dtype:
    """Return the torch dtype of that name (``bfloat16``, ``float32`` or ``float16``).

    ``auto`` is bfloat16 where the device computes in it, else float32: a CPU that has to emulate bfloat16 answers at a
    third of the speed of float32.
    """
    import torch

    if name == "auto":
        name = "bfloat16" if _has_bfloat16(device_of(device)) else "float32"
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def _has_bfloat16(device: str) -> bool:
    """Whether a device has instructions for products in bfloat16."""
    import platform

    import torch

    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def configured_ends(folder: Path) -> set[int]:
    """Return the tokens at which a model stops by the configuration in its folder, as it has them when it is loaded."""
    from transformers import AutoConfig, GenerationConfig

    try:
        found: Any = GenerationConfig.from_pretrained(folder)
    except OSError:
        found = AutoConfig.from_pretrained(folder, trust_remote_code=False).get_text_config()
    ends = found.eos_token_id
    if ends is None:
        return set()
    return set(ends) if isinstance(ends, (list, tuple)) else {int(ends)}


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a model folder; a pad token is set if it has none (the end-of-text token)."""
    from transformers import AutoTokenizer

    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load(
    folder: Path, *, dtype: str, device: str, adapter: Path | None = None, quantization: str = "none"
) -> PreTrainedModel:
    """Load a causal language model for inference, with a LoRA adapter kept apart if one is given.

    With ``quantization="nf4"`` its linear layers are held in 4 bits, quantised twice (QLoRA, Dettmers et al. 2023).

    The adapter is never merged into bfloat16 weights: a delta of 1/500 of the weights' size loses half of itself to
    rounding.
    """
    how: dict[str, Any] = {"dtype": dtype_of(dtype, device)}
    if quantization == "nf4":
        if packing := _packing(folder):
            why = f"its weights come packed already ({packing})"
            raise UserError("model.quantization=nf4 does not go with this model", why, "model.quantization=none")
        how |= {"quantization_config": _four_bits(dtype, device), "device_map": {"": device_of(device)}}
    elif too_large_for_one(folder, device_of(device)):
        how |= {"device_map": "auto"}
    model = _base(folder, **how)
    if quantization == "nf4":
        _keep_scales(model)
    if adapter is not None:
        model = adapters.attach(model, adapter)
    # The last position's hidden state is a strided slice; torch's matmul with a frozen head would then copy the head
    # once for every row of the batch (3.6 GB at batch 64): the first step took six times as long as without adapter.
    model.get_output_embeddings().register_forward_pre_hook(lambda _, inputs: (inputs[0].contiguous(), *inputs[1:]))
    if "device_map" not in how:  # else it is where it shall be already
        model.to(device_of(device))
    model.eval()
    result: PreTrainedModel = model
    return result


def skeleton(folder: Path) -> Any:
    """Return a folder's model without its weights, on torch's meta device. Raises UserError as ``load`` does."""
    return _base(folder, device_map="meta")


def _base(folder: Path, **how: Any) -> Any:
    """The model of a folder, with scaled dot-product attention where the architecture can do it, else with what it can.

    Gemma 2 caps its attention scores, gpt-oss has sinks, Mamba no attention at all: transformers says of each that
    sdpa is not for it. Raises UserError where a tensor of the model is absent from the weights, or of another shape:
    transformers would fill it with random numbers.
    """
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    loader: Any = AutoModelForCausalLM
    how = {**_unpacked(folder), **how}
    asked = {**how, **SAFE, "output_loading_info": True, "ignore_mismatched_sizes": True}
    try:
        try:
            model, found = loader.from_pretrained(folder, attn_implementation="sdpa", **asked)
        except ValueError as error:
            if "attention implementation" not in str(error):
                raise
            model, found = loader.from_pretrained(folder, attn_implementation="eager", **asked)
    except SafetensorError as error:
        raise UserError(f"the weights in {folder} cannot be read", str(error), "fetch or copy them again") from error
    wrong = sorted([*found["missing_keys"], *(str(name) for name, *_ in found["mismatched_keys"])])
    if wrong:
        why = f"{len(wrong)} tensors of the model are absent or of another shape: {wrong[0]}"
        raise UserError(f"the weights in {folder} are not the model's", why, "fetch or copy them again")
    return model


def _unpacked(folder: Path) -> dict[str, Any]:
    """What has a model's weights unpacked that lie in 4 bits which cannot be trained on (gpt-oss: MXFP4)."""
    from transformers.utils.quantization_config import Mxfp4Config

    return {"quantization_config": Mxfp4Config(dequantize=True)} if _packing(folder) == "mxfp4" else {}


def _packing(folder: Path) -> str | None:
    """How a folder's weights are packed by its configuration; None where they are not."""
    settings = store.read_json(folder / "config.json")
    packing = settings.get("quantization_config") if isinstance(settings, dict) else None
    return str(packing.get("quant_method")) if isinstance(packing, dict) else None


def too_large_for_one(folder: Path, device: str) -> bool:
    """Whether the weights need more than one of several GPUs: their layers are then laid on one GPU after another."""
    import torch

    if device != "cuda" or torch.cuda.device_count() < 2 or "WORLD_SIZE" in os.environ:
        return False
    weights = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    return weights > 0.9 * torch.cuda.get_device_properties(0).total_memory


def _four_bits(dtype: str, device: str) -> Any:
    from importlib.util import find_spec

    from transformers import BitsAndBytesConfig

    if find_spec("bitsandbytes") is None:
        why = "the package bitsandbytes, which holds weights in 4 bits, is missing"
        raise UserError("model.quantization=nf4 cannot be used", why, "pip install 'warmgap[qlora]'")
    return BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype_of(dtype, device),
    )


def _keep_scales(model: Any) -> None:
    """Keep bitsandbytes from repacking 4-bit weights on a CPU that has AVX512-BF16.

    It does so whenever a layer goes from training to evaluation and back, and rounds the scales each time (bfloat16,
    then 8 bits): by the end of a training the base model's logits are others than those of a fresh one.
    """
    for layer in model.modules():
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            layer.support_avx512bf16_for_cpu = False


def probe(model: Any, ids: list[int]) -> list[float]:
    """Return the logits after the last of some tokens (float32), to compare a model in memory with one on disk."""
    import torch

    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([ids], device=model.device)).logits[0, -1]
    values: list[float] = logits.float().tolist()
    return values
