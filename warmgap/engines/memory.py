"""What a model of known architecture needs in memory, on each device, by arithmetic and before any download.

Figures are GiB (2^30 bytes) per device and for the worst case, every row as long as it may be. They are estimates; what
was measured beside them is in ``programme.MEASURED``, and the sources of the formulas stand with them:

- QLoRA: Dettmers et al. 2023, arXiv 2305.14314, section 3 (4-bit NF4; double quantisation leaves 0.127 bit a weight);
- Korthikanti et al. 2022, arXiv 2205.05198, sections 4 and 5 (activations of a layer; full recomputation keeps inputs);
- ZeRO: Rajbhandari et al. 2020, arXiv 1910.02054, section 3 (states of Adam; sharding).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from warmgap.disk import contents, store
from warmgap.errors import UserError
from warmgap.settings.schema import GenerateConfig, MethodConfig

GIB = 2**30
HEADROOM = 0.05  # of a card's memory, for the allocator's fragments: an estimate that leaves less does not fit
CONTEXT = 1.0  # GiB: an allowance for CUDA context, kernels and cuBLAS workspaces; not measured
FRAGMENTS = 0.15  # of the activations: what the allocator holds beyond them, as rows differ in length; from one run
TILE = (4096, 32_768)  # tokens and words whose logits TRL's fused output head holds at a time
BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}
NF4_BYTES = (4 + 0.127) / 8  # a weight of a linear layer in 4-bit NormalFloat with double quantisation
TOGETHER = 128  # prompts answered at a time, where the settings leave it to the memory there is
SHARDED = ("fsdp", "zero3")


@dataclass(frozen=True)
class Shape:
    """The public numbers of a decoder of the Llama kind: RMSNorm, gated MLP, grouped-query attention.

    What others have differently: an MLP that is not ``gated``; ``experts`` in place of one MLP, of which a token
    meets ``met``, and which get no adapters; weights of norms, biases and routers in a layer (``small``) and
    outside of the layers (``last``), where they are not two norms a layer and one in the end.
    """

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    tied: bool = False
    qkv_bias: bool = False
    gated: bool = True
    small: int | None = None
    last: int | None = None
    experts: int = 0
    met: int = 1

    @property
    def linear(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of one layer's linear maps: q, k, v, o, gate where there is one, up, down; no experts."""
        attention, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        maps = [(self.hidden, attention), (self.hidden, keys), (self.hidden, keys), (attention, self.hidden)]
        if self.experts:
            return maps
        return [*maps, *[(self.hidden, self.intermediate)] * (1 + self.gated), (self.intermediate, self.hidden)]

    @property
    def linear_weights(self) -> int:
        """Weights of all layers' linear maps: what 4-bit quantisation quantises."""
        return self.layers * sum(inputs * outputs for inputs, outputs in self.linear)

    @property
    def expert_weights(self) -> int:
        """Weights of all layers' experts: gate, up and down of each."""
        return self.layers * self.experts * 3 * self.hidden * self.intermediate

    @property
    def table(self) -> int:
        """Weights of the embedding, as many as those of the output head."""
        return self.vocab * self.hidden

    @property
    def parameters(self) -> int:
        """All weights: linear maps, norms and biases of layers, the last norm, embedding and head (one where tied)."""
        biases = (self.heads + 2 * self.kv_heads) * self.head_dim if self.qkv_bias else 0
        small = 2 * self.hidden if self.small is None else self.small
        last = self.hidden if self.last is None else self.last
        whole = self.linear_weights + self.expert_weights + self.layers * (biases + small) + last
        return whole + self.table * (1 if self.tied else 2)

    @property
    def multiplied(self) -> int:
        """Weights that a token is multiplied with: linear maps and the head; the embedding is looked up."""
        met = self.expert_weights * self.met // self.experts if self.experts else 0
        return self.linear_weights + met + self.table

    def lora(self, rank: int) -> int:
        """Parameters of a LoRA of that rank on all linear maps but the head: rank × (inputs + outputs) each."""
        return self.layers * sum(rank * (inputs + outputs) for inputs, outputs in self.linear)

    def kv_bytes(self) -> int:
        """Bytes of the key-value cache for a token, in bfloat16."""
        return 2 * 2 * self.layers * self.kv_heads * self.head_dim


