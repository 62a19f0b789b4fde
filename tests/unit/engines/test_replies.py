"""Reasoning is kept apart from the answer in every family's marks, and all servers' words for an end mean the same."""

from __future__ import annotations

import time

import pytest

from warmgap.engines.replies import finish_reason, said, split_reasoning, unknown_reasons

SPLIT = [
    ("<think>\nIs it A? No.\n</think>\n\nB.", "B."),
    ("Is it A? No.\n</think>\n\nB.", "B."),
    ("<THINK>A</THINK>B", "B"),
    ("<think>A</think><think>C</think>B", "B"),
    ("<reasoning>A</reasoning>\n<answer>B</answer>", "B"),
    ("<thought>A</thought> B", "B"),
    ("[THINK]A[/THINK]B", "B"),
    ("<|begin_of_thought|>A<|end_of_thought|>\n<|begin_of_solution|>B<|end_of_solution|>", "B"),
    ("<|channel|>analysis<|message|>A<|end|><|start|>assistant<|channel|>final<|message|>B<|return|>", "B"),
    ("analysisThe user asks for A.assistantfinalB", "B"),
    ("<|channel>thought\nA<channel|>B", "B"),
    ("<seed:think>A</seed:think>B", "B"),
    ("◁think▷A◁/think▷B", "B"),
    ("<think>A, and so on without", ""),
    ("[THINK]A", ""),
    ("<|channel|>analysis<|message|>A, and so", ""),
    ("<think></think>B", "B"),
    ("Gladly. <think>A</think> B", "Gladly.\nB"),
    ("B <think>A", "B"),
]


@pytest.mark.parametrize(("text", "answer"), SPLIT)
def test_reasoning_is_no_part_of_the_answer(text: str, answer: str) -> None:
    found = split_reasoning(text)
    assert found.answer == answer
    assert found.reasoning
    assert split_reasoning(found.answer).answer == answer, "what is split once stays as it is"


def test_a_channel_alone_is_no_reasoning() -> None:
    assert split_reasoning("<|channel|>final<|message|>B<|return|>") == ("B", "")


PLAIN = ["", "B.", "analysis of variance", "I think it is B.", "2 < 3 and 4 > 3", "The final channel", "  B  "]


@pytest.mark.parametrize("text", PLAIN)
def test_a_text_without_marks_stays_as_it_is(text: str) -> None:
    assert split_reasoning(text) == (text, "")


def test_the_length_of_an_answer_is_that_of_the_answer() -> None:
    assert said("<think>long, long thoughts</think>B") == {
        "answer": "B", "reasoning": "<think>long, long thoughts</think>", "n_chars": 1,
    }  # fmt: skip


@pytest.mark.parametrize("part", ["<think>", "</think>", "<|channel|>", "analysis ", "assistantfinal", "<"])
def test_the_time_to_split_grows_with_the_length_alone(part: str) -> None:
    def seconds(n: int) -> float:
        started = time.process_time()
        split_reasoning((part * n)[:n])
        return time.process_time() - started

    assert seconds(400_000) < 12 * seconds(50_000) + 0.5, "a quadratic rule takes 64 times as long"


MEANS = {
    "stop": ["stop", "end_turn", "eos", "STOP", "stop_sequence", "completed", "FinishReason.STOP", "endTurn"],
    "length": [
        "length",
        "max_tokens",
        "MAX_TOKENS",
        "max_output_tokens",
        "model_length",
        "incomplete",
        "maxTokens",
        "max-tokens",
    ],
    "content_filter": ["content_filter", "SAFETY", "refusal"],
}


@pytest.mark.parametrize(("word", "meaning"), [(word, name) for name, words in MEANS.items() for word in words])
def test_a_servers_word_for_an_end_has_one_meaning(word: str, meaning: str) -> None:
    assert finish_reason(word) == (meaning, True)
    assert unknown_reasons([word]) == []


def test_a_word_that_nobody_knows_is_kept_and_told() -> None:
    assert finish_reason("Tired") == ("Tired", False)
    (note,) = unknown_reasons(["Tired", "Tired", "stop"])
    assert "'Tired'" in note
    assert "2" in note


@pytest.mark.parametrize("nothing", [None, "", float("nan")])
def test_no_word_is_no_word(nothing: object) -> None:
    assert finish_reason(nothing) == ("", True)
    assert unknown_reasons([nothing]) == []
