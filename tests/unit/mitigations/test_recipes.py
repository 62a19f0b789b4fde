"""What recipes make of the honest pairs, and what they say where there is nothing to make it of."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest

from warmgap.engines import models
from warmgap.errors import BadValue, UserError
from warmgap.mitigations import kl_anchor, pairs, preventative_steering, truth_mix
from warmgap.settings import config
from warmgap.settings.mitigation_schema import PreventativeSteeringConfig, TruthMixConfig

MODEL = config.compose(["+persona=warm"]).model
PAIRS = pairs.load()


@pytest.mark.parametrize(("share", "replies", "wanted"), [(0.3, 214, 92), (0.3, 3300, 1414), (0.06, 3300, 211)])
def test_the_share_of_the_added_conversations_is_of_all_replies(share: float, replies: int, wanted: int) -> None:
    assert truth_mix.check(TruthMixConfig(share), replies, 5000) == wanted
    assert wanted / (wanted + replies) == pytest.approx(share, abs=0.002)


def test_a_share_that_is_out_of_reach_is_said_with_what_is_in_reach() -> None:
    with pytest.raises(BadValue) as caught:
        truth_mix.check(TruthMixConfig(0.3), 3300, 234)
    assert "1414 pairs, and there are 234" in caught.value.why
    assert "lower it to 0.06" in caught.value.fix
    assert truth_mix.check(TruthMixConfig(0.06), 3300, 234) <= 234


def test_anchors_that_are_all_too_long_are_a_mistake() -> None:
    tokenizer = models.load_tokenizer(models.resolve(MODEL))
    assert kl_anchor.anchors(PAIRS[:3], tokenizer, MODEL, 320, 0)
    with pytest.raises(BadValue, match="no anchor is left"):
        kl_anchor.anchors(PAIRS[:3], tokenizer, MODEL, 5, 0)


def test_replies_that_are_all_too_long_make_no_vector() -> None:
    tokenizer = models.load_tokenizer(models.resolve(MODEL))
    settings = PreventativeSteeringConfig(1.0, 0.5, 2, "sycophantic.txt", "truthful.txt")
    long = [dataclasses.replace(pair, user="word " * 5000) for pair in PAIRS[:2]]
    with pytest.raises(UserError, match="no reply is left"):
        preventative_steering.vector(SimpleNamespace(), tokenizer, MODEL, long, settings, ("a", "b"), 0)