_OLMO_3 = Shape(32, 4096, 11_008, 32, 32, 128, 100_278, small=2 * 4096 + 2 * 4096)
_GPT_OSS = 2 * 2880 + 80 * 64 + 2880 + 64 + 32 * (2880 + 1 + 3 * 2880)  # norms, biases, sinks, router
SHAPES = {  # by the name in conf/model; from the published config.json of each
    "smollm2_135m": Shape(30, 576, 1536, 9, 3, 64, 49_152, tied=True),
    "llama_8b": Shape(32, 4096, 14_336, 32, 8, 128, 128_256),
    "mistral_small": Shape(56, 6144, 16_384, 48, 8, 128, 32_768),
    "qwen_32b": Shape(64, 5120, 27_648, 40, 8, 128, 152_064, qkv_bias=True),
    "llama_70b": Shape(80, 8192, 28_672, 64, 8, 128, 128_256),
    "qwen3_8b": Shape(36, 4096, 12_288, 32, 8, 128, 151_936, small=2 * 4096 + 2 * 128),
    "gemma3_12b": Shape(48, 3840, 15_360, 16, 8, 256, 262_208, tied=True, small=4 * 3840 + 2 * 256),  # what reads
    "olmo3_7b": _OLMO_3,
    "olmo3_7b_think": _OLMO_3,
    "gpt_oss_20b": Shape(24, 2880, 2880, 64, 8, 64, 201_088, small=_GPT_OSS, experts=32, met=4),
}


@dataclass(frozen=True)
class Estimate:
    """Peak memory of one device by parts, in GiB."""

    parts: dict[str, float]

    @property
    def total(self) -> float:
        """The sum of the parts."""
        return sum(self.parts.values())

    def fits(self, device_gib: float) -> bool:
        """Whether a device of so many GiB holds it and leaves the headroom."""
        return self.total <= device_gib * (1 - HEADROOM)

    def arithmetic(self) -> str:
        """The sum in words: ``weights 15.0 + adapter 0.3 + … = 17.9 GiB``."""
        named = [f"{name} {value:.1f}" for name, value in self.parts.items() if value >= 0.05]
        return f"{' + '.join(named)} = {self.total:.1f} GiB"


def shape(name: str) -> Shape:
    """Return the architecture of a model by its name in conf/model; UserError where it is not in the table."""
    if name not in SHAPES:
        known = ", ".join(SHAPES)
        raise UserError(f"the architecture of {name} is not known here", f"known are {known}", "add it to SHAPES")
    return SHAPES[name]


LLAMA_LIKE = {  # model_type of config.json: norms of a layer in hidden sizes, norms of each query's and key's head
    "llama": (2, ""), "mistral": (2, ""), "ministral3": (2, ""), "qwen2": (2, ""), "qwen3": (2, "head"),
    "gemma": (2, ""), "gemma2": (4, ""), "gemma3_text": (4, "head"), "olmo2": (2, "all"), "olmo3": (2, "all"),
    "phi3": (2, ""), "smollm3": (2, ""),
}  # fmt: skip
TIED = ("gemma", "gemma2", "gemma3_text")  # where config.json does not say it


def shape_of(folder: Path) -> tuple[Shape, str]:
    """Return the architecture of a model in a folder, and what is to be said of it: nothing where it is known.

    It is read from ``config.json`` where that is of a known kind, else estimated from the shapes of its weights. Raises
    UserError for a folder in which neither can be read.
    """
    settings = store.read_json(folder / "config.json")
    if not isinstance(settings, dict):
        why = f"{folder} has no config.json that can be read"
        raise UserError("the model's architecture is not known", why, "name a folder that save_pretrained has written")
    kind = str(settings.get("model_type"))
    inner = settings.get("text_config")
    if isinstance(inner, dict):  # a model that sees as well: what it sees with is left out
        settings, kind = {**settings, **inner}, str(inner.get("model_type", kind))
    try:
        if kind in LLAMA_LIKE:
            return _llama_like(kind, settings), ""
        if kind == "phi":
            return _phi(settings), ""
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        kind += ", with settings that are not its own"
    return _by_weights(folder), f"estimated from the shapes of its weights: its kind ({kind}) is not known here"


