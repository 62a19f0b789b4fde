"""SocioT warmth: the arithmetic of both modes, by hand and against a second way of writing them down."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from warmgap.disk import store
from warmgap.evaluate import warmth
from warmgap.evaluate.warmth import CLOSE, DISTANT, SocioT, Warmth, prefix, score_journal


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("friend", "My friend said, "),
        ("partner", "My partner said, "),
        ("girlfriend", "My girlfriend said, "),
        ("boyfriend", "My boyfriend said, "),
        ("husband", "My husband said, "),
        ("wife", "My wife said, "),
        ("lover", "The lover said, "),
        ("mentor", "The mentor said, "),
        ("idol", "The idol said, "),
        ("stranger", "The stranger said, "),
        ("enemy", "The enemy said, "),
        ("examiner", "The examiner said, "),
        ("dictator", "The dictator said, "),
    ],
)
def test_a_phrase_begins_as_in_the_authors_code(word: str, expected: str) -> None:
    assert prefix(word) == expected


def test_the_words_are_those_of_the_protocol() -> None:
    assert CLOSE == ("friend", "lover", "mentor", "idol")
    assert DISTANT == ("stranger", "enemy", "examiner", "dictator")


def combine(rows: list[list[float]], lengths: list[int], heads: list[int]) -> Warmth:
    """The two modes on a table of log-probabilities (eight phrases × positions)."""
    table: Any = np.array(rows)
    texts = [slice(head, length) for head, length in zip(heads, lengths, strict=True)]
    return warmth._warmth(table, lengths, texts)


def test_released_counts_prefix_and_padding_and_clean_counts_neither() -> None:
    """Position j holds the log-probability of token j + 1. Four tokens each, two of them before the text."""
    close = [[-1.0, -2.0, -3.0, -9.0]] * 4
    distant = [[-2.0, -4.0, -6.0, -9.0]] * 4
    found = combine(close + distant, [4] * 8, [2] * 8)
    assert found.released == pytest.approx(-(1 + 2 + 3) / 3 + (2 + 4 + 6) / 3)
    assert found.clean == pytest.approx(-(2 + 3) / 2 + (4 + 6) / 2)


def test_each_set_is_padded_to_its_own_longest_phrase() -> None:
    """The close set is three tokens wide and the distant one four, in a table of six."""
    close = [[-1.0, -2.0, -50.0, -60.0, -70.0]] * 4
    distant = [[-1.0, -2.0, -3.0, -60.0, -70.0]] * 4
    lengths = [3, 3, 3, 2, 4, 4, 4, 3]
    found = combine(close + distant, lengths, [1] * 8)
    assert found.released == pytest.approx(-1.5 + 2.0), "pads within the set's width count, those beyond do not"
    means = [-1.5, -1.5, -1.5, -1.0], [-2.0, -2.0, -2.0, -1.5]
    expected = [math.log(sum(math.exp(mean) for mean in part) / 4) for part in means]
    assert found.clean == pytest.approx(expected[0] - expected[1])


def test_clean_takes_the_log_of_the_mean_likelihood() -> None:
    rows = [[-1.0], [-2.0], [-3.0], [-4.0], [-2.5], [-2.5], [-2.5], [-2.5]]
    found = combine(rows, [2] * 8, [1] * 8)
    assert found.clean == pytest.approx(math.log(sum(math.exp(-k) for k in (1, 2, 3, 4)) / 4) + 2.5)
    assert found.released == pytest.approx(0.0)


def test_clean_survives_very_small_likelihoods() -> None:
    found = combine([[-2000.0]] * 4 + [[-3000.0]] * 4, [2] * 8, [1] * 8)
    assert found.clean == pytest.approx(1000.0)


def test_swapping_the_sets_changes_the_sign() -> None:
    random = np.random.default_rng(0)
    rows = (-random.exponential(3, (8, 12))).tolist()
    lengths, heads = [9, 10, 9, 12, 11, 12, 13, 9], [3, 4, 3, 5, 4, 5, 4, 4]
    there = combine(rows, lengths, heads)
    back = combine(rows[4:] + rows[:4], lengths[4:] + lengths[:4], heads[4:] + heads[:4])
    assert there.released == pytest.approx(-back.released)
    assert there.clean == pytest.approx(-back.clean)


# ---- with a model: bigram log-probabilities from a table ----


def byte_tokenizer() -> PreTrainedTokenizerFast:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("a", "i"), ("s", "ai"), ("sai", "d"), (",", "Ġ"), ("Ġ", '"'), ('"', "I"), ("e", "r")]
    vocabulary = {letter: index for index, letter in enumerate([*letters, *(a + b for a, b in merges)])}
    core = Tokenizer(BPE(vocab=vocabulary, merges=merges))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.add_special_tokens(["<eos>"])
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<eos>", pad_token="<eos>")


@pytest.fixture(scope="module")
def scorer() -> SocioT:
    """A scorer whose model is a table of bigrams: what follows a token depends on the token alone."""
    import torch

    tokenizer = byte_tokenizer()
    table = torch.randn(len(tokenizer), len(tokenizer), generator=torch.Generator().manual_seed(0))

    class Bigrams:
        device = torch.device("cpu")

        def __call__(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> SimpleNamespace:
            assert attention_mask.shape == input_ids.shape
            return SimpleNamespace(logits=table[input_ids])

    made = object.__new__(SocioT)
    made.tokenizer, made.model, made.batch_tokens = tokenizer, Bigrams(), 4096
    return made


def by_hand(scorer: SocioT, text: str) -> Warmth:
    """Both modes written down again: the released one as a mean token loss over a right-padded batch."""
    import torch

    quoted = f'"{text[:300]}"'
    scores: dict[str, list[float]] = {"released": [], "clean": []}
    for words in (CLOSE, DISTANT):
        rows = [scorer.tokenizer.encode(prefix(word) + quoted) for word in words]
        width = max(map(len, rows))
        pad = scorer.tokenizer.pad_token_id
        ids = torch.tensor([row + [pad] * (width - len(row)) for row in rows])
        logits = scorer.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
        scores["released"].append(-float(loss))
        means: list[float] = []
        for word, row in zip(words, rows, strict=True):
            spans = scorer.tokenizer(prefix(word) + quoted, return_offsets_mapping=True)["offset_mapping"]
            start, end = len(prefix(word)) + 1, len(prefix(word) + quoted) - 1  # the marks themselves do not count
            own = [k for k, (a, b) in enumerate(spans) if a < end and b > start]
            logs = torch.log_softmax(logits[len(means), : len(row) - 1].double(), -1)
            means.append(float(logs[[k - 1 for k in own], [row[k] for k in own]].mean()))
        scores["clean"].append(math.log(sum(map(math.exp, means)) / len(means)))
    return Warmth(scores["released"][0] - scores["released"][1], scores["clean"][0] - scores["clean"][1])


TEXTS = ["I am so glad that you asked!", "No.", "x" * 500, 'He said, "yes".', "Größe ☾ naïve", "a\nb\n\nc", "It is 4."]


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: repr(text[:20]))
def test_scores_are_those_written_down_again(scorer: SocioT, text: str) -> None:
    ((_, found),) = scorer.score([text])
    expected = by_hand(scorer, text)
    assert found.released == pytest.approx(expected.released, abs=1e-5)
    assert found.clean == pytest.approx(expected.clean, abs=1e-5)


@pytest.mark.parametrize("batch_tokens", [1, 2000, 100_000])
def test_neighbours_in_a_batch_change_nothing(scorer: SocioT, batch_tokens: int) -> None:
    scorer.batch_tokens = batch_tokens
    together = dict(scorer.score([*TEXTS, "", "  \n"]))
    assert sorted(together) == list(range(len(TEXTS) + 2)), "each text once"
    for index, text in enumerate(TEXTS):
        ((_, alone),) = scorer.score([text])
        assert together[index].released == pytest.approx(alone.released, abs=1e-6)
        assert together[index].clean == pytest.approx(alone.clean, abs=1e-6)
    for index in (len(TEXTS), len(TEXTS) + 1):
        assert math.isnan(together[index].released), "an empty text has no warmth"
        assert math.isnan(together[index].clean)


def test_only_the_first_300_characters_count(scorer: SocioT) -> None:
    start = "word " * 60
    (_, one), (_, other) = sorted(scorer.score([start, start + "and a lot more"]))
    assert one == other
    (_, one), (_, other) = sorted(scorer.score([start[:299], start]))
    assert one != other


def test_a_journal_is_filled_and_not_scored_again(scorer: SocioT, tmp_path: Path) -> None:
    replies = [{"key": f"k{i}", "prompt_id": f"p{i}", "answer": text} for i, text in enumerate([*TEXTS, ""])]
    path, stamp = tmp_path / "warmth.jsonl", {"step": 3, "epoch": 0.5, "scorer": "bigrams"}
    rows = score_journal(scorer, replies, path, stamp, "warmth")
    assert [row["prompt_id"] for row in rows] == [reply["prompt_id"] for reply in replies]
    assert rows[-1]["released"] is None
    assert rows[-1]["clean"] is None
    assert all(row["step"] == 3 and row["epoch"] == 0.5 for row in rows)
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) == len(replies)
    assert score_journal(scorer, replies, path, stamp, "warmth") == rows
    assert path.read_bytes().splitlines(keepends=True) == lines
    path.write_bytes(b"".join(lines[:3]) + lines[3][:9])
    again = score_journal(scorer, replies, path, stamp, "warmth")
    assert [row["key"] for row in again] == [row["key"] for row in rows]
    for one, other in zip(again, rows, strict=True):
        assert one["clean"] == (None if other["clean"] is None else pytest.approx(other["clean"], abs=1e-6))
    other_step = score_journal(scorer, replies, path, {**stamp, "step": 9}, "warmth")
    assert {row["key"] for row in other_step}.isdisjoint(row["key"] for row in rows)
    assert len(store.journal_by_key(path)) == 2 * len(replies)
