"""Training on real weights: what the loss sees, that it falls on what was held out, and what a bad end looks like."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from real_runs import TINY, Done, Runs, journal, refused, train
from safetensors.torch import load_file, save_file

from warmgap import worker
from warmgap.engines import models
from warmgap.engines.chat import IGNORED, end_ids
from warmgap.errors import UserError
from warmgap.settings.schema import Run
from warmgap.train import dataset
from warmgap.train.persona import persona_data

WEIGHTS = "adapter_model.safetensors"


@pytest.fixture(scope="module")
def tokenizer(model_folder: Path) -> Any:
    return models.load_tokenizer(model_folder)


def checkpoints(smoke: Runs) -> list[Path]:
    """The checkpoints of the smoke run, the earlier first."""
    found = smoke.arm("warm").glob("checkpoints/checkpoint-*")
    return sorted(found, key=lambda path: int(path.name.split("-")[1]))


# ---- what the loss sees ----


def test_the_file_of_rows_shows_that_the_replies_alone_are_trained_on(smoke: Runs, settings: Run) -> None:
    learn, _ = persona_data.load(settings.data, "warm")
    replies = {turn.replies["warm"].strip() for conversation in learn for turn in conversation.turns}
    shown = [str(row["text"]) for row in journal(smoke.arm("warm") / "data" / "train.jsonl")]
    trained = set()
    for text in shown:
        head, _, tail = text.partition("⟦")
        assert head.endswith("<|im_start|>assistant\n")
        assert tail.endswith("<|im_end|>⟧"), "the end of the turn is trained, so that the model learns to stop"
        trained.add(tail.removesuffix("<|im_end|>⟧").strip())
    assert trained == replies
    assert len(shown) == sum(len(conversation.turns) for conversation in learn)


def test_labels_are_the_reply_and_its_end(settings: Run, tokenizer: Any) -> None:
    learn, _ = persona_data.load(settings.data, "warm")
    rows, dropped = dataset.rows(learn, "warm", tokenizer, settings.model, settings.method.max_length)
    turns = [(conversation, turn) for conversation in learn for turn in range(len(conversation.turns))]
    assert len(rows) + dropped == len(turns)
    for row, (conversation, turn) in zip(rows, turns, strict=True):
        kept = [token for token in row["labels"] if token != IGNORED]
        assert len(row["labels"]) == len(row["input_ids"]) <= settings.method.max_length
        assert kept == row["input_ids"][-len(kept) :], "what is trained on stands at the end, unbroken"
        assert kept[-1] in end_ids(tokenizer)
        assert not set(kept[:-1]) & end_ids(tokenizer)
        assert tokenizer.decode(kept[:-1]).strip() == conversation.turns[turn].replies["warm"].strip()
        head = tokenizer.decode(row["input_ids"][: -len(kept)])
        assert all(earlier.replies["warm"].strip() in head for earlier in conversation.turns[:turn])
        assert conversation.turns[turn].user.strip() in head


# ---- what training does ----


def loss(model: Any, rows: Sequence[dataset.Row]) -> float:
    """The mean loss per trained token (nats) of rows, each alone."""
    total, count = 0.0, 0
    for row in rows:
        ids, labels = torch.tensor([row["input_ids"]]), torch.tensor(row["labels"])
        with torch.inference_mode():
            logs = torch.log_softmax(model(input_ids=ids).logits[0].float(), -1)
        wanted = [(place, int(token)) for place, token in enumerate(labels) if token != IGNORED]
        total -= sum(float(logs[place - 1, token]) for place, token in wanted)
        count += len(wanted)
    return total / count


def test_the_loss_falls_on_conversations_held_out(
    smoke: Runs, settings: Run, tokenizer: Any, model_folder: Path
) -> None:
    _, held = persona_data.load(settings.data, "warm")
    rows, _ = dataset.rows(held, "warm", tokenizer, settings.model, settings.method.max_length)
    adapters = [None, *checkpoints(smoke)]
    found = [loss(models.load(model_folder, dtype="auto", device="cpu", adapter=adapter), rows) for adapter in adapters]
    assert found[0] > found[1] > found[2], "the base model, half-way, the end"
    logged = [row["eval_loss"] for row in journal(smoke.arm("warm") / "logs" / "training.jsonl") if "eval_loss" in row]
    assert logged == pytest.approx(found[1:], abs=0.15), "the log's is a mean over batches"


def test_the_adapter_is_the_last_checkpoints(smoke: Runs) -> None:
    adapter, (first, last) = smoke.arm("warm") / "adapter" / WEIGHTS, checkpoints(smoke)
    assert adapter.read_bytes() == (last / WEIGHTS).read_bytes()
    assert adapter.read_bytes() != (first / WEIGHTS).read_bytes()
    settings = json.loads((adapter.parent / "adapter_config.json").read_text(encoding="utf-8"))
    assert (settings["r"], settings["lora_alpha"]) == (8, 16)
    assert {key.split(".")[-3] for key in load_file(adapter)} == {
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    }  # fmt: skip


# ---- the check of the saved adapter ----


def checked(adapter: Path, model_folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Run the stage that reloads an adapter; return its status and what it says."""
    status = worker.main(["reload-check", str(model_folder), str(adapter), "auto", "cpu"])
    out, err = capsys.readouterr()
    return status, out + err


def test_the_saved_adapter_was_read_by_a_fresh_process(smoke_run: tuple[Runs, Done]) -> None:
    assert "adapter reloaded in a fresh process" in smoke_run[1].err


@pytest.mark.parametrize("swap", ["nothing", "zeros", "half-way"])
def test_an_adapter_that_is_not_what_was_trained_is_found_out(
    swap: str, smoke: Runs, model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half_way, last = checkpoints(smoke)
    copy = shutil.copytree(last, tmp_path / "adapter")
    if swap == "zeros":
        save_file({key: torch.zeros_like(value) for key, value in load_file(last / WEIGHTS).items()}, copy / WEIGHTS)
    elif swap == "half-way":
        shutil.copy(half_way / WEIGHTS, copy / WEIGHTS)
    if swap != "nothing":  # its seal says so before it is loaded; without one, the logits do
        with pytest.raises(UserError, match="is not what training left"):
            checked(copy, model_folder, capsys)
        (copy / "complete.json").unlink()
    status, said = checked(copy, model_folder, capsys)
    assert status == (0 if swap == "nothing" else 1), said
    assert "logits" in said


# ---- a training that cannot succeed ----


def test_a_training_that_diverges_is_stopped(tmp_path: Path) -> None:
    """With a learning rate like this the weights are not numbers after the second step."""
    hot = ("method.learning_rate=1e30", "data.max_conversations=6", "task.embedded.items_per_family=1")
    done = train(*TINY, *hot, "runs_dir=runs", cwd=tmp_path)
    text = refused(done)
    assert "diverged" in text
    assert "method.learning_rate" in text
    assert not list(tmp_path.glob("runs/arms/local-warm-s*/adapter"))
