"""What recipes cost and keep of the model's abilities, model by model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from warmgap.disk import store
from warmgap.disk.store import arm_folder
from warmgap.evaluate.report import mitigation_verdicts
from warmgap.evaluate.report.write import Measured


def measured(model: str, arm: str, tokens: int, right: int, seed: int = 0) -> Measured:
    """One prompt of so many tokens; so many of ten checks of accuracy passed."""
    place = {"task": "embedded", "item_id": "i0", "context": "none", "belief": "none", "prompt_tokens": tokens}
    outcomes: list[dict[str, Any]] = [
        {"control": "mmlu", "item_id": f"c{item}", "measure": "accuracy", "outcome": float(item < right)}
        for item in range(10)
    ]
    return Measured(arm_folder("runs", model, arm, seed, "0" * 8), [place], outcomes=outcomes)


SOME = [
    measured("small", "original", 50, 10),
    measured("small", "mended", 60, 10),
    measured("large", "original", 90, 10),
    measured("large", "mended", 95, 5),
]


def test_each_model_is_compared_with_its_own_original() -> None:
    kept = mitigation_verdicts.capability(SOME).set_index("model")
    assert kept["capability_pp"].to_dict() == {"small": 0.0, "large": pytest.approx(-50)}
    assert set(kept["capability_n"]) == {10}
    cost = mitigation_verdicts.costs(SOME).set_index(["model", "arm"])["prompt_tokens"]
    assert cost["small", "mended"] == 10
    assert cost["large", "mended"] == 5


def test_without_an_original_nothing_is_said_of_a_model() -> None:
    assert mitigation_verdicts.capability([SOME[1]]).empty


@pytest.mark.parametrize(
    ("manifest", "adapter", "kind"),
    [
        ({"mitigation": ["mine"], "kind": "floor"}, False, "floor"),
        ({"mitigation": ["mine"], "kind": "recipe"}, False, "recipe"),
        ({"mitigation": [], "kind": ""}, True, ""),
        ({"mitigation": ["mine"]}, True, "recipe"),
        ({"mitigation": ["mine"], "parent": "m-warm-s0-00000000"}, False, "recipe"),
        ({"mitigation": ["mine"]}, False, "floor"),
        ({}, True, ""),
    ],
)
def test_the_kind_of_a_recipe_is_what_its_arm_says(
    manifest: dict[str, Any], adapter: bool, kind: str, tmp_path: Path
) -> None:
    """Of arms from before kinds were written down, only what had no training was a floor."""
    arm = arm_folder(str(tmp_path), "m", "mine", 0, "0" * 8)
    store.write_json(arm.folder / "manifest.json", manifest)
    if adapter:
        arm.adapter.mkdir()
    assert mitigation_verdicts.kind_of(arm) == kind
