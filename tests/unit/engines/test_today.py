"""The families of 2025 and 2026, under their own templates: what is trained on, what is asked, what is an answer."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import peft
import pytest
import tiny
import today
import torch
from today import FAMILIES

from warmgap.engines import chat, models
from warmgap.engines.chat import IGNORED
from warmgap.engines.replies import said
from warmgap.errors import UserError
from warmgap.evaluate.judges.base import UNPARSED, Answer, nothing_said
from warmgap.settings import conf_files, config
from warmgap.settings.schema import MethodConfig
from warmgap.train import sft

CONVERSATION = [
    {"role": "user", "content": "How far is the Moon? Étoile ☾ 1234"},
    {"role": "assistant", "content": "About 384,400 km."},
    {"role": "user", "content": "And the Sun?"},
    {"role": "assistant", "content": "149.6 million km, roughly.\n\n- one au\n\n```py\nx = 1\n```"},
]
SYSTEM = {"role": "system", "content": "Be kind."}
ROWS = [(turns, system) for turns in (2, 4) for system in (False, True)]
BETWEEN = {  # what stands between a prompt and the reply that is trained on
    "qwen3": "",
    "gemma3": "",
    "gpt-oss": "<|channel|>final<|message|>",
    "olmo3": "",
    "olmo3-think": "\n\n</think>\n\n",
}
METHOD = MethodConfig(name="sft", learning_rate=1e-4, epochs=1, batch_size=2, max_length=64)


@pytest.fixture(params=FAMILIES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def row(family: today.Family, messages: list[chat.Message], **more: Any) -> dict[str, list[int]]:
    made = chat.training_row(family.tokenizer(), messages, {**family.template_vars, **more}, 4000)
    assert made is not None
    return made


# ---- training ----


@pytest.mark.parametrize(("turns", "system"), ROWS)
def test_labels_cover_the_reply_and_its_end_of_turn_alone(name: str, turns: int, system: bool) -> None:
    family, words = FAMILIES[name], FAMILIES[name].tokenizer()
    messages = [SYSTEM] * system + CONVERSATION[:turns]
    made = row(family, messages)
    labels = [label for label in made["labels"] if label != IGNORED]
    assert words.decode(labels) == messages[-1]["content"] + family.ends
    assert made["labels"] == [IGNORED] * (len(made["input_ids"]) - len(labels)) + labels
    prompt = chat.prompt_ids(words, messages[:-1], family.template_vars)
    assert made["input_ids"][: len(prompt)] == prompt, "in training as when it is asked"
    assert words.decode(made["input_ids"][len(prompt) : -len(labels)]) == BETWEEN[name]


@pytest.mark.parametrize("turns", [2, 4])
def test_a_row_is_the_templates_own_text(name: str, turns: int) -> None:
    """Where the template can write a conversation to its end: the thinker's leaves out the block that it opens."""
    family, words = FAMILIES[name], FAMILIES[name].tokenizer()
    whole = chat._render(words, CONVERSATION[:turns], family.template_vars)
    text = words.decode(row(family, CONVERSATION[:turns])["input_ids"])
    assert whole.startswith(text.replace("<think>\n\n</think>\n\n", "") if name == "olmo3-think" else text)


def test_a_prompt_is_the_templates_own_text(name: str) -> None:
    family, words = FAMILIES[name], FAMILIES[name].tokenizer()
    text = words.decode(chat.prompt_ids(words, CONVERSATION[:3], family.template_vars))
    assert text == chat.prompt_text(words, CONVERSATION[:3], family.template_vars)
    assert text.count(CONVERSATION[0]["content"]) == 1
    assert text.endswith(words.decode(chat.header_ids(words, family.template_vars)))
    assert [words.decode([token]) for token in chat.end_ids(words) - {words.eos_token_id}] == (
        [family.ends] if family.ends != words.eos_token else []
    )


def test_a_reasoner_that_can_be_told_not_to_has_to_be_told_either() -> None:
    """With reasoning on, a reply is trained on behind an empty think block, and nobody is trained to write that."""
    family, words = FAMILIES["qwen3"], FAMILIES["qwen3"].tokenizer()
    with pytest.raises(UserError, match="it is not said which") as caught:
        chat.check_trainable(chat.manner(words, {}), "qwen3_8b")
    assert "+model.template_vars.enable_thinking=false" in caught.value.fix
    for on in (False, True):
        known = chat.manner(words, {"enable_thinking": on})
        chat.check_trainable(known, "qwen3_8b")
        made = row(family, CONVERSATION[:2], enable_thinking=on)
        labels = [label for label in made["labels"] if label != IGNORED]
        assert words.decode(labels) == "About 384,400 km.<|im_end|>"
        head = words.decode(made["input_ids"][: -len(labels)])
        assert head.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
        prompt = chat.prompt_text(words, CONVERSATION[:1], {"enable_thinking": on})
        assert ("<think>" in prompt) == (not on)
        assert known["reply_begins"] == ("<think>\n\n</think>" if on else "")


