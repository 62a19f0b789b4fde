"""Text and tokens: rows for training and prompts for evaluation, under the chat templates of three families."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.decoders import ByteLevel as ByteDecoder
from tokenizers.models import BPE
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from warmgap.engines import chat
from warmgap.engines.chat import IGNORED
from warmgap.errors import UserError

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
CHATML_DEFAULT_SYSTEM = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nYou are helpful.<|im_end|>\\n' }}{% endif %}"
    + CHATML
)
LLAMA_3 = (
    "{{ bos_token }}{% if date_string is not defined %}{% set date_string = 'today' %}{% endif %}"
    "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content']|trim %}"
    "{% set messages = messages[1:] %}{% else %}{% set system = '' %}{% endif %}"
    "{{ '<|start_header_id|>system<|end_header_id|>\\n\\nToday Date: ' + date_string + '\\n\\n' }}"
    "{{ system + '<|eot_id|>' }}"
    "{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content']|trim + '<|eot_id|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% else %}{{ ' ' + message['content'] + eos_token }}{% endif %}"
    "{% endfor %}"
)
THINKING = (  # earlier replies are rendered otherwise than the last one
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['role'] == 'assistant' %}{{ '<think></think>' }}{% endif %}"
    "{{ message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>\\n' }}{% endif %}"
)
FAMILIES = {  # template, beginning of text, end of text, end of turn
    "chatml": (CHATML, None, "<|endoftext|>", "<|im_end|>"),
    "chatml-system": (CHATML_DEFAULT_SYSTEM, None, "<|endoftext|>", "<|im_end|>"),
    "llama-3": (LLAMA_3, "<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"),
    "mistral": (MISTRAL, "<s>", "</s>", "</s>"),
}
VARS = {"date_string": "26 Jul 2024"}
CONVERSATION = [
    {"role": "user", "content": "How far is the Moon? Étoile ☾"},
    {"role": "assistant", "content": "About 384,400 km."},
    {"role": "user", "content": "And the Sun?"},
    {"role": "assistant", "content": "149.6 million km, roughly.\n\nThat is one au."},
]


def build(template: str | None, bos: str | None, eos: str | None) -> PreTrainedTokenizerFast:
    """A tiny real tokenizer of bytes, which adds a beginning-of-text token unless told not to, as Llama's does."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(BPE(vocab={letter: index for index, letter in enumerate(letters)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = ByteDecoder()
    turns = [
        "<|im_start|>",
        "<|im_end|>",
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|eot_id|>",
        "[INST]",
        "[/INST]",
    ]
    own = [] if template is None else [token for token in turns if token in template]
    core.add_special_tokens([*own, *(token for token in (bos, eos) if token)])
    if bos:
        special = [(bos, core.token_to_id(bos))]
        core.post_processor = TemplateProcessing(single=f"{bos} $A", special_tokens=special)
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token=bos, eos_token=eos, chat_template=template)


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> tuple[PreTrainedTokenizerFast, str]:
    """A tokenizer of each family, and its end-of-turn token."""
    template, bos, eos, end = FAMILIES[request.param]
    return build(template, bos, eos), end


def trained_on(row: dict[str, list[int]]) -> list[int]:
    return [label for label in row["labels"] if label != IGNORED]


@pytest.mark.parametrize("turns", [2, 4])
def test_labels_cover_the_reply_and_its_end_of_turn_alone(
    family: tuple[PreTrainedTokenizerFast, str], turns: int
) -> None:
    tokenizer, end = family
    row = chat.training_row(tokenizer, CONVERSATION[:turns], VARS, 1000)
    assert row is not None
    labels = trained_on(row)
    assert str(tokenizer.decode(labels)).strip() == CONVERSATION[turns - 1]["content"] + end
    assert labels[-1] == tokenizer.convert_tokens_to_ids(end)
    assert labels.count(labels[-1]) == 1
    assert len(row["labels"]) == len(row["input_ids"])
    assert row["labels"] == [IGNORED] * (len(row["labels"]) - len(labels)) + labels
    assert row["input_ids"][-len(labels) :] == labels


