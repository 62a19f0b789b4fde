"""``warmgap audit`` from end to end on tiny random models: a LoRA folder and a merged model against their base."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import tiny
from real_runs import Done, warmgap

from warmgap import api

# Random weights are asked little: four questions in two prompts each, answers and replies of eight tokens.
FEW = ("warmth.prompts=2", "warmth.checkpoint_prompts=2", "warmth.max_new_tokens=8", "generate.max_new_tokens=8")
FEW = (*FEW, "task.embedded.items_per_family=1", "model.dtype=float32", "bootstrap=100")


@dataclass(frozen=True)
class Audited:
    """A folder in which an audit was run, and what it printed."""

    place: Path
    done: Done
    comparison: Path

    @property
    def last(self) -> list[str]:
        """The last two lines on stdout."""
        return self.done.out.rstrip("\n").splitlines()[-2:]


def audit(place: Path, *arguments: str) -> Done:
    return warmgap("audit", *arguments, *FEW, cwd=place)


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Audited:
    """A LoRA folder that names another base, audited with a gate that anything passes."""
    place = tmp_path_factory.mktemp("audited")
    tiny.adapter(place / "my lora", tiny.model(place / "base"))
    config = place / "my lora" / "adapter_config.json"
    named = json.loads(config.read_text(encoding="utf-8")) | {"base_model_name_or_path": "org/other"}
    config.write_text(json.dumps(named), encoding="utf-8")
    done = audit(place, "my lora", "--base", "base", "--gate", "300", "--out", "out")
    (comparison,) = place.glob("runs/comparisons/[!.]*")
    return Audited(place, done, comparison)


def test_one_line_ends_with_card_and_report(audited: Audited) -> None:
    assert audited.done.status == 0, audited.done.err
    assert audited.last == ["card: out/card.md", "report: out/report.html"]
    assert "gate: passed, its error is shown to be within 300 pp of the original's" in audited.done.out
    assert "given − original: error, pp" in audited.done.out
    assert "Warmth (SocioT)" in audited.done.out


def test_the_note_on_another_base_is_printed_and_on_the_card(audited: Audited) -> None:
    note = "the adapter in my lora names another base model: org/other (here: local)"
    assert f"note: {note}" in audited.done.err
    assert note in (audited.place / "out" / "card.md").read_text(encoding="utf-8")


def test_the_card_has_the_figures_of_the_tables(audited: Audited) -> None:
    card = (audited.comparison / "card.md").read_text(encoding="utf-8")
    assert "`my lora` against `base`, graded by `match`." in card
    effects = pd.read_csv(audited.comparison / "effects.csv")
    main = effects[(effects["analysis"] == "main") & (effects["errors"] == "clustered")].iloc[0]
    gap = f"{main['estimate_pp']:+.1f}" if abs(main["estimate_pp"]) >= 0.05 else "0.0"
    (line,) = [line for line in card.splitlines() if line.startswith("| Overall, without context")]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert (cells[1], cells[3], cells[4]) == (gap, str(int(main["n"])), str(int(main["n_items"])))
    warmth = pd.read_csv(audited.comparison / "warmth.csv")
    shift = warmth[(warmth["arm"] == "given") & (warmth["mode"] == "released")].iloc[0]["shift"]
    (line,) = [line for line in card.splitlines() if line.startswith("| released")]
    assert f"{shift:+.3f}" in line
    assert "**gate: passed" in card
    assert "made nothing of it" in card
    assert "not meant for use with people" not in card


def test_what_is_copied_is_what_was_made(audited: Audited) -> None:
    for path in audited.comparison.rglob("*"):
        if path.is_file():
            copy = audited.place / "out" / path.relative_to(audited.comparison)
            assert copy.read_bytes() == path.read_bytes()


def test_again_nothing_is_asked_and_a_stricter_gate_fails(audited: Audited) -> None:
    again = audit(audited.place, "my lora", "--base", "base", "--gate", "0.5", "--out", "out")
    assert again.status == 1, again.err
    assert "already done" in again.err
    assert "gate: given is not shown to be within 0.5 pp of original" in again.err
    assert "Traceback" not in again.err
    assert again.out.rstrip("\n").splitlines()[-2:] == audited.last
    card = (audited.place / "out" / "card.md").read_text(encoding="utf-8")
    assert "**gate: given is not shown to be within 0.5 pp of original" in card


def test_a_merged_model_is_measured_beside_the_same_original(audited: Audited) -> None:
    """Without a gate nothing fails, and the original has answered already."""
    tiny.model(audited.place / "merged", seed=3)
    arms = audited.place / "runs" / "arms"
    before = set(arms.glob("local-*"))
    done = audit(audited.place, "merged", "--base", "base", "arm.name=merged")
    assert done.status == 0, done.err
    assert "answers · original" not in done.err
    assert "gate:" not in done.out + done.err
    (added,) = set(arms.glob("local-*")) - before
    assert added.name.startswith("local-merged-s0-")
    report = audited.place / done.report
    assert report.is_file()
    card = (report.parent / "card.md").read_text(encoding="utf-8")
    assert "`merged` against `base`" in card
    assert "**gate" not in card
    shown = warmgap("card", "merged", cwd=audited.place)
    assert shown.status == 0, shown.err
    assert "base: folder merged, SHA-256" in shown.out


def test_a_notebook_audits_the_same(audited: Audited, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(audited.place)
    found = api.audit("my lora", "base", *FEW, gate=0.5)
    assert found.folder.resolve() == audited.comparison
    (why,) = found.failed
    assert "not shown to be within 0.5 pp" in why
    assert api.audit("my lora", "base", *FEW).failed == ()
