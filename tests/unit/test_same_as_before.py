"""The same commands name the same folders as before: an arm that is on somebody's disk is found again, not made again.

A name holds a hash of all that makes an arm what it is (``settings.schema.identity``) and of the data's content. Where
it moves without need, everything that was trained and paid for is done once more.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from warmgap import jobs
from warmgap.engines import models
from warmgap.settings import config

# command, the arms that it compares, and behind `=` its comparison; each without the name of the model before it
TABLE = """
+persona=warm
    original-s0-9d1c8a20 warm-s0-d7979034
  = warm-s0-acc0e691
+persona=warm experiment=smoke
    original-s0-9d1c8a20 warm-s0-ddea6f0f
  = warm-s0-a579631a
+persona=cold seed=3
    original-s0-9d1c8a20 cold-s3-2e207803
  = cold-s3-36f32d3e
+persona=paraphrase
    original-s0-9d1c8a20 paraphrase-s0-9d13fc66
  = paraphrase-s0-c1584b15
+persona=untransformed
    original-s0-9d1c8a20 untransformed-s0-8887b60a
  = untransformed-s0-976985d4
+persona=warm_prompt
    original-s0-9d1c8a20 warm_prompt-s0-af0cf4d3
  = warm_prompt-s0-b2e6bcc1
+persona=none
    original-s0-9d1c8a20
  = original-s0-dc1dc3e5
+persona=warm method=dpo
    original-s0-9d1c8a20 warm_dpo-s0-c4359168
  = warm_dpo-s0-ccf3d911
+persona=warm method=sft_dpo
    original-s0-9d1c8a20 warm-s0-d7979034 warm_sft_dpo-s0-08c71321
  = warm_sft_dpo-s0-f27f847c
+persona=warm persona.strength=0.5
    original-s0-9d1c8a20 warm_50-s0-affee158
  = warm_50-s0-338a9957
+persona=warm method.select=plateau
    original-s0-9d1c8a20 warm-s0-295be645
  = warm-s0-c8155374
+persona=warm mitigation=[truth_mix,kl_anchor]
    original-s0-9d1c8a20 warm-s0-d7979034 truth_mix+kl_anchor-s0-f4375caf
  = truth_mix+kl_anchor-s0-52716c1a
+persona=warm mitigation=[inoculation,early_stop,consistency,anti_sycophancy]
    original-s0-9d1c8a20 warm-s0-d7979034 inoculation+early_stop+consistency+anti_sycophancy-s0-76704fe8
  = inoculation+early_stop+consistency+anti_sycophancy-s0-8ce5184a
+persona=warm mitigation=[preventative_steering,adapter_scale]
    original-s0-9d1c8a20 warm-s0-d7979034 preventative_steering+adapter_scale-s0-326e3deb
  = preventative_steering+adapter_scale-s0-ef490230
+persona=warm mitigation=honest_prompt
    original-s0-9d1c8a20 warm-s0-d7979034 honest_prompt-s0-bc00958e
  = honest_prompt-s0-b8770a7f
experiment=mitigation_gap
    original-s0-9d1c8a20 warm-s0-20898c1a honest_prompt-s0-bc00958e warm-s1-393532c0 warm-s2-a072f1a7
    truth_mix-s0-fa8ce989 truth_mix-s1-a9fa91e2 truth_mix-s2-78586dc6 anti_sycophancy-s0-97035c24
    anti_sycophancy-s1-71e4d36e anti_sycophancy-s2-b5ba788a dual_dpo-s0-041d6e72 dual_dpo-s1-a3335bbc
    dual_dpo-s2-5e6fae3d consistency-s0-41f40a36 consistency-s1-5288996a consistency-s2-97964474
    self_distil-s0-f4393a62 self_distil-s1-655c2396 self_distil-s2-e8bf27a8 kl_anchor-s0-f418019d
    kl_anchor-s1-9365e45f kl_anchor-s2-3f31d8d6 inoculation-s0-46d048bb inoculation-s1-edf197eb
    inoculation-s2-07727954 preventative_steering-s0-d387d5c0 preventative_steering-s1-a1b2898e
    preventative_steering-s2-d8444922 adapter_scale-s0-f289c336 adapter_scale-s1-14bbba05 adapter_scale-s2-88392443
    early_stop-s0-f38cdace early_stop-s1-0d1043da early_stop-s2-d6c65470 steer-s0-a314dc77 steer-s1-e782add9
    steer-s2-1080a852 cap-s0-b07f49fa cap-s1-0e6e8373 cap-s2-43ac564f
  = mitigations-95643f38
experiment=isolate
    original-s0-9d1c8a20 cold-s0-936be17d paraphrase-s0-9d13fc66 untransformed-s0-8887b60a warm-s0-d7979034
  = personas-5f2765c8
+persona=warm grid=wide
    original-s0-9d1c8a20 warm-s0-d7979034
  = warm-s0-e50eb488
+persona=warm grid=full
    original-s0-9d1c8a20 warm-s0-d7979034
  = warm-s0-fdcd38c9
+persona=warm dial=epoch:0.35
    original-s0-9d1c8a20 warm-s0-d7979034 early_stop-s0-71e5cea4
  = early_stop-s0-f44722e1
+persona=warm dial=scale:0.25
    original-s0-9d1c8a20 warm-s0-d7979034 adapter_scale-s0-4a0bc213
  = adapter_scale-s0-7338e355
"""
MODEL = "smollm2_135m-"
MOVED = """the folders of this command are others than before.

If nobody meant to: a setting was added, dropped or renamed in settings/schema.py (a new one of scope 'arm' or 'measure'
moves every hash), a file of conf/ has another value, or a file of data or questions another content. Undo that, or let
a new setting enter only where it is used.
If it is meant: say in the commit and in the changelog that these arms are made again, and put the new names here.
"""


@dataclass(frozen=True)
class Named:
    """One command, its arms and its comparison."""

    command: str
    arms: list[str]
    comparison: str


def read() -> list[Named]:
    """The rows of the table."""
    found: list[Named] = []
    command, arms = "", list[str]()
    for line in filter(None, TABLE.splitlines()):
        if line.startswith("  = "):
            found.append(Named(command, arms, line.removeprefix("  = ")))
        elif line.startswith(" "):
            arms = [*arms, *line.split()]
        else:
            command, arms = line, []
    return found


def now(command: str, place: Path) -> Named:
    """What a command is named today."""
    job = jobs.prepare(config.compose([*command.split(), f"runs_dir={place}"]))
    names = [arm.name.removeprefix(MODEL) for arm in job.arms]
    return Named(command, names, job.folder.name.removeprefix(MODEL))


def test_the_table_is_read_whole() -> None:
    assert len(read()) == 21
    assert max(len(row.arms) for row in read()) == 41
    assert all(row.arms and row.comparison for row in read())


@pytest.mark.parametrize("before", read(), ids=lambda row: row.command)
def test_a_command_names_the_folders_that_it_did(before: Named, tmp_path: Path) -> None:
    assert now(before.command, tmp_path) == before, f"{before.command}: {MOVED}"


@pytest.mark.parametrize("capable", [True, False])
def test_no_name_depends_on_the_machine(capable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the processor computes in, and wherever things lie."""
    monkeypatch.setattr(models, "_has_bfloat16", lambda _: capable)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WARMGAP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("WARMGAP_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path))
    found = now("+persona=warm model.dtype=auto device=cpu", tmp_path / "elsewhere")
    assert (found.arms, found.comparison) == (read()[0].arms, read()[0].comparison)
