"""LoRA adapters: whether one fits its base model, whether it is what was written, and that it was really loaded.

An adapter whose tensors find no place in a model is loaded without an error by the libraries, and answers as the base
model does. So names and shapes are compared before anything is asked, from the file's header and a model without
weights; values are compared once it is loaded; and its logits must be others than the base model's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmgap.disk import contents, intake, seals
from warmgap.disk.seals import SEAL
from warmgap.errors import UserError
from warmgap.settings.schema import ModelConfig

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
SCALE = "scale"  # in the weights' metadata: at which fraction of its strength an adapter was written
WRAPPERS = ("_orig_mod.", "module.", "_fsdp_wrapped_module.", "_forward_module.")  # of compiled and shared-out models
PROBE = "How far is the Moon from the Earth, and how is that known?"
# Settings that add something else to a model than pairs of matrices.
BEYOND = ("use_dora", "lora_bias", "modules_to_save", "trainable_token_indices", "target_parameters", "use_qalora",
          "layer_replication", "alora_invocation_tokens", "fan_in_fan_out")  # fmt: skip

Shapes = Mapping[str, tuple[int, ...]]


def read(folder: Path) -> dict[str, Any]:
    """Return an adapter's configuration. Raises UserError where the folder holds no whole LoRA adapter."""
    what = f"{folder} is not an adapter"
    if not (folder / WEIGHTS).is_file() or not (folder / CONFIG).is_file():
        raise UserError(what, f"it has no {CONFIG} and {WEIGHTS}", "name a folder that PEFT has saved")
    try:
        config = intake.parse((folder / CONFIG).read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(what, f"{CONFIG} is no JSON: {error}", "copy the adapter's folder again") from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        kind = config.get("peft_type") if isinstance(config, dict) else None
        raise UserError(what, f"its {CONFIG} has peft_type {kind!r}", "give an adapter of PEFT's kind LORA")
    try:
        tensors = contents.header(folder / WEIGHTS)
    except ValueError as error:
        raise UserError(what, f"{WEIGHTS}: {error}", "copy the adapter's folder again") from error
    if not tensors:
        raise UserError(what, f"{WEIGHTS} holds no tensor", "save the adapter again")
    return config


def check_seal(folder: Path) -> None:
    """Raise UserError where an adapter that we have made is no longer what was written; others have no seal."""
    if damaged := seals.changed(folder):
        raise UserError(
            f"the adapter in {folder} is not what training left",
            f"{', '.join(damaged)} has another SHA-256 than {SEAL} says",
            f"delete {folder}: it is taken from its checkpoint again, or trained again; a copy is to be copied again",
        )


def check(folder: Path, base: Any) -> None:
    """Raise UserError unless an adapter fits a base model, which may be without weights (on torch's meta device)."""
    from peft import LoraConfig, get_peft_model

    check_seal(folder)
    read(folder)
    try:
        config = LoraConfig.from_pretrained(str(folder))
        config.init_lora_weights = True  # how it was begun is no matter, and some ways need the base's weights
        model = get_peft_model(base, config, low_cpu_mem_usage=True)
    except (ValueError, TypeError, KeyError) as error:
        raise _unfit(folder, " ".join(str(error).split())[:300]) from error
    _check_places(folder, model)


def attach(model: Any, folder: Path) -> Any:
    """Return a base model with the adapter in a folder, not merged. Raises UserError unless all of it is loaded."""
    import torch
    from peft import PeftModel
    from safetensors import safe_open

    check_seal(folder)
    read(folder)
    try:
        loaded: Any = PeftModel.from_pretrained(model, str(folder))
    except (ValueError, TypeError, KeyError, RuntimeError) as error:
        raise _unfit(folder, " ".join(str(error).split())[:300]) from error
    places = _check_places(folder, loaded)
    with safe_open(folder / WEIGHTS, "pt") as file:
        for name, place in places.items():
            if not torch.equal(place.detach().float().cpu(), file.get_tensor(name).float()):
                raise _unfit(folder, f"{name} was not loaded: its values in the model are others than in the file")
    return loaded


def _check_places(folder: Path, model: Any) -> dict[str, Any]:
    """Return where each tensor of an adapter's file stands in a model. Raises UserError unless each has its place."""
    from peft import get_peft_model_state_dict

    own = get_peft_model_state_dict(model, save_embedding_layers=False)
    known = {**model.state_dict(), **own}  # an adapter may bring a table of words whole
    given = contents.header(folder / WEIGHTS)
    lost = [name for name in given if name not in known]
    if lost:
        raise _without_place(folder, lost, len(given), set(known))
    if wrong := [name for name in given if tuple(known[name].shape) != given[name]]:
        theirs, ours = (" × ".join(map(str, one)) for one in (given[wrong[0]], tuple(known[wrong[0]].shape)))
        why = f"{len(wrong)} of its {len(given)} tensors have another shape: {wrong[0]} is {theirs}, not {ours}"
        raise _unfit(folder, why)
    if absent := [name for name in own if name not in given]:
        why = f"it lacks {len(absent)} of the {len(own)} tensors that its settings ask for: {absent[0]}"
        raise _unfit(folder, why)
    return {name: known[name] for name in given}


def _without_place(folder: Path, lost: list[str], of: int, known: set[str]) -> UserError:
    why = f"{len(lost)} of its {of} tensors have no place in the model: {lost[0]}" + (", …" if len(lost) > 1 else "")
    for wrapper in WRAPPERS:
        if all(wrapper in name and name.replace(wrapper, "") in known for name in lost):
            fix = f"save it from the model inside: without {wrapper!r} every name fits"
            why += f" ({wrapper!r} comes from a wrapper, such as torch.compile)"
            return UserError(f"the adapter in {folder} cannot be loaded", why, fix)
    return _unfit(folder, why)


def _unfit(folder: Path, why: str) -> UserError:
    fix = "name the base model that it was trained on, by model=…, or an adapter of this one"
    return UserError(f"the adapter in {folder} does not fit the model", why, fix)


def another_base(folder: Path, model: ModelConfig, base: Path) -> str | None:
    """Return a note where an adapter's configuration names another base model than the run's, or another revision."""
    config = read(folder)
    named, revision = config.get("base_model_name_or_path"), config.get("revision")
    if not named:
        return None
    names = {model.name, str(model.id or model.name), base.name, str(base)}
    names |= {name.replace("/", "--") for name in names} | {name.rpartition("/")[2] for name in names}
    if not any(name and name in str(named) for name in names):
        return f"the adapter in {folder} names another base model: {named} (here: {model.name})"
    if revision and model.revision and revision != model.revision:
        return f"the adapter in {folder} names revision {revision} of its base (here: {model.revision})"
    return None


def check_effect(model: Any, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Raise UserError where the logits of a fixed text are not finite, or those of the base model.

    Two of ours are meant to have none: one written at strength 0, and a sealed checkpoint of a first step, which the
    warm-up takes at a learning rate of 0. That is read off the file, so one that was not loaded is still found.
    """
    import torch
    from safetensors import safe_open

    ids = torch.tensor([tokenizer.encode(PROBE, add_special_tokens=False)], device=model.device)
    with torch.inference_mode():
        ours = model(input_ids=ids).logits
        with model.disable_adapter():
            theirs = model(input_ids=ids).logits
    what = f"the adapter in {folder}"
    if not bool(torch.isfinite(ours).all()):
        raise UserError(f"{what} cannot be used", "with it the logits are not finite", "train it again, more slowly")
    if not torch.equal(ours, theirs):
        return
    with safe_open(folder / WEIGHTS, "pt") as file:
        if (file.metadata() or {}).get(SCALE) == "0":
            return
        second = [name for name in file.keys() if "lora_B" in name]  # noqa: SIM118  (the file is no mapping)
        if (folder / SEAL).is_file() and not any(bool(file.get_tensor(name).any()) for name in second):
            return
    why = f"on a text of {ids.shape[1]} tokens the logits are the base model's, to the last digit"
    raise UserError(f"{what} has no effect", why, "see that it was saved after training, and not all zeros")


@dataclass(frozen=True)
class Pair:
    """What an adapter adds to a layer: ``second @ first`` (outputs × inputs), its scale in the second."""

    first: torch.Tensor
    second: torch.Tensor


class NotPlainError(Exception):
    """An adapter holds more than pairs of matrices for linear layers."""


def pairs(model: Any, folder: Path, tokenizer: PreTrainedTokenizerBase) -> dict[str, Pair]:
    """Return an adapter's matrices by layer, once PEFT has put it on a model and it was checked; then it is taken off.

    Raises NotPlainError where there is more than pairs, UserError as ``attach`` and ``check_effect`` do; the model is
    then of no use for another.
    """
    import torch
    from peft.tuners.lora import LoraLayer

    config = read(folder)
    if any(config.get(name) for name in BEYOND) or config.get("bias", "none") != "none":
        raise NotPlainError
    loaded = attach(model, folder)
    check_effect(loaded, tokenizer, folder)
    found = {}
    for name, layer in loaded.base_model.model.named_modules():
        if not isinstance(layer, LoraLayer):
            continue
        if not isinstance(layer.get_base_layer(), torch.nn.Linear) or "default" not in layer.lora_A:
            raise NotPlainError
        first, second = layer.lora_A["default"].weight.detach(), layer.lora_B["default"].weight.detach()
        found[name] = Pair(first, second * layer.scaling["default"])
    loaded.unload()
    return found