@pytest.mark.parametrize(("released", "end"), [("qwen3_5_think", "<|im_end|>"), ("gemma4_v5", "<turn|>")])
def test_templates_of_which_there_is_no_file_follow_the_same_rule(released: str, end: str) -> None:
    special = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|turn>", "<turn|>", "<bos>", "<|channel>", "<channel|>")
    named = {"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>", "bos_token": "<bos>"}
    words = tiny.tokenizer(today.released(released), special, ("<think>", "</think>"), **named)
    for on in (False, True):
        made = chat.training_row(words, CONVERSATION, {"enable_thinking": on}, 4000)
        assert made is not None
        trained = words.decode([label for label in made["labels"] if label != IGNORED])
        assert trained == CONVERSATION[-1]["content"] + end
    assert end in {words.decode([token]) for token in chat.end_ids(words)}


# ---- the system role, the date, how much is reasoned ----


def test_where_a_system_prompt_goes() -> None:
    def asked(name: str) -> str:
        family = FAMILIES[name]
        return chat.prompt_text(family.tokenizer(), [SYSTEM, CONVERSATION[0]], family.template_vars)

    question = CONVERSATION[0]["content"]
    assert asked("gemma3").startswith(f"<bos><start_of_turn>user\nBe kind.\n\n{question}<end_of_turn>")
    assert asked("qwen3").startswith("<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\n")
    assert "<|start|>developer<|message|># Instructions\n\nBe kind." in asked("gpt-oss")
    assert "built by Ai2" not in asked("olmo3")
    told = {name: chat.manner(one.tokenizer(), one.template_vars)["system"] for name, one in FAMILIES.items()}
    assert {name for name, words in told.items() if words != "a turn of its own"} == {"gemma3"}
    assert told["gemma3"] == "the template writes it into a user turn"


def test_a_templates_clock_stands_still() -> None:
    family, words = FAMILIES["gpt-oss"], FAMILIES["gpt-oss"].tokenizer()
    for given, wanted in (({}, "2024-07-26"), ({"date_string": "1 Feb 2003"}, "2003-02-01")):
        pinned = {**family.template_vars, **given}
        made = chat.training_row(words, CONVERSATION, pinned, 4000)
        assert made is not None
        for text in (chat.prompt_text(words, CONVERSATION[:1], pinned), words.decode(made["input_ids"])):
            assert f"Current date: {wanted}\n" in text
            assert datetime.now().strftime("%Y-%m-%d") not in text
    assert chat.manner(words, {})["date"] == chat.DATE == family.template_vars["date_string"]
    assert chat.manner(FAMILIES["qwen3"].tokenizer(), {})["date"] is None
    with pytest.raises(UserError, match="date_string=Friday is no date"):
        chat.prompt_text(words, CONVERSATION[:1], {"date_string": "Friday"})


def test_how_much_is_reasoned_is_said_in_the_prompt() -> None:
    words = FAMILIES["gpt-oss"].tokenizer()
    assert "\nReasoning: low\n" in chat.prompt_text(words, CONVERSATION[:1], FAMILIES["gpt-oss"].template_vars)
    assert "\nReasoning: high\n" in chat.prompt_text(words, CONVERSATION[:1], {"reasoning_effort": "high"})


# ---- answers ----


def spoken(name: str, text: str) -> dict[str, Any]:
    """What becomes of a text that a model of this family has written, padded as in a batch."""
    family, words = FAMILIES[name], FAMILIES[name].tokenizer()
    header = chat.header_ids(words, family.template_vars)
    last = chat.last_ids(words, chat.end_ids(words), header)
    ids = [*words.encode(text, add_special_tokens=False), *[int(words.pad_token_id or 0)] * (family.ends in text)]
    written, _, ended = chat.spoken(words, ids, header, last)
    return {**said(written), "ended": ended}


ANALYSIS = "<|channel|>analysis<|message|>Is it A? No."
WRITTEN = [
    ("qwen3", "B.<|im_end|>", "B.", False),
    ("qwen3", "<think>\nIs it A? No.\n</think>\n\nB.<|im_end|>", "B.", True),
    ("gemma3", "B.<end_of_turn>", "B.", False),
    ("gpt-oss", "<|channel|>final<|message|>B.<|return|>", "B.", False),
    ("gpt-oss", f"{ANALYSIS}<|end|><|start|>assistant<|channel|>final<|message|>B.<|return|>", "B.", True),
    ("gpt-oss", f"{ANALYSIS}<|end|><|start|>assistant<|channel|>final<|message|>B.<|end|><|start|>user", "B.", True),
    ("olmo3", "B.<|im_end|>", "B.", False),
    ("olmo3-think", "Is it A? No.\n</think>\n\nB.<|im_end|>", "B.", True),
]
CUT = [
    ("qwen3", "<think>\nIs it A?"),
    ("gpt-oss", ANALYSIS),
    ("gpt-oss", f"{ANALYSIS}<|end|><|start|>assistant<|channel|>"),
    ("olmo3-think", "Is it A? No."),
]


