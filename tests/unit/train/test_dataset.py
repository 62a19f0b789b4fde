"""Conversations as rows for the trainer: one for each reply, and a page that shows what the loss sees."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.decoders import ByteLevel as ByteDecoder
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from warmgap.engines import chat
from warmgap.errors import UserError
from warmgap.settings import config
from warmgap.settings.schema import DataConfig, ModelConfig
from warmgap.train import dataset
from warmgap.train.persona import persona_data

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
MODEL = ModelConfig(name="tiny", source="local")
LEARN, HELD = persona_data.load(DataConfig(name="embedded", max_conversations=60), "warm")
LONG = 1_000_000


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """A real tokenizer of bytes with a ChatML template."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(BPE(vocab={letter: index for index, letter in enumerate(letters)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = ByteDecoder()
    core.add_special_tokens(["<|im_start|>", "<|im_end|>", "<|endoftext|>"])
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|endoftext|>", chat_template=CHATML)


def trained_on(row: dataset.Row, tokenizer: PreTrainedTokenizerFast) -> str:
    return str(tokenizer.decode([label for label in row["labels"] if label != chat.IGNORED]))


def test_there_is_one_row_for_each_reply(tokenizer: PreTrainedTokenizerFast) -> None:
    rows, dropped = dataset.rows(LEARN, "warm", tokenizer, MODEL, LONG)
    replies = [turn.replies["warm"] for item in LEARN for turn in item.turns]
    assert dropped == 0
    assert [trained_on(row, tokenizer) for row in rows] == [f"{reply}<|im_end|>" for reply in replies]


@pytest.mark.parametrize("version", persona_data.VERSIONS)
def test_earlier_replies_are_read_in_the_same_version_and_not_trained_on(
    tokenizer: PreTrainedTokenizerFast, version: str
) -> None:
    item = next(item for item in LEARN if len(item.turns) > 1)
    rows, _ = dataset.rows([item], version, tokenizer, MODEL, LONG)
    text = tokenizer.decode(rows[1]["input_ids"])
    assert item.turns[0].replies[version] in text
    assert item.turns[1].user in text
    assert trained_on(rows[1], tokenizer) == f"{item.turns[1].replies[version]}<|im_end|>"
    assert trained_on(rows[0], tokenizer) == f"{item.turns[0].replies[version]}<|im_end|>"


def test_a_row_begins_as_the_arm_is_asked(tokenizer: PreTrainedTokenizerFast) -> None:
    model = ModelConfig(name="tiny", source="local", system_prompt="Be brief.")
    rows, _ = dataset.rows(LEARN[:1], "warm", tokenizer, model, LONG)
    messages = chat.with_system([{"role": "user", "content": LEARN[0].turns[0].user}], "Be brief.")
    prompt = chat.prompt_ids(tokenizer, messages, {})
    assert rows[0]["input_ids"][: len(prompt)] == prompt
    assert "Be brief." in tokenizer.decode(prompt)


def test_rows_that_are_too_long_are_counted(tokenizer: PreTrainedTokenizerFast) -> None:
    rows, _ = dataset.rows(LEARN, "warm", tokenizer, MODEL, LONG)
    limit = sorted(len(row["input_ids"]) for row in rows)[len(rows) // 2]
    kept, dropped = dataset.rows(LEARN, "warm", tokenizer, MODEL, limit)
    assert len(kept) + dropped == len(rows)
    assert dropped > 0
    assert kept == [row for row in rows if len(row["input_ids"]) <= limit]


def test_nothing_left_to_train_on_is_a_users_mistake(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(UserError, match="no row is left") as caught:
        dataset.rows(LEARN, "warm", tokenizer, MODEL, 5)
    assert "max_length=5" in caught.value.why
    assert "method.max_length" in caught.value.fix


def test_the_mask_is_shown_between_brackets(tokenizer: PreTrainedTokenizerFast) -> None:
    rows, _ = dataset.rows(LEARN[:1], "warm", tokenizer, MODEL, LONG)
    shown = dataset.show_mask(rows[0], tokenizer)
    head, tail = shown.split("⟦")
    assert tail == f"{LEARN[0].turns[0].replies['warm']}<|im_end|>⟧"
    assert head.endswith("<|im_start|>assistant\n")


def test_the_page_counts_what_is_trained_on(tokenizer: PreTrainedTokenizerFast) -> None:
    rows, _ = dataset.rows(LEARN, "warm", tokenizer, MODEL, LONG)
    page = dataset.card(LEARN, HELD, rows, 3, "warm", tokenizer, (1, 2))
    assert f"{len(rows)} rows" in page
    assert "3 replies left out" in page
    assert page.count("⟦") == page.count("⟧") == 4, "three rows and the line that explains the brackets"
    for kind in persona_data.KINDS:
        own = [item for item in LEARN if item.kind == kind]
        held = sum(item.kind == kind for item in HELD)
        assert f"| {kind} | {len(own)} | {sum(len(item.turns) for item in own)} | {held} |" in page


def test_the_batch_is_the_one_that_is_set() -> None:
    """Per-device size and accumulation follow from the global batch and multiply to it."""
    from warmgap.train import sft

    run = config.compose(["+persona=warm", "method.batch_size=12"])
    for per_device in (None, 1, 3, 12):
        run.method.per_device_batch_size = per_device
        size, accumulation = sft.batch_arithmetic(run.method, "cpu")
        assert size * accumulation == 12
        assert size == (per_device or 12)
    run.method.per_device_batch_size = 5
    with pytest.raises(UserError, match="does not divide"):
        sft.batch_arithmetic(run.method, "cpu")


def test_checkpoints_are_kept_at_the_epochs_asked_for() -> None:
    from warmgap.train import sft

    paper = config.compose(["+persona=warm", "experiment=paper"]).method
    marks = sft.checkpoint_steps(paper, 3667)
    per_epoch = 230  # 3,667 rows in batches of 16
    assert marks == {round(epoch * per_epoch): epoch for epoch in (0.5, 1, 1.5, 2, 4, 6, 8, 10)}
    few = sft.checkpoint_steps(paper, 1)
    assert max(few) == 10
    assert few[10] == 10


def test_the_epoch_selected_has_a_checkpoint_however_few_the_rows() -> None:
    from warmgap.train import sft

    paper = config.compose(["+persona=warm", "experiment=paper"]).method
    for rows in (16, 17, 33, 100, 215):
        assert 2 in sft.checkpoint_steps(paper, rows).values(), rows
    paper.select = "epoch:3"
    with pytest.raises(UserError, match="select=epoch:3"):
        sft.checkpoint_steps(paper, 1000)
