"""What the study's open families are trained on and asked with: real vocabularies under their own chat formats."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from families import PINNED, tokenizer
from transformers import PreTrainedTokenizerFast

from warmgap.engines import chat, models
from warmgap.engines.base import Request
from warmgap.engines.chat import IGNORED
from warmgap.engines.hf import HfEngine
from warmgap.settings.schema import ModelConfig

ENDS = {"llama-3.1": "<|eot_id|>", "llama-3.2": "<|eot_id|>", "qwen-2.5": "<|im_end|>", "mistral-v3": "</s>"}
FAMILIES = tuple(ENDS)
HEADERS = {  # what opens the assistant's turn
    "llama-3.1": "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "llama-3.2": "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "qwen-2.5": "<|im_start|>assistant\n",
    "mistral-v3": "",
}
CONVERSATION = [
    {"role": "user", "content": "How far is the Moon? Étoile ☾ 1234"},
    {"role": "assistant", "content": "About 384,400 km."},
    {"role": "user", "content": "And the Sun?"},
    {"role": "assistant", "content": "149.6 million km, roughly.\n\n- one au\n\n```py\nx = 1\n```"},
    {"role": "user", "content": "Danke! 谢谢 🙂"},
    {"role": "assistant", "content": "You are welcome 🙂 — 不客气."},
]
SYSTEM = {"role": "system", "content": "Be kind."}
ROWS = [(turns, system) for turns in (2, 4, 6) for system in (False, True)]


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def conversation(turns: int, system: bool) -> list[chat.Message]:
    return [SYSTEM] * system + CONVERSATION[:turns]


def row(words: PreTrainedTokenizerFast, messages: list[chat.Message]) -> dict[str, list[int]]:
    made = chat.training_row(words, messages, PINNED, 2000)
    assert made is not None
    return made


def end_of(family: str) -> int:
    """The id of the family's end-of-turn token."""
    return int(tokenizer(family).get_vocab()[ENDS[family]])


def test_the_vocabularies_are_the_released_ones() -> None:
    """Sizes and ids as the makers' own tokenizers give them; the tokenizer itself puts the first token there."""
    assert len(tokenizer("llama-3.1")) == 128_256
    assert tokenizer("llama-3.1").encode("Hello world") == [128_000, 9906, 1917]
    assert tokenizer("llama-3.1").convert_tokens_to_ids(["<|eot_id|>", "<|end_header_id|>"]) == [128_009, 128_007]
    assert tokenizer("qwen-2.5").encode("Hello world") == [9707, 1879]
    assert tokenizer("qwen-2.5").convert_tokens_to_ids(["<|endoftext|>", "<|im_end|>"]) == [151_643, 151_645]
    assert len(tokenizer("mistral-v3")) == 32_768
    assert tokenizer("mistral-v3").encode("Hello world") == [1, 23_325, 2294]
    assert tokenizer("mistral-v3").convert_tokens_to_ids(["[INST]", "[/INST]"]) == [3, 4]


@pytest.mark.parametrize(("turns", "system"), ROWS)
def test_labels_cover_the_reply_and_its_end_of_turn_alone(family: str, turns: int, system: bool) -> None:
    words, messages = tokenizer(family), conversation(turns, system)
    made = row(words, messages)
    labels = [label for label in made["labels"] if label != IGNORED]
    assert str(words.decode(labels)).lstrip(" ") == messages[-1]["content"] + ENDS[family]
    assert labels[-1] == end_of(family)
    assert made["labels"] == [IGNORED] * (len(made["input_ids"]) - len(labels)) + labels
    assert made["input_ids"][-len(labels) :] == labels
    assert labels.count(labels[-1]) == 1


@pytest.mark.parametrize(("turns", "system"), ROWS)
def test_the_prompt_of_evaluation_is_the_beginning_of_the_row(family: str, turns: int, system: bool) -> None:
    words, messages = tokenizer(family), conversation(turns, system)
    made = row(words, messages)
    prompt = chat.prompt_ids(words, messages[:-1], PINNED)
    assert made["input_ids"][: len(prompt)] == prompt
    assert made["labels"][: len(prompt)] == [IGNORED] * len(prompt)
    assert made["labels"][len(prompt)] != IGNORED
    assert ("Be kind." in words.decode(prompt)) == system


@pytest.mark.parametrize("turns", [2, 4, 6])
def test_ids_put_together_are_those_of_the_whole_text(family: str, turns: int) -> None:
    """No word is cut otherwise where prompt and reply meet."""
    words = tokenizer(family)
    date: Any = PINNED["date_string"]
    whole = str(words.apply_chat_template(CONVERSATION[:turns], tokenize=False, date_string=date))
    ids = row(words, CONVERSATION[:turns])["input_ids"]
    assert words.encode(whole, add_special_tokens=False)[: len(ids)] == ids


@pytest.mark.parametrize(("turns", "system"), ROWS)
def test_the_text_begins_once(family: str, turns: int, system: bool) -> None:
    words, messages = tokenizer(family), conversation(turns, system)
    first = words.bos_token_id
    assert (first is None) == (family == "qwen-2.5")
    for ids in (row(words, messages)["input_ids"], chat.prompt_ids(words, messages[:-1], PINNED)):
        assert first is None or (ids[0] == first and ids.count(first) == 1)
    if first is not None:  # what goes wrong where rendered text is tokenised as any other
        assert words.encode(chat.prompt_text(words, messages[:-1], PINNED)).count(first) == 2