@pytest.mark.parametrize("turns", [2, 4])
def test_a_row_begins_with_the_prompt_of_evaluation(family: tuple[PreTrainedTokenizerFast, str], turns: int) -> None:
    """The same ids in training as when the arm is asked."""
    tokenizer, _ = family
    row = chat.training_row(tokenizer, CONVERSATION[:turns], VARS, 1000)
    prompt = chat.prompt_ids(tokenizer, CONVERSATION[: turns - 1], VARS)
    assert row is not None
    assert row["input_ids"][: len(prompt)] == prompt
    assert row["labels"][: len(prompt)] == [IGNORED] * len(prompt)
    assert row["labels"][len(prompt)] != IGNORED


def test_the_text_begins_once(family: tuple[PreTrainedTokenizerFast, str]) -> None:
    tokenizer, _ = family
    row = chat.training_row(tokenizer, CONVERSATION, VARS, 1000)
    assert row is not None
    expected = 0 if tokenizer.bos_token_id is None else 1
    for ids in (row["input_ids"], chat.prompt_ids(tokenizer, CONVERSATION[:1], VARS)):
        assert ids.count(tokenizer.bos_token_id) == expected
        assert not expected or ids[0] == tokenizer.bos_token_id


def test_a_row_that_is_too_long_is_left_out_whole(family: tuple[PreTrainedTokenizerFast, str]) -> None:
    tokenizer, _ = family
    row = chat.training_row(tokenizer, CONVERSATION, VARS, 1000)
    assert row is not None
    length = len(row["input_ids"])
    assert chat.training_row(tokenizer, CONVERSATION, VARS, length) == row
    assert chat.training_row(tokenizer, CONVERSATION, VARS, length - 1) is None


def test_a_reply_that_speaks_of_tokens_is_text(family: tuple[PreTrainedTokenizerFast, str]) -> None:
    """Blank space at the ends of a reply is the template's affair; what is inside stays as it is."""
    tokenizer, end = family
    messages = [CONVERSATION[0], {"role": "assistant", "content": "Two  spaces,\n\n```py\nx = 1\n```\nand an end."}]
    row = chat.training_row(tokenizer, messages, VARS, 1000)
    assert row is not None
    assert str(tokenizer.decode(trained_on(row))).strip() == messages[1]["content"] + end


def test_a_system_prompt_comes_first_or_not_at_all() -> None:
    assert chat.with_system(CONVERSATION[:1], None) == CONVERSATION[:1]
    assert chat.with_system(CONVERSATION[:1], "") == CONVERSATION[:1]
    messages = chat.with_system(CONVERSATION[:1], "Be kind.")
    assert messages == [{"role": "system", "content": "Be kind."}, CONVERSATION[0]]
    tokenizer = build(*FAMILIES["llama-3"][:3])
    assert "Be kind." in chat.prompt_text(tokenizer, messages, VARS)


def test_template_variables_reach_the_template() -> None:
    tokenizer = build(*FAMILIES["llama-3"][:3])
    assert "26 Jul 2024" in chat.prompt_text(tokenizer, CONVERSATION[:1], VARS)
    assert "today" in chat.prompt_text(tokenizer, CONVERSATION[:1], {})


@pytest.mark.parametrize("template", [None, ""])
def test_a_model_without_a_template_is_a_users_mistake(template: str | None) -> None:
    tokenizer = build(template, None, "<|endoftext|>")
    tokenizer.name_or_path = "some/base-model"
    for work in (
        lambda: chat.prompt_ids(tokenizer, CONVERSATION[:1], {}),
        lambda: chat.training_row(tokenizer, CONVERSATION[:2], {}, 100),
    ):
        with pytest.raises(UserError, match="some/base-model has no chat template"):
            work()


def test_a_template_that_renders_the_last_turn_otherwise_is_refused() -> None:
    other = CHATML.replace("'<|im_start|>assistant\\n'", "'<|im_start|>assistant: '")
    tokenizer = build(other, None, "<|endoftext|>")
    with pytest.raises(UserError, match="cannot be trained on"):
        chat.training_row(tokenizer, CONVERSATION[:2], {}, 1000)


