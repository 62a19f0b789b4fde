"""How a model trains and answers on a kind of card: the ways that fit, hours and money, before anything runs.

Memory comes from ``engines.memory``, FLOPs from Kaplan et al. 2020, arXiv 2001.08361, section 2.1 (2 a weight and token
forward, 4 backward). All are estimates: what part of a card's peak is reached is taken from what was measured, which
stands in ``MEASURED``; a test holds the estimates against it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from warmgap.engines.memory import SHAPES, TOGETHER, Estimate, Shape, answering, shape, shape_of, training, weight_bytes
from warmgap.errors import UserError
from warmgap.settings.schema import GenerateConfig, MethodConfig

ARMS = ("warm", "cold", "paraphrase", "untransformed")  # the arms that train
STUDY = ("llama_8b", "mistral_small", "qwen_32b", "llama_70b", "gpt_4o")  # the study's five; the last one is hosted
TOKENS_PER_EPOCH = 1_470_000  # of the study's data: 14.7 million in ten epochs
UTILISATION = {False: 0.15, True: 0.25}  # of the peak FLOPs in training, without and with recomputation: MEASURED
READING = 0.4  # of the peak FLOPs in reading prompts: not measured
BANDWIDTH = 0.6  # of the peak in reading weights and cache: not measured
LAUNCHED = 0.0038  # seconds that a layer of small kernels takes a step of ``generate``, with an adapter: MEASURED
STARTS = (2, 4, 8)  # devices that a sharded launcher is tried on


@dataclass(frozen=True)
class Device:
    """A card: memory in GiB as CUDA reports it, dense bfloat16 peak in TFLOP/s and memory bandwidth in TB/s."""

    gib: float
    tflops: float
    tbps: float


DEVICES = {  # the makers' data sheets, SXM variants, without sparsity
    "A100": Device(79, 312, 2.04),
    "H100": Device(79, 989, 3.35),
    "H200": Device(139, 989, 4.8),
    "L40S": Device(44, 362, 0.86),
}


@dataclass(frozen=True)
class Point:
    """What was measured on a card: GiB at the peak, and tokens a second (trained on, or written).

    ``held`` if the GiB are what the card had given away, context and fragments of the allocator included, and not only
    what tensors took. ``longest`` is the longest row of a batch in tokens, ``source`` says who and when.
    """

    what: str
    model: str
    card: str
    rows: int
    longest: int
    rate: float
    checkpointing: bool = False
    gib: float | None = None
    held: bool = False
    source: str = ""


OURS = "random weights, rows of 694 tokens on average; 26 November 2026, commit 6638767"
MEASURED = (
    Point("training", "llama_8b", "H200", 8, 900, 5000, gib=86, held=True, source=f"warmgap, {OURS}"),
    Point(
        "training", "llama_8b", "H200", 8, 900, 5417, checkpointing=True, gib=20, source=f"TRL 1.16 as it comes, {OURS}"
    ),
    Point("answering", "llama_8b", "H200", 128, 300, 941, source=f"generate, 300 new tokens, adapter apart, {OURS}"),
)


@dataclass(frozen=True)
class Choice:
    """A way to train on a device, and what it needs there."""

    quantization: str
    launcher: str
    devices: int
    per_device: int
    checkpointing: bool
    estimate: Estimate

    @property
    def words(self) -> str:
        """Such as ``4-bit QLoRA on 1 device, 2 rows a step, gradient checkpointing``."""
        kind = "4-bit QLoRA" if self.quantization == "nf4" else "LoRA"
        where = "1 device" if self.devices == 1 else f"{self.devices} devices ({self.launcher})"
        rows = f"{self.per_device} row{'s' if self.per_device > 1 else ''}"
        again = ", gradient checkpointing" if self.checkpointing else ""
        return f"{kind} on {where}, {rows} a step{again}"


def largest(
    model: Shape, method: MethodConfig, gib: float, quantization: str, launcher: str, devices: int
) -> Choice | None:
    """Return the largest per-device batch that fits, without recomputation where possible; None if not even 1 does."""
    share = max(1, method.batch_size // (1 if launcher == "single" else devices))
    for checkpointing in (False, True):
        for rows in (size for size in range(share, 0, -1) if share % size == 0):
            found = training(
                model, method, quantization, launcher, devices, per_device=rows, checkpointing=checkpointing
            )
            if found.fits(gib):
                return Choice(quantization, launcher, devices, rows, checkpointing, found)
    return None


def ways(model: Shape, method: MethodConfig, gib: float) -> list[Choice]:
    """Return what fits a device of so many GiB: LoRA and 4-bit QLoRA on one, and LoRA by fsdp on as few as will do."""
    found = [largest(model, method, gib, quantization, "single", 1) for quantization in ("none", "nf4")]
    for devices in STARTS:
        if method.batch_size % devices == 0 and (way := largest(model, method, gib, "none", "fsdp", devices)):
            found.append(way)
            break
    return [way for way in found if way is not None]


def training_hours(
    model: Shape, tokens: float, device: Device, checkpointing: bool = False, utilisation: float | None = None
) -> float:
    """Return the device hours of a LoRA run: 4 × weights × tokens FLOPs, 6 with recomputation.

    Kaplan et al. 2020: 2 a weight and token forward, 2 backward to the inputs; the 2 to the weights fall away, for
    these are frozen. Recomputation is one more forward. Attention's own products (a few per cent at 1,024 tokens) and
    the adapter's are left out. ``utilisation`` is the part of the peak that is reached, None for what was measured.
    """
    utilisation = UTILISATION[checkpointing] if utilisation is None else utilisation
    flops = (6 if checkpointing else 4) * model.multiplied * tokens
    return flops / (device.tflops * 1e12 * utilisation) / 3600


def answering_hours(
    model: Shape,
    answers: int,
    generate: GenerateConfig,
    device: Device,
    prompt_tokens: int = 300,
    utilisation: float = READING,
) -> float:
    """Return the device hours of so many answers of full length by ``generate``, each prompt read in full.

    Reading: 2 × weights × tokens FLOPs. Writing: each step of a batch launches every layer's kernels, LAUNCHED each,
    and reads weights and cache from memory, at BANDWIDTH of the peak; at 8B the first is nearly all of it.
    """
    reading = 2 * model.multiplied * answers * prompt_tokens / (device.tflops * 1e12 * utilisation)
    at_a_time = generate.batch_size or TOGETHER
    cache = at_a_time * (prompt_tokens + generate.max_new_tokens / 2) * model.kv_bytes()
    steps = math.ceil(answers / at_a_time) * generate.max_new_tokens
    step = model.layers * LAUNCHED + (weight_bytes(model) + cache) / (device.tbps * 1e12 * BANDWIDTH)
    return (reading + steps * step) / 3600


@dataclass(frozen=True)
class Prices:
    """US dollars: an hour of one device; a million tokens trained on, read and written at a vendor. None: unknown."""

    hour: float | None = None
    train: float | None = None
    read: float | None = None
    written: float | None = None


@dataclass(frozen=True)
class Row:
    """A line of the programme: a model and an arm, how it runs, GPU hours and US dollars (None: unknown, or hosted)."""

    model: str
    arm: str
    how: str
    gib: float | None
    train_hours: float | None
    answer_hours: float | None
    cost: float | None


def programme(
    method: MethodConfig,
    generate: GenerateConfig,
    device: str = "H200",
    *,
    models: Sequence[str] = STUDY,
    arms: Sequence[str] = ARMS,
    tokens_per_epoch: float = TOKENS_PER_EPOCH,
    answers: int = 45_500,
    prices: Prices | None = None,
) -> list[Row]:
    """Return the models × arms on cards of one kind, each in the first way that fits it; hosted ones by tokens.

    ``answers`` is the number of prompts an arm is asked (the study's grid: 28 for each of 1,625 items).
    """
    card, price = card_of(device), prices or Prices()
    rows = []
    for name in models:
        if name not in SHAPES:
            cost = hosted_cost(method.epochs * tokens_per_epoch, answers, generate, price)
            rows += [Row(name, arm, "the vendor's API", None, None, None, cost) for arm in arms]
            continue
        model, options = shape(name), ways(shape(name), method, card.gib)
        if not options:
            rows += [Row(name, arm, f"fits no {device}", None, None, None, None) for arm in arms]
            continue
        way = options[0]
        train = training_hours(model, method.epochs * tokens_per_epoch, card, way.checkpointing)
        answer = answering_hours(model, answers, generate, card)
        cost = None if price.hour is None else (train + answer) * price.hour
        rows += [Row(name, arm, way.words, way.estimate.total, train, answer, cost) for arm in arms]
    return rows


def hosted_cost(
    trained: float, answers: int, generate: GenerateConfig, prices: Prices, prompt_tokens: int = 300
) -> float | None:
    """Return US dollars of a hosted arm: tokens trained on, read and written × prices; None where one is unknown."""
    if prices.train is None or prices.read is None or prices.written is None:
        return None
    read, written = answers * prompt_tokens, answers * generate.max_new_tokens
    return (trained * prices.train + read * prices.read + written * prices.written) / 1e6


def card_of(name: str) -> Device:
    """Return a card by name; UserError where it is not in the table."""
    if name not in DEVICES:
        raise UserError(f"no card is called {name}", f"known are {', '.join(DEVICES)}", "choose one of these")
    return DEVICES[name]


def describe(
    name: str,
    method: MethodConfig,
    generate: GenerateConfig,
    gib: float,
    *,
    quantization: str = "none",
    launcher: str = "single",
    devices: int = 1,
    folder: Path | None = None,
) -> list[tuple[str, str]]:
    """Return lines for a plan: whether a configuration fits a device of so many GiB, with the sum, and what would.

    A model that is in no table is read from its ``folder``, where there is one.
    """
    if name not in SHAPES and folder is None:
        return [("memory", "unknown: the model is behind an endpoint, or not here yet and not in engines/memory.py")]
    model, note = shape_of(folder) if folder is not None else (shape(name), "")
    about = f"{model.parameters / 1e9:.2f} billion weights, {model.layers} layers of {model.hidden}"
    lead = [("model", f"{about}; {note}" if note else about)] if folder is not None else []
    asked = training(model, method, quantization, launcher, devices)
    lines = [*lead, ("memory, training", _verdict(asked, gib))]
    if not asked.fits(gib):
        options = [f"{way.words} {way.estimate.total:.0f} GiB" for way in ways(model, method, gib)]
        lines += [("what fits", "; ".join(options) or "nothing of what is known here, on up to 8 devices")]
    answers = answering(model, generate, quantization=quantization)
    lines += [("memory, answering", _verdict(answers, gib))]
    if not answers.fits(gib):
        lines += [("what fits", _smaller(model, generate, gib, quantization))]
    return lines


def _verdict(estimate: Estimate, gib: float) -> str:
    """Such as ``about 18 GiB of 139: fits (weights 15.0 + … = 17.9 GiB)``."""
    verdict = "fits" if estimate.fits(gib) else "does not fit"
    return f"about {estimate.total:.0f} GiB of {gib:g}: {verdict} ({estimate.arithmetic()})"


def _smaller(model: Shape, generate: GenerateConfig, gib: float, quantization: str) -> str:
    """The largest batch of answers that fits, of halves of the one asked for; 4-bit weights where none does."""
    for kind in dict.fromkeys((quantization, "nf4")):
        size = generate.batch_size or TOGETHER
        while size:
            found = answering(model, replace(generate, batch_size=size), quantization=kind)
            if found.fits(gib):
                how = "weights in 4 bit, " if kind != quantization else ""
                return f"{how}generate.batch_size={size}: {found.total:.0f} GiB"
            size //= 2
    return "nothing on one device"