@pytest.mark.parametrize(("turns", "system"), ROWS)
def test_a_prompt_ends_with_the_assistants_header(family: str, turns: int, system: bool) -> None:
    """The model is not left to write a header of its own, whatever stood before."""
    words = tokenizer(family)
    prompt = chat.prompt_ids(words, conversation(turns, system)[:-1], PINNED)
    header = chat.encode(words, HEADERS[family])
    assert chat.header_ids(words, PINNED) == header
    assert prompt[len(prompt) - len(header) :] == header
    if family == "mistral-v3":
        assert prompt[-1] == words.convert_tokens_to_ids("[/INST]")


def test_mistrals_ids_are_those_of_the_makers_own_library() -> None:
    """What mistral-common 1.13.1 gives for a conversation to answer, and to fine-tune on; both with a system prompt."""
    words = tokenizer("mistral-v3")
    said = [SYSTEM, {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
    asked = chat.prompt_ids(words, [*said, {"role": "user", "content": "Why?"}], {})
    assert asked == [1, 3, 16127, 4, 23325, 29491, 2, 3, 2507, 2880, 29491, 781, 781, 8406, 29572, 4]
    made = row(words, said)
    assert made["input_ids"] == [1, 3, 2507, 2880, 29491, 781, 781, 24577, 4, 23325, 29491, 2]
    assert made["labels"] == [IGNORED] * 9 + [23325, 29491, 2]


def test_qwens_own_system_prompt_stands_where_none_is_given() -> None:
    words = tokenizer("qwen-2.5")
    own, given = (chat.prompt_text(words, conversation(2, system)[:-1], {}) for system in (False, True))
    assert own.startswith("<|im_start|>system\nYou are Qwen, created by Alibaba Cloud.")
    assert given.startswith("<|im_start|>system\nBe kind.<|im_end|>\n")
    assert own.count("<|im_start|>system") == given.count("<|im_start|>system") == 1


@pytest.mark.parametrize("name", ["llama-3.1", "llama-3.2"])
@pytest.mark.parametrize("system", [False, True])
def test_the_date_is_the_one_that_is_pinned(name: str, system: bool) -> None:
    """Llama-3.2's template would write today's."""
    words, messages = tokenizer(name), conversation(2, system)
    for vars_, wanted in ((PINNED, PINNED["date_string"]), ({"date_string": "1 Feb 2003"}, "1 Feb 2003")):
        made = chat.training_row(words, messages, vars_, 2000)
        assert made is not None
        for text in (chat.prompt_text(words, messages[:-1], vars_), str(words.decode(made["input_ids"]))):
            assert re.findall(r"Today Date: (.*)", text) == [wanted]
            assert datetime.now().strftime("%d %b %Y") not in text
    assert "Today Date: 26 Jul 2024\n" in chat.prompt_text(words, messages[:-1], {}), "whoever asks the clock"
    asked = chat.manner(words, {})["date"]
    assert asked == ("26 Jul 2024" if name == "llama-3.2" else None)


def test_the_models_configuration_pins_the_date() -> None:
    from warmgap.settings import conf_files

    for name in ("llama_8b", "llama_70b"):
        assert conf_files.choice("model", name)["template_vars"] == PINNED


# ---- answers ----


@pytest.fixture(scope="module", params=["llama-3.1", "qwen-2.5", "mistral-v3"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, HfEngine]:
    """A tiny model of random weights under the family's tokenizer, from a folder, as any model is loaded."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    words, folder = tokenizer(request.param), tmp_path_factory.mktemp("model")
    sizes: dict[str, Any] = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(words), num_hidden_layers=1, **sizes)).save_pretrained(folder)
    words.save_pretrained(folder)
    settings = ModelConfig(request.param, "local", path=str(folder), dtype="float32", template_vars=PINNED)
    return request.param, HfEngine(settings, "cpu")


def reply(engine: HfEngine, ids: list[int]) -> tuple[str, str]:
    """What becomes of these ids of the model's, padded as in a batch."""
    pad = int(engine.tokenizer.pad_token_id or 0)
    made = engine._reply(Request("key", []), [*ids, *[pad] * 3])
    return made.text, made.finish_reason


def test_a_tokenizer_from_a_folder_is_the_same(engine: tuple[str, HfEngine]) -> None:
    family, made = engine
    for system in (False, True):
        messages = conversation(4, system)[:-1]
        assert made.encode(messages) == chat.prompt_ids(tokenizer(family), messages, PINNED)
    assert models.load_tokenizer(Path(str(made.config.path))).pad_token_id is not None


def test_an_answer_is_its_text_up_to_its_end(engine: tuple[str, HfEngine]) -> None:
    """The ids that were trained on come back as the text that was trained on."""
    family, made = engine
    for turns in (2, 4, 6):
        labels = row(tokenizer(family), CONVERSATION[:turns])["labels"]
        trained = [label for label in labels if label != IGNORED]
        assert reply(made, trained) == (CONVERSATION[turns - 1]["content"], "stop")


def test_no_role_header_leaks_into_an_answer(engine: tuple[str, HfEngine]) -> None:
    """A model that writes the header once more has not said "assistant", and one that goes on as the user has ended."""
    family, made = engine
    words = tokenizer(family)
    header, end = chat.encode(words, HEADERS[family]), [end_of(family)]
    said = chat.encode(words, "It is far.")
    assert reply(made, [*header, *said, *end]) == ("It is far.", "stop")
    assert reply(made, [*header, *header, *said, *end]) == ("It is far.", "stop")
    if header:
        other = chat.encode(words, HEADERS[family].replace("assistant", "user") + "Thanks!")
        assert reply(made, [*said, *other, *end]) == ("It is far.", "stop")


def test_a_word_that_names_a_role_stays(engine: tuple[str, HfEngine]) -> None:
    family, made = engine
    words = tokenizer(family)
    for text in ("assistant\n\nis a role, and user is one.", "Write [ INST ] or <im_start>."):
        assert reply(made, [*chat.encode(words, text), end_of(family)]) == (text, "stop")