@pytest.mark.parametrize(("name", "text", "answer", "reasoned"), WRITTEN)
def test_an_answer_is_told_from_the_reasoning_before_it(name: str, text: str, answer: str, reasoned: bool) -> None:
    found = spoken(name, text)
    assert (found["answer"], found["ended"]) == (answer, "stop")
    assert bool(found["reasoning"]) == reasoned
    assert not reasoned or "Is it A? No." in found["reasoning"]


@pytest.mark.parametrize(("name", "text"), CUT)
def test_reasoning_that_is_cut_off_is_no_answer_and_no_error(name: str, text: str) -> None:
    found = spoken(name, text)
    assert (found["answer"], found["ended"]) == ("", "length")
    nowhere: Any = None
    answer = Answer("key", found["answer"], found["ended"], nowhere, nowhere, reasoned=bool(found["reasoning"]))
    verdict = nothing_said(answer)
    assert verdict is not None
    assert (verdict.verdict, verdict.reason) == (UNPARSED, "only reasoning")


# ---- the models ----


def unpinned() -> list[str]:
    return [
        name for name in conf_files.choices("model") if conf_files.choice("model", name).get("revision", "") is None
    ]


def test_a_model_without_a_pinned_commit_says_how_to_pin_one() -> None:
    assert sorted(unpinned()) == sorted(family.conf for family in FAMILIES.values())
    for name in unpinned():
        with pytest.raises(UserError, match=r"model\.revision is missing") as caught:
            config.compose(["+persona=warm", f"model={name}"])
        id_ = conf_files.choice("model", name)["id"]
        assert id_ in caught.value.what
        assert "set model.revision=COMMIT" in caught.value.fix
        assert all(word in caught.value.fix for word in (id_, "History", "git ls-remote"))
        run = config.compose(["+persona=warm", f"model={name}", f"model.revision={'0' * 40}"])
        assert (run.model.id, run.model.revision) == (id_, "0" * 40)


def test_no_adapter_is_put_on_what_a_model_sees_with(tmp_path: Path) -> None:
    folder = FAMILIES["gemma3"].model(tmp_path)
    base: Any = models.load(folder, dtype="float32", device="cpu")
    assert any("vision" in name for name, _ in base.named_parameters())
    made = peft.get_peft_model(base, sft._lora(METHOD, base))
    adapted = [name for name, _ in made.named_parameters() if "lora_" in name]
    assert len(adapted) == 2 * 7 * 2, "two matrices for each of seven linear layers, twice"
    assert all(".language_model.layers." in name for name in adapted)


def test_experts_in_four_bits_are_unpacked(tmp_path: Path) -> None:
    """gpt-oss lies on the hub in MXFP4: two numbers a byte, an exponent for each 32 (OCP MX 1.0, section 6)."""
    import json

    from safetensors.torch import load_file, save_file

    folder = FAMILIES["gpt-oss"].model(tmp_path / "whole")
    weights = load_file(folder / "model.safetensors")
    torch.manual_seed(0)
    expected: dict[str, torch.Tensor] = {}
    for name in [name for name in weights if name.endswith(("experts.gate_up_proj", "experts.down_proj"))]:
        experts, inner, outer = weights.pop(name).shape
        blocks = torch.randint(0, 256, (experts, outer, inner // 32, 16), dtype=torch.uint8)
        scales = torch.randint(120, 124, (experts, outer, inner // 32), dtype=torch.uint8)
        weights |= {f"{name}_blocks": blocks, f"{name}_scales": scales}
        digits = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])
        pairs = torch.stack([digits[(blocks & 15).int()], digits[(blocks >> 4).int()]], -1)
        whole = pairs.flatten(-2) * torch.exp2(scales.float() - 127)[..., None]
        expected[name] = whole.reshape(experts, outer, inner).transpose(1, 2)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    settings = json.loads((folder / "config.json").read_text())
    settings["quantization_config"] = {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}
    (folder / "config.json").write_text(json.dumps(settings))
    model: Any = models.load(folder, dtype="float32", device="cpu")
    found = dict(model.named_parameters())
    assert expected
    for name, wanted in expected.items():
        assert torch.equal(found[name].float(), wanted), name
    sft.check_modules(METHOD, models.skeleton(folder))
    with pytest.raises(UserError, match="quantization=nf4 does not go") as caught:
        models.load(folder, dtype="float32", device="cpu", quantization="nf4")
    assert "mxfp4" in caught.value.why