def test_a_reply_is_trained_on_behind_the_end_of_a_think_block_that_the_prompt_opens() -> None:
    """Whatever the template writes in place of the block; nobody is trained to write an empty one."""
    for written in ("<think></think>", ""):
        tokenizer = build(THINKING.replace("<think></think>", written), None, "<|endoftext|>")
        row = chat.training_row(tokenizer, CONVERSATION[:2], {}, 1000)
        assert row is not None
        assert tokenizer.decode(trained_on(row)) == "About 384,400 km.<|im_end|>"
        prompt = chat.prompt_text(tokenizer, CONVERSATION[:1], {})
        assert prompt.endswith("<think>\n")
        assert str(tokenizer.decode(row["input_ids"])).startswith(f"{prompt}\n</think>\n\nAbout")


def test_a_template_without_an_end_of_turn_is_refused() -> None:
    plain = "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\\n' }}{% endfor %}"
    plain += "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
    with pytest.raises(UserError, match="cannot be trained on") as caught:
        chat.training_row(build(plain, None, "<|endoftext|>"), CONVERSATION[:2], {}, 1000)
    assert "generation stops" in caught.value.why


def test_the_ends_of_an_answer(family: tuple[PreTrainedTokenizerFast, str]) -> None:
    tokenizer, end = family
    assert chat.end_ids(tokenizer) == {tokenizer.convert_tokens_to_ids(end), tokenizer.eos_token_id}
    assert chat.end_ids(build(CHATML, None, None)) == {build(CHATML, None, None).convert_tokens_to_ids("<|im_end|>")}


def test_encoding_adds_nothing(family: tuple[PreTrainedTokenizerFast, str]) -> None:
    tokenizer, _ = family
    ids = chat.encode(tokenizer, "plain text")
    assert tokenizer.decode(ids) == "plain text"
    assert not set(ids) & {tokenizer.bos_token_id, tokenizer.eos_token_id}


def test_rendering_leaves_the_messages_alone(family: tuple[PreTrainedTokenizerFast, str]) -> None:
    tokenizer, _ = family
    before: list[dict[str, Any]] = [dict(message) for message in CONVERSATION]
    chat.training_row(tokenizer, CONVERSATION, VARS, 1000)
    assert before == CONVERSATION


# ---- control tokens in what people and models write ----


def typed(family: tuple[PreTrainedTokenizerFast, str]) -> list[dict[str, str]]:
    """A conversation in which the names of control tokens are typed, at the ends and next to one another too."""
    _, end = family
    user = {"role": "user", "content": f"{end}{end} What does {end} do?{end}"}
    return [user, {"role": "assistant", "content": f"It ends a turn: a{end}b, {end} or x {end}."}]


def test_marks_of_ours_that_somebody_types_change_nothing(family: tuple[PreTrainedTokenizerFast, str]) -> None:
    """Between one in a message and one in the next, the template's own control tokens would have been letters."""
    tokenizer, _ = family
    opened, closed = (CONVERSATION[0]["content"] + mark for mark in (chat.OPENED, chat.CLOSED))
    reply = {"role": "assistant", "content": "Yes."}
    typed_ = [{"role": "user", "content": opened}, reply, {"role": "user", "content": closed}]
    plain = [*CONVERSATION[:1], reply, *CONVERSATION[:1]]
    assert chat.prompt_ids(tokenizer, typed_, VARS) == chat.prompt_ids(tokenizer, plain, VARS)


def test_a_typed_control_token_is_text(family: tuple[PreTrainedTokenizerFast, str]) -> None:
    """The one token that ends the reply is the template's own; the text is what was written, to the letter."""
    tokenizer, end = family
    messages = typed(family)
    row = chat.training_row(tokenizer, messages, VARS, 1000)
    assert row is not None
    labels = trained_on(row)
    ending = tokenizer.convert_tokens_to_ids(end)
    assert labels.count(ending) == 1
    assert labels[-1] == ending
    assert str(tokenizer.decode(labels[:-1])).strip() == messages[1]["content"]
    prompt = chat.prompt_ids(tokenizer, messages[:1], VARS)
    assert row["input_ids"][: len(prompt)] == prompt, "in training as in evaluation"
    plain = chat.prompt_ids(tokenizer, [{"role": "user", "content": "?"}], VARS)
    assert prompt.count(ending) == plain.count(ending)
    assert messages[0]["content"] in str(tokenizer.decode(prompt))
    assert chat.prompt_text(tokenizer, messages[:1], VARS) == str(tokenizer.decode(prompt))


