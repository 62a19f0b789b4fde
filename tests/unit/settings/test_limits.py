"""Values of settings that make no sense are refused before anything is written."""

from __future__ import annotations

import pytest

from warmgap.errors import UserError
from warmgap.settings import config


@pytest.mark.parametrize(
    "given",
    [
        "generate.max_new_tokens=1000000000", "method.lora.alpha=-16", "method.weight_decay=nan",
        "method.learning_rate=inf", "method.epochs=inf", "seed=-1", "+judge.max_cost=nan", "+judge.price_in=-5",
        "generate.temperature=nan", "method.per_device_batch_size=-2", "grid.prompts_per_item=0", "judge.window=-1",
    ],
)  # fmt: skip
def test_a_value_that_makes_no_sense_is_refused(given: str) -> None:
    with pytest.raises(UserError, match="makes no sense"):
        config.compose(["+persona=warm", given])


def test_vllm_does_not_answer_by_weights_in_4_bits() -> None:
    with pytest.raises(UserError, match=r"engine=vllm does not go with model\.quantization=nf4"):
        config.compose(["+persona=warm", "engine=vllm", "model.quantization=nf4"])
    assert config.compose(["+persona=warm", "model.quantization=nf4"]).engine == "auto"
