"""What a model of known architecture needs in memory, on each device, by arithmetic and before any download.

Figures are GiB (2^30 bytes) per device and for the worst case, every row as long as it may be. They are estimates; the
sources of the formulas stand with them:

- QLoRA: Dettmers et al. 2023, arXiv 2305.14314, section 3 (4-bit NF4; double quantisation leaves 0.127 bit a weight);
- Korthikanti et al. 2022, arXiv 2205.05198, sections 4 and 5 (activations of a layer; full recomputation keeps inputs);
- ZeRO: Rajbhandari et al. 2020, arXiv 1910.02054, section 3 (states of Adam; sharding).
"""

from __future__ import annotations

from dataclasses import dataclass

from warmgap.errors import UserError
from warmgap.settings.schema import GenerateConfig, MethodConfig

GIB = 2**30
HEADROOM = 0.05  # of a card's memory, for the allocator's fragments: an estimate that leaves less does not fit
CONTEXT = 1.0  # GiB: an allowance for CUDA context, kernels and cuBLAS workspaces; not measured
TILE = (4096, 32_768)  # tokens and words whose logits TRL's fused output head holds at a time
BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}
NF4_BYTES = (4 + 0.127) / 8  # a weight of a linear layer in 4-bit NormalFloat with double quantisation
TOGETHER = 128  # prompts answered at a time, where the settings leave it to the memory there is
SHARDED = ("fsdp", "zero3")


@dataclass(frozen=True)
class Shape:
    """The public numbers of a decoder of the Llama kind: RMSNorm, gated MLP, grouped-query attention."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    tied: bool = False
    qkv_bias: bool = False

    @property
    def linear(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of one layer's linear maps: q, k, v, o, gate, up, down."""
        attention, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        maps = [(self.hidden, attention), (self.hidden, keys), (self.hidden, keys), (attention, self.hidden)]
        return [*maps, *[(self.hidden, self.intermediate)] * 2, (self.intermediate, self.hidden)]

    @property
    def linear_weights(self) -> int:
        """Weights of all layers' linear maps: what 4-bit quantisation quantises."""
        return self.layers * sum(inputs * outputs for inputs, outputs in self.linear)

    @property
    def table(self) -> int:
        """Weights of the embedding, as many as those of the output head."""
        return self.vocab * self.hidden

    @property
    def parameters(self) -> int:
        """All weights: linear maps, biases, two norms a layer and a last one, embedding and head (one where tied)."""
        biases = (self.heads + 2 * self.kv_heads) * self.head_dim if self.qkv_bias else 0
        small = self.layers * (biases + 2 * self.hidden) + self.hidden
        return self.linear_weights + small + self.table * (1 if self.tied else 2)

    @property
    def multiplied(self) -> int:
        """Weights that a token is multiplied with: linear maps and the head; the embedding is looked up."""
        return self.linear_weights + self.table

    def lora(self, rank: int) -> int:
        """Parameters of a LoRA of that rank on all linear maps but the head: rank × (inputs + outputs) each."""
        return self.layers * sum(rank * (inputs + outputs) for inputs, outputs in self.linear)

    def kv_bytes(self) -> int:
        """Bytes of the key-value cache for a token, in bfloat16."""
        return 2 * 2 * self.layers * self.kv_heads * self.head_dim


SHAPES = {  # by the name in conf/model; from the published config.json of each
    "smollm2_135m": Shape(30, 576, 1536, 9, 3, 64, 49_152, tied=True),
    "llama_8b": Shape(32, 4096, 14_336, 32, 8, 128, 128_256),
    "mistral_small": Shape(56, 6144, 16_384, 48, 8, 128, 32_768),
    "qwen_32b": Shape(64, 5120, 27_648, 40, 8, 128, 152_064, qkv_bias=True),
    "llama_70b": Shape(80, 8192, 28_672, 64, 8, 128, 128_256),
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
    parts["activations"] = tokens * activation_bytes(model, recompute, method.lora.dropout > 0, method.lora.r)
    parts["logits"] = logit_bytes(model, tokens, full_logits)
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


def activation_bytes(model: Shape, recompute: bool, dropout: bool, rank: int = 8) -> float:
    """Return the bytes a token leaves behind for the backward pass, in all layers together.

    As in Korthikanti et al. 2022, section 4.1, but counted for this kind of layer with fused attention (no matrix of
    scores), frozen weights and bfloat16 autocast. Kept are: the input of two norms in float32; q, k, v, the attention's
    output and its log-sum-exp; gate, its activation, up; and for each of the seven adapters a bfloat16 copy of its
    input, a mask of a byte where there is dropout, and its inner vector. A test counts the tensors that PyTorch keeps.
    ``recompute`` keeps a layer's input alone (section 5) and one layer at work.
    """
    norms = 2 * 4 * model.hidden
    mixing = 2 * (2 * model.heads + 2 * model.kv_heads) * model.head_dim + 4 * model.heads
    gated = 3 * 2 * model.intermediate
    adapters = sum(inputs * (3 if dropout else 2) + 2 * rank for inputs, _ in model.linear)
    layer = float(norms + mixing + gated + adapters)
    return 2 * model.hidden * model.layers + layer if recompute else layer * model.layers


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
    return 2 * size * model.linear_weights / model.layers + outside


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