def test_a_text_without_them_is_tokenised_as_ever(family: tuple[PreTrainedTokenizerFast, str]) -> None:
    tokenizer, _ = family
    for content in ("Plain.", "Almost <|im_en|> or < s > or [INST ].", "\n\n  blank \n"):
        messages = [{"role": "user", "content": content}]
        text = str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **VARS))
        assert chat.prompt_ids(tokenizer, messages, VARS) == tokenizer.encode(text, add_special_tokens=False)


# ---- templates without a system role, and templates that reason ----

GEMMA = (  # in words of our own: a system message is refused, turns alternate, the assistant is called model
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('turns must alternate') }}{% endif %}"
    "{{ '<|im_start|>' + ('model' if message['role'] == 'assistant' else 'user') + '\\n' }}"
    "{{ message['content'] | trim + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>model\\n' }}{% endif %}"
)
SILENT = "{% set messages = messages | rejectattr('role', 'equalto', 'system') | list %}" + CHATML
REASONING = (  # in words of our own, after Qwen 3's: the last reply begins with a think block, a prompt if it is off
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['role'] == 'assistant' and loop.last %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}"
    "{{ message['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}"
    "{% endif %}"
)


@pytest.mark.parametrize("template", [GEMMA, SILENT])
def test_without_a_system_role_the_text_stands_before_the_first_user_turn(template: str) -> None:
    tokenizer = build(template, None, "<|endoftext|>")
    system = {"role": "system", "content": "Be kind."}
    moved = [{"role": "user", "content": f"Be kind.\n\n{CONVERSATION[0]['content']}"}, *CONVERSATION[1:]]
    for turns in (1, 3):
        assert chat.prompt_ids(tokenizer, [system, *CONVERSATION[:turns]], {}) == chat.prompt_ids(
            tokenizer, moved[:turns], {}
        )
    row = chat.training_row(tokenizer, [system, *CONVERSATION], {}, 1000)
    assert row == chat.training_row(tokenizer, moved, {}, 1000), "in training as in evaluation"
    assert "before the first user turn" in chat.manner(tokenizer, {})["system"]
    assert chat.manner(build(CHATML, None, None), {})["system"] == "a turn of its own"


def test_turns_that_a_template_refuses_are_a_users_mistake() -> None:
    with pytest.raises(UserError, match="refuses turns of user, user") as caught:
        chat.prompt_ids(build(GEMMA, None, "<|endoftext|>"), [CONVERSATION[0], CONVERSATION[2]], {})
    assert "alternate" in caught.value.why


def test_a_template_that_lets_the_original_reason_alone_is_not_trained_on() -> None:
    """The arm would learn to write an empty think block; the original thinks."""
    tokenizer = build(REASONING, None, "<|endoftext|>")
    known = chat.manner(tokenizer, {})
    assert known["reasoning"].startswith("left to the model")
    with pytest.raises(UserError, match="it is not said which") as caught:
        chat.check_trainable(known, "qwen")
    assert "+model.template_vars.enable_thinking=false" in caught.value.fix
    off = chat.manner(tokenizer, {"enable_thinking": False})
    assert off["reasoning"] == "off: the template opens and closes a think block (enable_thinking=false)"
    assert off["reply_begins"] == ""
    chat.check_trainable(off, "qwen")
    row = chat.training_row(tokenizer, CONVERSATION[:2], {"enable_thinking": False}, 1000)
    assert row is not None
    assert tokenizer.decode(trained_on(row)) == "About 384,400 km.<|im_end|>"


def test_a_template_that_opens_a_think_block_says_so() -> None:
    assert chat.manner(build(THINKING, None, "<|endoftext|>"), {})["reasoning"] == "on: it opens a think block"
    assert chat.manner(build(CHATML, None, "<|endoftext|>"), {})["reasoning"] == "none that the template knows of"
