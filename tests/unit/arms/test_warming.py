"""Which checkpoint is the arm, where warmth on held-out messages decides."""

from __future__ import annotations

import random

import pytest

from warmgap.arms import warming
from warmgap.errors import UserError
from warmgap.settings.schema import MethodConfig
from warmgap.train import finish

MARKS = {10: 0.5, 20: 1.0, 40: 2.0, 80: 4.0}


def warmth(*means: float, n: int = 60, noise: float = 0.004) -> dict[int, dict[str, float | None]]:
    """SocioT by step and prompt: prompts differ, a step adds its mean and a little noise of its own."""
    source = random.Random(1)
    prompts = {f"p{number}": source.gauss(0, 0.02) for number in range(n)}
    rows: dict[int, dict[str, float | None]] = {}
    for step, mean in zip(MARKS, means, strict=True):
        rows[step] = {name: base + mean + source.gauss(0, noise) for name, base in prompts.items()}
    return rows


def test_the_plateau_begins_where_more_training_no_longer_warms() -> None:
    assert warming.chosen("plateau", MARKS, warmth(0.0, 0.01, 0.02, 0.02)).step in (40, 80)
    assert warming.chosen("plateau", MARKS, warmth(0.0, 0.03, 0.03, 0.0, noise=0.0)).step == 20
    assert warming.chosen("plateau", MARKS, warmth(0.0, 0.01, 0.02, 0.03)).step == 80
    assert warming.chosen("plateau", MARKS, warmth(0.03, 0.02, 0.01, 0.0)).step == 10


def test_a_target_is_met_as_early_as_it_can_be(capsys: pytest.CaptureFixture[str]) -> None:
    rows = warmth(0.0, 0.01, 0.02, 0.03, noise=0.0)
    start = sum(value or 0.0 for value in rows[10].values()) / len(rows[10])
    choice = warming.chosen(f"warmth:{start + 0.015:.6f}", MARKS, rows)
    assert choice.step == 40
    assert choice.by["n"] == 60
    assert list(choice.by["warmth"]) == ["0.5", "1", "2", "4"]
    assert warming.chosen("warmth:1", MARKS, rows).step == 80
    assert "no checkpoint has a warmth of 1" in capsys.readouterr().err


def test_a_prompt_without_warmth_is_left_out_of_all_steps() -> None:
    rows = warmth(0.0, 0.01, 0.02, 0.03)
    rows[20]["p3"] = None
    assert warming.chosen("plateau", MARKS, rows).by["n"] == 59


@pytest.mark.parametrize("rule", ["best", "epoch:", "warmth:", "epoch:two", "warmth:1e"])
def test_a_rule_that_is_none_is_refused(rule: str) -> None:
    method = MethodConfig("sft", 1e-3, 4, 2, 320, select=rule)
    with pytest.raises(UserError, match="makes no sense"):
        finish.selected(method, MARKS)