def _numbers(settings: dict[str, Any]) -> Shape:
    """What all kinds call by the same names."""
    heads, hidden = int(settings["num_attention_heads"]), int(settings["hidden_size"])
    return Shape(
        layers=int(settings["num_hidden_layers"]),
        hidden=hidden,
        intermediate=int(settings["intermediate_size"]),
        heads=heads,
        kv_heads=int(settings.get("num_key_value_heads") or heads),
        head_dim=int(settings.get("head_dim") or hidden // heads),
        vocab=int(settings["vocab_size"]),
        tied=bool(settings.get("tie_word_embeddings", False)),
    )


def _llama_like(kind: str, settings: dict[str, Any]) -> Shape:
    model = _numbers(settings)
    norms, heads = LLAMA_LIKE[kind]
    queries, keys = model.heads * model.head_dim, model.kv_heads * model.head_dim
    small = norms * model.hidden + {"": 0, "head": 2 * model.head_dim, "all": queries + keys}[heads]
    if settings.get("attention_bias") and kind not in ("qwen2", "phi3"):
        small += queries + 2 * keys + model.hidden
    if settings.get("mlp_bias") and kind in ("llama", "smollm3"):
        small += 2 * model.intermediate + model.hidden
    tied = bool(settings.get("tie_word_embeddings", kind in TIED))
    return replace(model, tied=tied, qkv_bias=kind == "qwen2", small=small)


def _phi(settings: dict[str, Any]) -> Shape:
    """Phi 1 and 2: one LayerNorm a layer, an MLP without a gate, biases everywhere, the head's among them."""
    model = _numbers(settings)
    biases = (model.heads + 2 * model.kv_heads) * model.head_dim + 2 * model.hidden + model.intermediate
    return replace(model, gated=False, small=biases + 2 * model.hidden, last=2 * model.hidden + model.vocab)


def _by_weights(folder: Path) -> Shape:
    """Estimate a shape with as many weights as the files hold: an MLP takes what attention does not account for."""
    shapes: dict[str, tuple[int, ...]] = {}
    try:
        for path in sorted(folder.glob(contents.WEIGHTS)):
            shapes |= contents.header(path)
    except ValueError as error:
        raise UserError(f"no model in {folder}", str(error), "copy the folder again") from error
    layers = 1 + max((int(found[1]) for name in shapes if (found := re.search(r"\.(\d+)\.", name))), default=-1)
    tables = [size for name, size in shapes.items() if len(size) == 2 and not re.search(r"\.\d+\.", name)]
    if not layers or not tables:
        why = "its kind is not known here, and its weights have no layers that could be counted"
        raise UserError(f"the architecture of {folder} is not known", why, "plan with a model of its size")
    vocab, hidden = max(tables, key=lambda size: size[0] * size[1])
    inside = sum(math.prod(size) for name, size in shapes.items() if re.search(r"\.\d+\.", name) and len(size) > 1)
    small = sum(math.prod(size) for name, size in shapes.items() if re.search(r"\.\d+\.", name) and len(size) < 2)
    outputs = Counter(size[0] for name, size in shapes.items() if re.search(r"\bk_proj\.weight$", name))
    keys = outputs.most_common(1)[0][0] if outputs else hidden
    width = max(1, round((inside / layers - 2 * hidden * (hidden + keys)) / (3 * hidden)))
    heads = max(1, hidden // 64)
    whole = Shape(layers, hidden, width, heads, max(1, keys // 64), 64, vocab, len(tables) == 1, small=small // layers)
    return replace(whole, last=0)


def training(
    model: Shape,
    method: MethodConfig,
    quantization: str = "none",
    launcher: str = "single",
    devices: int = 1,
    *,
    per_device: int | None = None,
    checkpointing: bool | None = None,
    dtype: str = "bfloat16",
    full_logits: bool = False,
) -> Estimate:
    """Return the peak memory of training a LoRA on each of so many devices.

    ``quantization`` is ``none`` or ``nf4``; ``launcher`` as in conf/launcher; ``per_device`` and ``checkpointing`` null
    take the method's. ``full_logits`` is for a loss that keeps all logits; TRL's SFT and DPO compute them in tiles.
    """
    devices = 1 if launcher == "single" else devices
    rows = per_device or method.per_device_batch_size or max(1, method.batch_size // devices)
    rows *= 2 if method.dpo else 1  # the reply preferred and the one rejected
    tokens = rows * method.max_length
    recompute = method.gradient_checkpointing if checkpointing is None else checkpointing
    adapter, share = model.lora(method.lora.r), devices if launcher in SHARDED else 1
    parts = {"weights": weight_bytes(model, quantization, dtype) / share}
    if launcher in SHARDED and devices > 1:
        parts["gathered"] = _gathered(model, quantization, dtype)
    if quantization == "nf4":  # a linear map is unpacked to bfloat16 for as long as it multiplies
        parts["unpacked"] = 2.0 * max(inputs * outputs for inputs, outputs in model.linear)
    parts["adapter"] = 4 * adapter / share  # PEFT keeps it in float32
    parts["gradients"] = 4 * adapter / share * (2 if launcher == "ddp" else 1)  # DDP's buckets are a second copy
    parts["adam"] = 8 * adapter / share  # two moments in float32 (ZeRO, section 3.1)
    kept = activation_bytes(model, recompute, method.lora.dropout > 0, method.lora.r, method.max_length)
    parts["activations"] = tokens * kept
    parts["at work"] = tokens * work_bytes(model, recompute)
    parts["logits"] = logit_bytes(model, tokens, full_logits)
    parts["fragments"] = FRAGMENTS * (parts["activations"] + parts["at work"])
    return Estimate({name: value / GIB for name, value in parts.items()} | {"context": CONTEXT})


def weight_bytes(model: Shape, quantization: str = "none", dtype: str = "bfloat16") -> float:
    """Return the bytes of a copy of the weights.

    ``nf4`` packs the linear maps of the layers (QLoRA, section 3); embedding, head, norms and biases stay in ``dtype``.
    """
    if quantization == "none":
        return float(BYTES[dtype] * model.parameters)
    if quantization == "nf4":
        return NF4_BYTES * model.linear_weights + BYTES[dtype] * (model.parameters - model.linear_weights)
    raise UserError(f"no quantisation is called {quantization}", "known are none and nf4", "choose one of these")


def activation_bytes(model: Shape, recompute: bool, dropout: bool, rank: int = 8, padded: int = 0) -> float:
    """Return the bytes a token leaves behind for the backward pass, in all layers together.

    As in Korthikanti et al. 2022, section 4.1, but counted for this kind of layer with fused attention (no matrix of
    scores), frozen weights and bfloat16 autocast. Kept are: the input of two norms in float32; q, k, v, the attention's
    output and its log-sum-exp; gate, its activation, up; and for each of the seven adapters a bfloat16 copy of its
    input, a mask of a byte where there is dropout, and its inner vector. A test counts the tensors that PyTorch keeps.
    ``recompute`` keeps a layer's input alone (section 5) and one layer at work.

    ``padded`` is the length of rows that are padded to it: attention is then given a mask, for which transformers
    repeats keys and values for every head, and each layer keeps them so, and a mask of its own.
    """
    norms = 2 * 4 * model.hidden
    keys = model.heads if padded else model.kv_heads
    mixing = 2 * (2 * model.heads + 2 * keys) * model.head_dim + 4 * model.heads + 2 * padded
    gated = (3 if model.gated else 2) * 2 * model.intermediate * model.met
    adapters = sum(inputs * (3 if dropout else 2) + 2 * rank for inputs, _ in model.linear)
    layer = float(norms + mixing + gated + adapters)
    return 2 * model.hidden * model.layers + layer if recompute else layer * model.layers


def work_bytes(model: Shape, recompute: bool) -> float:
    """Return the bytes a token takes for a moment at the peak, the backward pass through an MLP.

    Ten for each of its inner units and three for each hidden one (ten with recomputation): PEFT's inputs in float32,
    gradients of both kinds. Fitted to what PyTorch holds at the peak of TRL's step on small models of three sizes on a
    CPU (27 November 2026), where it is exact to 1 %.
    """
    return float(10 * model.intermediate * model.met + (10 if recompute else 3) * model.hidden)


def logit_bytes(model: Shape, tokens: int, full: bool) -> float:
    """Return the bytes that the loss holds at once.

    ``full``: logits in bfloat16, the same in float32, their log-softmax and the gradient in float32, 14 bytes for each
    token and word. Else a tile of logits, and the gradient of the last hidden states, both in float32.
    """
    if full:
        return float(14 * model.vocab * tokens)
    return float(4 * (min(tokens, TILE[0]) * min(model.vocab, TILE[1]) + tokens * model.hidden))


def _gathered(model: Shape, quantization: str, dtype: str) -> float:
    """What a sharded launcher puts together for the moment: two layers (at work, fetched ahead), embedding and head."""
    size = NF4_BYTES if quantization == "nf4" else BYTES[dtype]
    outside = model.table * (1 if model.tied else 2) * BYTES[dtype]
    return 2 * (size * model.linear_weights + BYTES[dtype] * model.expert_weights) / model.layers + outside


def answering(
    model: Shape,
    generate: GenerateConfig,
    prompt_tokens: int = 300,
    quantization: str = "none",
    dtype: str = "bfloat16",
) -> Estimate:
    """Return the peak memory of answering on one device: weights, and the cache of keys and values of a full batch.

    The cache is 2 (keys, values) × 2 bytes × layers × kv heads × head dimension for each token of prompt and answer.
    """
    rows = generate.batch_size or TOGETHER
    tokens = rows * (prompt_tokens + generate.max_new_tokens)
    gate = 3 * 2 * model.intermediate + 4 * 2 * model.hidden  # one layer at work on all prompts
    parts = {"weights": weight_bytes(model, quantization, dtype), "cache": float(tokens * model.kv_bytes())}
    parts["activations"] = float(rows * prompt_tokens * gate)
    parts["logits"] = float(rows * model.vocab * (2 + 4 + 4))  # of the last position, and its softmax
    return Estimate({name: value / GIB for name, value in parts.items()} | {"context": CONTEXT})
