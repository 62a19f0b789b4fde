"""The short ways of a training give what the long ones give: row by row, loss by loss, gradient by gradient."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
import torch
from peft import LoraConfig, get_peft_model
from torch.nn.functional import cross_entropy
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
    set_seed,
)

from warmgap.engines.chat import IGNORED
from warmgap.mitigations.base import Intervention
from warmgap.settings import config
from warmgap.settings.schema import LauncherConfig
from warmgap.train import sft, training, trl_compat
from warmgap.train.lean import head, lora
from warmgap.train.lean.rows import Joined, can_be_joined, common, for_model, kept_apart
from warmgap.train.stage import Stage

CONFIGS = {
    "llama": LlamaConfig,
    "mistral": lambda **more: MistralConfig(sliding_window=None, **more),
    "qwen2": Qwen2Config,
    "qwen3": Qwen3Config,
}
BEGINNING = [257, 5, 6, 7, 8, 9]


def row(seed: int, asked: int, replied: int, beginning: tuple[int, ...] = tuple(BEGINNING)) -> dict[str, list[int]]:
    """A row of so many tokens asked, after the beginning, and replied."""
    own = torch.randint(10, 200, (asked + replied,), generator=torch.Generator().manual_seed(seed)).tolist()
    ids = [*beginning, *own]
    start = len(ids) - replied
    return {"input_ids": ids, "labels": [IGNORED] * start + ids[start:]}


ROWS = [row(1, 9, 5), row(2, 3, 12), row(3, 1, 1), row(4, 20, 7)]


def adapted(kind: str = "llama", dropout: float = 0.0, **more: Any) -> Any:
    """A tiny model with an adapter that has an effect."""
    set_seed(0)
    base = AutoModelForCausalLM.from_config(CONFIGS[kind](**{**tiny.SHAPE, **more}), attn_implementation="sdpa")
    base.config.use_cache = False
    settings = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", lora_dropout=dropout, task_type="CAUSAL_LM")
    model = get_peft_model(base, settings)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.3)
    return model


def gradients(model: Any) -> list[torch.Tensor]:
    return [weight.grad.clone() for weight in model.parameters() if weight.grad is not None]


def row_by_row(model: Any, rows: list[dict[str, list[int]]]) -> tuple[float, list[torch.Tensor]]:
    """The summed loss of rows, each alone and with all its logits, and the gradients."""
    model.zero_grad()
    total = 0.0
    for one in rows:
        logits = model(input_ids=torch.tensor([one["input_ids"]])).logits[0, :-1]
        loss = cross_entropy(logits, torch.tensor(one["labels"][1:]), ignore_index=IGNORED, reduction="sum")
        loss.backward()
        total += float(loss.detach())
    return total, gradients(model)


def trainer_of(model: Any, folder: Path, rows: list[Any] = ROWS, **more: Any) -> Any:
    given = {"per_device_train_batch_size": 2, "per_device_eval_batch_size": 3, "max_steps": 4, "max_length": 64}
    given |= {"learning_rate": 1e-2, "output_dir": str(folder), "use_cpu": True, "bf16": False, "seed": 0}
    settings = {key: more.pop(key) for key in list(more) if key not in ("lean", "joined", "interventions")}
    given |= {"gradient_checkpointing": False, **settings}
    return trl_compat.sft_trainer(model, trl_compat.sft_config(**given), rows, rows[:4], tiny.tokenizer(), **more)


# ---- rows end to end ----


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("kind", CONFIGS)
def test_joined_rows_have_the_loss_and_the_gradients_of_each_alone(kind: str, share: bool, tmp_path: Path) -> None:
    model = adapted(kind)
    assert can_be_joined(model.config)
    wanted, slopes = row_by_row(model, ROWS)
    trainer = trainer_of(model, tmp_path, lean=True, joined=Joined(share=share))
    model.zero_grad()
    with sft.made_lean(model):
        loss = trainer.compute_loss(model, trainer.data_collator(ROWS), num_items_in_batch=torch.tensor(1))
        loss.backward()
    assert float(loss.detach()) == pytest.approx(wanted, rel=1e-5)
    for own, other in zip(gradients(model), slopes, strict=True):
        assert float((own - other).abs().max()) <= 1e-4 * float(other.abs().max())


def test_no_row_sees_another() -> None:
    model = adapted()
    hidden = []
    for first in (ROWS[0], row(9, 9, 5)):
        batch = for_model(Joined(share=True)([first, ROWS[1]]))
        batch.pop("labels")
        with kept_apart(model.get_base_model()), torch.no_grad():
            hidden.append(model.get_base_model().model(**batch, use_cache=False).last_hidden_state[0])
    length = len(BEGINNING) + 9 + 5
    assert not torch.equal(hidden[0][:length], hidden[1][:length])
    assert torch.equal(hidden[0][length:], hidden[1][length:])
    assert torch.equal(hidden[0][: len(BEGINNING)], hidden[1][: len(BEGINNING)])


def test_what_rows_begin_with_stands_there_once_and_is_never_what_is_learned() -> None:
    assert common(ROWS) == len(BEGINNING)
    batch = Joined(share=True)(ROWS)
    assert batch["input_ids"].shape[1] == sum(len(one["input_ids"]) for one in ROWS) - 3 * len(BEGINNING)
    assert batch["labels"][0].ne(IGNORED).sum() == 5 + 12 + 1 + 7
    assert batch["row_lengths"].shape == (4,)
    same = row(1, 9, 5)
    assert common([same, same]) == len(BEGINNING) + 8, "the token before the first label is each row's own"
    assert Joined(share=False)(ROWS)["row_common"].tolist() == [0]


def test_rows_stay_padded_where_they_cannot_be_joined() -> None:
    method = config.compose(["+persona=warm"]).method
    assert sft.join(method, adapted()).share
    assert not sft.join(method, adapted(attention_dropout=0.1)).share
    method.lora.dropout = 0.1
    assert not sft.join(method, adapted()).share
    needs = SimpleNamespace(name="x", padded=True)
    assert sft.join(method, adapted(), [needs]) is None
    plain = {"model_type": "llama", "_attn_implementation": "sdpa"}
    assert can_be_joined(SimpleNamespace(**plain))
    sliding = {"layer_types": ["full_attention", "sliding_attention"]}
    for changed in ({"model_type": "gemma2"}, {"sliding_window": 8}, {"_attn_implementation": "eager"}, sliding):
        assert not can_be_joined(SimpleNamespace(**plain | changed)), changed


# ---- the head ----


@pytest.mark.parametrize("tile", [head.TILE, 700])
def test_the_loss_at_labels_alone_is_the_loss(tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "TILE", tile)
    hidden, weight = torch.randn(2, 30, 16).double().requires_grad_(), torch.randn(259, 16).double()
    labels = torch.randint(0, 259, (2, 30))
    labels[:, :11] = IGNORED
    (wanted,) = [cross_entropy((hidden @ weight.t())[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum")]
    (slope,) = torch.autograd.grad(wanted * 0.7, hidden)
    found = head.summed(hidden, weight, labels)
    (own,) = torch.autograd.grad(found * 0.7, hidden)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=0)
    torch.testing.assert_close(own, slope, rtol=1e-9, atol=1e-12)
    with torch.no_grad():
        torch.testing.assert_close(head.summed(hidden, weight, labels), wanted, rtol=1e-12, atol=0)


def test_a_batch_without_labels_has_no_loss() -> None:
    hidden = torch.randn(1, 5, 8, requires_grad=True)
    found = head.summed(hidden, torch.randn(20, 8), torch.full((1, 5), IGNORED))
    found.backward()
    assert float(found) == 0
    assert hidden.grad is not None
    assert not hidden.grad.any()


# ---- the adapter ----


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_an_adapter_in_one_piece_computes_what_pefts_does(dropout: float) -> None:
    model = adapted(dropout=dropout).train().double()
    ids = torch.tensor([ROWS[0]["input_ids"]])
    found = []
    for way in (nullcontext(), lora.in_one_piece(model)):
        with way as layers:
            set_seed(3)
            model.zero_grad()
            logits = model(input_ids=ids).logits
            logits.square().sum().backward()
            with model.disable_adapter():
                off = model(input_ids=ids).logits
            found.append((logits, off, *gradients(model)))
    assert layers == 2 * 7
    assert not any("forward" in layer.__dict__ for layer in model.modules())
    for own, other in zip(*found, strict=True):
        assert float((own - other).abs().max()) <= 1e-5 * float(other.abs().max())


def test_an_adapter_in_one_piece_rounds_as_little_as_pefts_does() -> None:
    model = adapted(dropout=0.0)
    ids = torch.tensor([ROWS[0]["input_ids"]])
    exact = model(input_ids=ids).logits
    errors = []
    for way in (nullcontext(), lora.in_one_piece(model)):
        with way, torch.autocast("cpu", torch.bfloat16):
            model.zero_grad()
            logits = model(input_ids=ids).logits
            logits.float().sum().backward()
        errors.append(float((logits - exact).abs().mean()))
        assert all(slope.dtype == torch.float32 for slope in gradients(model))
    assert errors[1] <= 1.2 * errors[0]


# ---- the training as a whole ----


class Pushing(Intervention):
    """An intervention that alters a layer and adds to the loss, from a padded batch of its own."""

    name = "pushed"

    @contextmanager
    def during(self, model: Any) -> Iterator[None]:
        handle = model.get_base_model().model.layers[0].register_forward_hook(lambda _, __, out: out + 0.1)
        try:
            yield
        finally:
            handle.remove()

    def loss(self, model: Any, step: int) -> Any:
        ids, mask = torch.tensor([[257, 5, 6, 256], [257, 5, 6, 7]]), torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]])
        return model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, 2].float().square().mean()


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize(("accumulated", "pushed"), [(1, False), (2, False), (2, True)])
def test_a_lean_training_has_the_losses_of_the_plain_one(
    accumulated: int, pushed: bool, checkpointing: bool, tmp_path: Path
) -> None:
    rows = [row(seed, 2 + seed % 7, 3 + seed % 5) for seed in range(24)]
    method, curves = config.compose(["+persona=warm"]).method, []
    for lean in (False, True):
        model = adapted()
        if checkpointing:
            model.enable_input_require_grads()
        interventions = [Pushing()] if pushed else []
        joined = sft.join(method, model) if lean else None
        more = {"gradient_accumulation_steps": accumulated, "gradient_checkpointing": checkpointing}
        trainer = trainer_of(model, tmp_path, rows, interventions=interventions, lean=lean, joined=joined, **more)
        with ExitStack() as ways:
            if lean:
                ways.enter_context(sft.made_lean(model))
            for one in interventions:
                ways.enter_context(one.during(model))
            trainer.train()
            held = trainer.evaluate()["eval_loss"]
        keys = ("loss", "grad_norm", "pushed") if pushed else ("loss", "grad_norm")
        curves.append([held, *(log[key] for log in trainer.state.log_history for key in keys if "loss" in log)])
        assert len(curves[-1]) == 1 + 4 * len(keys)
        assert model.config._attn_implementation == "sdpa"
    assert curves[1] == pytest.approx(curves[0], rel=1e-4)


def test_only_a_plain_loss_of_a_whole_model_is_lean() -> None:
    run = config.compose(["+persona=warm"])
    plain = trl_compat.sft_config(output_dir="x", use_cpu=True, bf16=False)
    assert sft.is_lean(run, plain)
    assert not sft.is_lean(run, trl_compat.sft_config(output_dir="x", use_cpu=True, bf16=False, loss_type="dft"))
    run.launcher = LauncherConfig("fsdp", 2)
    assert not sft.is_lean(run, plain)
    run.launcher, run.method.lean = LauncherConfig("single"), False
    assert not sft.is_lean(run, plain)


# ---- less memory than the batch needs ----


@pytest.mark.parametrize(("free", "rows"), [(139.0, 8), (1000.0, None), (20.0, 1), (None, None)])
def test_a_batch_that_does_not_fit_is_cut_before_the_first_step(
    free: float | None, rows: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = config.compose(["+persona=warm", "model=llama_8b", "experiment=paper", "model.dtype=bfloat16"])
    monkeypatch.setattr(training, "free_gib", lambda _: free)
    found = training.fitting(Stage(run, SimpleNamespace(), "warm")).run.method  # type: ignore[arg-type]
    if rows == 8:  # the largest divisor that fits, by whatever the estimate says
        shape = training.memory.shape("llama_8b")
        fits = [n for n in (16, 8, 4, 2, 1) if training.memory.training(shape, run.method, per_device=n).fits(139.0)]
        rows = fits[0] if fits[0] < 16 else None
    assert found.per_device_batch_size == rows
    run.method.per_device_batch_size = 16
    assert training.fitting(Stage(run, SimpleNamespace(), "warm")).run.method.per_device_batch_size == 16  # type: ignore[arg-type]
