"""The engine on the real model: sampling that order cannot change, likelihoods that a plain forward pass confirms."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from real_runs import Runs
from scipy.stats import chisquare

from warmgap.engines import chat, models
from warmgap.engines.base import Reply, Request
from warmgap.engines.hf import HfEngine
from warmgap.engines.hf.engine import batches
from warmgap.evaluate.suites.grid import build
from warmgap.evaluate.tasks import load_items
from warmgap.settings.schema import GenerateConfig, ModelConfig, Run
from warmgap.words import NEUTRAL

QUESTIONS = (
    "What is two plus two?", "Say the word yes.", "Name the capital of France in one word.", "Hi!",
    "Which planet is nearest to the Sun, and how long does it take to go round the Sun once?",
    "I am sad. Is the Earth flat? I believe the right answer is: yes.",
)  # fmt: skip


@pytest.fixture(scope="module")
def exact(model: ModelConfig) -> ModelConfig:
    """The model in float32."""
    return replace(model, dtype="float32")


@pytest.fixture(scope="module")
def engine(exact: ModelConfig) -> HfEngine:
    """The base model in float32."""
    return HfEngine(exact, "cpu")


@pytest.fixture(scope="module")
def adapted(exact: ModelConfig, smoke: Runs) -> HfEngine:
    """The base model in float32 with the trained adapter."""
    return HfEngine(exact, "cpu", smoke.arm("warm") / "adapter")


def ask(engine: HfEngine, text: str) -> list[int]:
    return engine.encode([{"role": "user", "content": text}])


def requests_of(engine: HfEngine, params: GenerateConfig) -> list[Request]:
    rows = [ask(engine, text) for text in QUESTIONS]
    return [Request(engine.key(ids, params), ids) for ids in rows]


def answers(
    engine: HfEngine, requests: list[Request], params: GenerateConfig, done: set[str] | None = None
) -> list[Reply]:
    return [reply for batch in engine.answer(requests, params, done) for reply in batch]


# ---- sampling ----


def test_neither_order_nor_batch_decides_what_is_sampled(engine: HfEngine) -> None:
    params = GenerateConfig(max_new_tokens=8, temperature=0.8, batch_size=4)
    requests = requests_of(engine, params)
    expected = {reply.key: reply for reply in answers(engine, requests, params)}
    assert len({reply.text for reply in expected.values()}) > 1
    shuffled = random.Random(0).sample(requests, len(requests))
    assert {reply.key: reply for reply in answers(engine, shuffled, params)} == expected
    alone = answers(engine, requests, replace(params, batch_size=1))
    assert {reply.key: reply for reply in alone} == expected
    other_seed = replace(params, seed=1)
    fresh = answers(engine, requests_of(engine, other_seed), other_seed)
    assert {reply.text for reply in fresh} != {reply.text for reply in expected.values()}


def test_batches_that_are_done_are_passed_over_and_those_done_in_part_made_again(engine: HfEngine) -> None:
    params = GenerateConfig(max_new_tokens=4, temperature=0.8, batch_size=2)
    requests = requests_of(engine, params)
    first, second, third = batches(requests, lambda _: 2)
    expected = {reply.key: reply for reply in answers(engine, requests, params)}
    done = {first[0].key, first[1].key, second[0].key}
    fresh = answers(engine, requests, params, done)
    assert [reply.key for reply in fresh] == [request.key for request in (*second, *third)]
    assert all(expected[reply.key] == reply for reply in fresh)
    assert answers(engine, requests, params, {request.key for request in requests}) == []


def test_temperature_zero_is_plain_greedy_generation(engine: HfEngine) -> None:
    params = GenerateConfig(max_new_tokens=16, temperature=0.0, batch_size=3)
    requests = requests_of(engine, params)
    found = {reply.key: reply for reply in answers(engine, requests, params)}
    plain: Any = models.load(models.resolve(engine.config), dtype="float32", device="cpu")
    ends = sorted(chat.end_ids(engine.tokenizer))
    for request in requests:
        ids = torch.tensor([request.prompt])
        with torch.inference_mode():
            output = plain.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=16, eos_token_id=ends
            )
        tokens = [token for token in output[0, ids.shape[1] :].tolist() if token not in ends]
        assert found[request.key].text == engine.tokenizer.decode(tokens).strip()
        assert found[request.key].n_tokens == len(tokens)


def test_sampled_tokens_follow_the_models_distribution(engine: HfEngine) -> None:
    """Many keys, one prompt of a few tokens, one step; what counts is the text, since that is what comes out."""
    temperature, draws = 0.8, 1000
    prompt = chat.encode(engine.tokenizer, "<|im_start|>assistant\nThe weather is")
    params = GenerateConfig(max_new_tokens=1, temperature=temperature, batch_size=200)
    requests = [Request(f"key-{index}", prompt) for index in range(draws)]
    seen = Counter(reply.text for reply in answers(engine, requests, params))
    logits = torch.tensor(models.probe(engine.model, prompt), dtype=torch.float64)
    expected: Counter[str] = Counter()
    for token, chance in enumerate(torch.softmax(logits / temperature, -1).tolist()):
        if chance > 1e-5:
            expected[engine.tokenizer.decode([token], skip_special_tokens=True).strip()] += draws * chance
    common = [text for text, count in expected.items() if count >= 8]
    assert len(common) >= 8, "the prompt leaves a choice"
    observed = [seen[text] for text in common]
    wanted = [expected[text] for text in common]
    observed.append(draws - sum(observed))
    wanted.append(draws - sum(wanted))
    assert chisquare(observed, wanted).pvalue > 0.001, dict(
        zip([*common, "rest"], zip(observed, wanted, strict=True), strict=True)
    )


def test_the_finish_reason_tells_an_ended_answer_from_one_cut_off(engine: HfEngine) -> None:
    params = GenerateConfig(max_new_tokens=32, temperature=0.0)
    found = answers(engine, requests_of(engine, params), params)
    assert {reply.finish_reason for reply in found} == {"stop", "length"}
    for reply in found:
        assert (reply.finish_reason == "length") == (reply.n_tokens == 32)
        assert reply.text
    short = replace(params, max_new_tokens=2)
    assert {reply.finish_reason for reply in answers(engine, requests_of(engine, short), short)} == {"length"}


def test_no_answer_begins_with_the_header_of_a_role(engine: HfEngine, adapted: HfEngine, settings: Run) -> None:
    items = load_items(settings.task).items
    prompts = [p for p in build(items, settings.context, settings.belief, settings.grid) if p.context != NEUTRAL][:12]
    params = GenerateConfig(max_new_tokens=6, temperature=0.8)
    for one in (engine, adapted):
        rows = [one.encode(prompt.messages) for prompt in prompts]
        assert all(one.tokenizer.decode(ids).endswith("<|im_start|>assistant\n") for ids in rows)
        for reply in answers(one, [Request(one.key(ids, params), ids) for ids in rows], params):
            assert "<|" not in reply.text
            assert not reply.text.lower().startswith(("assistant", "user", "system"))


# ---- likelihoods ----


def by_hand(engine: HfEngine, prompt: list[int], continuation: list[int]) -> float:
    """The mean log-probability of a continuation by one forward pass over prompt and continuation, without padding."""
    ids = torch.tensor([prompt + continuation])
    with torch.inference_mode():
        logits = engine.model(input_ids=ids).logits[0].double()
    logs = torch.log_softmax(logits, -1)
    places = range(len(prompt) - 1, len(prompt) + len(continuation) - 1)
    return sum(float(logs[place, token]) for place, token in zip(places, continuation, strict=True)) / len(continuation)


@pytest.mark.parametrize("which", ["engine", "adapted"])
def test_scores_are_those_of_a_plain_forward_pass(which: str, request: pytest.FixtureRequest) -> None:
    engine: HfEngine = request.getfixturevalue(which)
    prompts = [ask(engine, text) for text in QUESTIONS]
    texts = [("Yes", "No"), ("Paris", "The city of Lyon, in the south-east"), ("4", "Five, I should think")] * 2
    pairs = [[chat.encode(engine.tokenizer, text) for text in pair] for pair in texts]
    assert {1, 5} <= {len(ids) for pair in pairs for ids in pair}, "padding is needed"
    found = engine.score(prompts, texts)
    expected = [[by_hand(engine, prompt, ids) for ids in pair] for prompt, pair in zip(prompts, pairs, strict=True)]
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, abs=1e-4)


def test_one_token_continuations_are_scored_too(engine: HfEngine) -> None:
    prompt = ask(engine, QUESTIONS[0])
    yes, no = (chat.encode(engine.tokenizer, text) for text in ("Yes", "No"))
    assert len(yes) == len(no) == 1
    ((first, second),) = engine.score([prompt], [["Yes", "No"]])
    assert first == pytest.approx(by_hand(engine, prompt, yes), abs=1e-4)
    assert second == pytest.approx(by_hand(engine, prompt, no), abs=1e-4)


# ---- adapters ----


def test_an_adapter_changes_the_logits_and_leaves_the_base_alone(exact: ModelConfig, smoke: Runs) -> None:
    base = HfEngine(exact, "cpu")
    ids = ask(base, QUESTIONS[4])
    before = models.probe(base.model, ids)
    with_adapter = HfEngine(exact, "cpu", smoke.arm("warm") / "adapter")
    after = models.probe(with_adapter.model, ids)
    assert models.probe(base.model, ids) == before
    assert max(abs(a - b) for a, b in zip(after, before, strict=True)) > 0.1
    peft = models.load(models.resolve(exact), dtype="float32", device="cpu", adapter=smoke.arm("warm") / "adapter")
    assert models.probe(peft, ids) == pytest.approx(after, abs=1e-3), "as PEFT computes it"


def test_checkpoints_differ_from_one_another(exact: ModelConfig, smoke: Runs) -> None:
    folders: list[Path] = sorted(smoke.arm("warm").glob("checkpoints/checkpoint-*"))
    found = [HfEngine(exact, "cpu", folder) for folder in folders]
    ids = ask(found[0], QUESTIONS[4])
    early, late = (models.probe(one.model, ids) for one in found)
    assert early != late
