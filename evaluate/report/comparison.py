"""What a comparison folder holds, read once: effects, cells, warmth, training and summary, and the rows shown of them.

Terminal, figures and report read a comparison through this module, so that all three show the same rows under the same
names, and write numbers in the same way.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from warmgap.disk import seals, store
from warmgap.errors import UserError
from warmgap.evaluate.stats import tally
from warmgap.settings import groups
from warmgap.words import (
    BLIND_SPOT_COLUMNS,
    CELL_COLUMNS,
    EFFECT_COLUMNS,
    EQUIVALENCE_COLUMNS,
    ERROR,
    HEDGED,
    MITIGATION_COLUMNS,
    NEUTRAL,
    NONE,
    ORIGINAL,
    RATE_COLUMNS,
    REFUSED,
    STUDY_COLUMNS,
    SUITE_COLUMNS,
    TEXT_COLUMNS,
    TRAINING_COLUMNS,
    UNPARSED,
    WARM,
    WARMTH_COLUMNS,
)

OURS = ("clustered", "bootstrap", "unclustered")  # first kind of standard error that is there
SUMMARY_KEYS = [
    "title", "name", "created", "command", "grader", "reference", "arms", "settings", "counts", "dropped", "notes",
    "versions", "second_judge", "timings", "mitigation_settings", "floor", "suites", "worth_trying",
]  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """What a comparison folder holds, its answers apart. A table that is absent is empty, with its columns."""

    folder: Path
    summary: dict[str, Any]
    effects: pd.DataFrame
    cells: pd.DataFrame
    warmth: pd.DataFrame
    training: pd.DataFrame
    controls: pd.DataFrame
    equivalence: pd.DataFrame
    study: pd.DataFrame
    mitigations: pd.DataFrame
    suites: pd.DataFrame
    blind_spot: pd.DataFrame
    group_of: dict[str, str]

    @property
    def groups(self) -> dict[str, list[str]]:
        """The contexts of each group, ours first; what is asked without context, and the neutral control, left out."""
        found: dict[str, list[str]] = {}
        for context, group in self.group_of.items():
            if context not in (NONE, NEUTRAL):
                found.setdefault(group, []).append(context)
        return found

    @property
    def contexts(self) -> list[str]:
        """Names of the contexts: none and the neutral control, then group by group."""
        first = [name for name in (NONE, NEUTRAL) if name in self.group_of]
        return [*first, *(name for names in self.groups.values() for name in names)]

    @property
    def reference(self) -> str:
        """The arm that all others are compared with."""
        return str(self.summary.get("reference") or ORIGINAL)

    @property
    def arms(self) -> list[str]:
        """Names of the arms, the reference first, the others in the order of the summary."""
        named = [str(arm["arm"]) for arm in self.summary.get("arms") or [] if arm.get("arm")]
        seen = [*named, *map(str, self.cells["arm"].unique()), *map(str, self.effects["arm"].unique())]
        others = [arm for arm in dict.fromkeys(seen) if arm != self.reference]
        return [self.reference, *others] if self.reference in seen else others

    @property
    def others(self) -> list[str]:
        """Names of the arms that are not the reference; `warm` leads if it is there."""
        return sorted((arm for arm in self.arms if arm != self.reference), key=lambda arm: arm != WARM)

    @property
    def models(self) -> list[str]:
        """Names of the models, without the pooled `all`."""
        named = [str(arm["model"]) for arm in self.summary.get("arms") or [] if arm.get("model")]
        return list(dict.fromkeys([*named, *map(str, self.cells["model"].unique())]))


@dataclass(frozen=True)
class Effect:
    """One row of effects.csv. `estimate`, `low`, `high` in percentage points (amplification: percent), NaN if empty."""

    analysis: str
    term: str
    model: str
    arm: str
    reference: str
    errors: str
    estimate: float
    low: float
    high: float
    p: float
    p_fdr: float
    n: float
    n_items: float
    missing_low: float = math.nan
    missing_high: float = math.nan

    @property
    def missing(self) -> bool:
        """Whether answers are missing, so that the two bounds differ."""
        return self.missing_high - self.missing_low > 1e-6

    @property
    def known(self) -> bool:
        """Whether there are an estimate and both ends of its interval."""
        return all(map(math.isfinite, (self.estimate, self.low, self.high)))

    @property
    def sign(self) -> int:
        """1 or -1 where the interval lies above or below 0; 0 where it holds 0 or is unknown."""
        if not self.known or self.low <= 0 <= self.high:
            return 0
        return 1 if self.low > 0 else -1


@dataclass(frozen=True)
class WarmthRow:
    """SocioT of one arm beside the reference, by one mode; the shift is paired on the same prompts."""

    model: str
    arm: str
    seed: str
    mode: str
    n: float
    before: float
    after: float
    shift: float
    low: float
    high: float
    p: float


def load_comparison(folder: Path) -> Comparison:
    """Read a comparison folder. A missing summary.json is a user's mistake; any missing table is an empty one."""
    path = folder / "summary.json"
    if not path.is_file():
        raise UserError(
            f"{folder} is not a comparison", "it has no summary.json", "run `warmgap compare ARM ARM …` first"
        )
    seals.check_file(path)
    return Comparison(
        folder=folder,
        summary=_complete(store.read_sealed(path)),
        effects=_read_csv(folder / "effects.csv", EFFECT_COLUMNS),
        cells=_read_csv(folder / "cells.csv", CELL_COLUMNS),
        warmth=_read_csv(folder / "warmth.csv", WARMTH_COLUMNS),
        training=_read_csv(folder / "training.csv", TRAINING_COLUMNS),
        controls=_read_csv(folder / "controls.csv", RATE_COLUMNS),
        equivalence=_read_csv(folder / "equivalence.csv", EQUIVALENCE_COLUMNS),
        study=_read_csv(folder / "study.csv", STUDY_COLUMNS),
        mitigations=_read_csv(folder / "mitigations.csv", MITIGATION_COLUMNS),
        suites=_read_csv(folder / "suites.csv", SUITE_COLUMNS),
        blind_spot=_read_csv(folder / "blind_spot.csv", BLIND_SPOT_COLUMNS),
        group_of=_groups(folder),
    )


def _groups(folder: Path) -> dict[str, str]:
    """The group of each context of the answers, ours first; of a folder without answers, of each that we have."""
    contexts = load_answers(folder, ["context", "group"]).drop_duplicates()
    return tally.groups_of(contexts) if len(contexts) else groups.known()


def _complete(summary: dict[str, Any]) -> dict[str, Any]:
    """A summary with every key that is read, empty where it was not recorded."""
    whole_summary = {name: summary.get(name) for name in SUMMARY_KEYS} | summary
    whole_summary["arms"] = [
        {name: arm.get(name, "") for name in ("id", "model", "arm", "seed", "path", "step")}
        for arm in summary.get("arms") or []
    ]
    whole_summary["dropped"] = [
        {name: row.get(name, "") for name in ("what", "n", "why")} for row in summary.get("dropped") or []
    ]
    return whole_summary


def load_answers(folder: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read the named columns of answers.parquet; a column or a file that is not there becomes empty values."""
    path = folder / "answers.parquet"
    if not path.is_file():
        return pd.DataFrame({name: pd.Series(dtype=object) for name in columns})
    seals.check_file(path)
    there = set(pq.read_schema(path).names)
    frame = pd.read_parquet(path, columns=[name for name in columns if name in there])
    return frame.reindex(columns=list(columns))


def _read_csv(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A csv with these columns at least; `none` stays text, an empty field is NaN in numbers and "" in text."""
    seals.check_file(path)
    try:
        frame = pd.read_csv(path, keep_default_na=False, na_values=["", "nan", "NaN"])
    except (FileNotFoundError, pd.errors.EmptyDataError):
        frame = pd.DataFrame()
    frame = frame.reindex(columns=list(columns))
    for name in columns:
        if name in TEXT_COLUMNS:
            frame[name] = frame[name].astype(object).where(frame[name].notna(), "").astype(str)
        else:
            frame[name] = pd.to_numeric(frame[name], errors="coerce")
    return frame


def effects_of(comparison: Comparison, *, net: bool = False) -> list[Effect]:
    """The rows of effects.csv against the reference arm, in their order; with ``net`` those net of the training."""
    names = {"estimate": "estimate_pp", "low": "ci_low_pp", "high": "ci_high_pp"}
    names |= {"missing_low": "missing_low_pp", "missing_high": "missing_high_pp"}
    fields = list(Effect.__dataclass_fields__)
    frame = comparison.effects[[names.get(name, name) for name in fields]]
    frame = frame[(frame["reference"] != comparison.reference) == net]
    return [Effect(*row) for row in frame.itertuples(index=False, name=None)]


def pooled_model(effects: Iterable[Effect]) -> str:
    """The model that headline rows are about: `all` where models are pooled, else the first; "" without rows."""
    models = list(dict.fromkeys(effect.model for effect in effects))
    return "all" if "all" in models else (models[0] if models else "")


def find(
    effects: Sequence[Effect], analysis: str, arm: str, term: str | None = None, errors: Sequence[str] = OURS
) -> Effect | None:
    """The pooled effect of an analysis by the first kind of standard error that is there, or None."""
    model = pooled_model(effects)
    rows = [
        effect
        for effect in effects
        if (effect.analysis, effect.arm, effect.model) == (analysis, arm, model) and term in (None, effect.term)
    ]
    for kind in errors:
        for effect in rows:
            if effect.errors == kind:
                return effect
    return None


def terms_of(effects: Iterable[Effect], analysis: str) -> list[str]:
    """Terms of one analysis, in the order in which they come."""
    return list(dict.fromkeys(effect.term for effect in effects if effect.analysis == analysis))


def warmth_rows(comparison: Comparison) -> list[WarmthRow]:
    """Warmth before (the reference) and after, per model, arm, seed and mode; SocioT units.

    After is at the training step that is the arm; at the last one where the summary does not name it.
    """
    table = comparison.warmth
    steps = {(row["model"], row["arm"], row["seed"]): row["step"] for row in comparison.summary["arms"]}
    reference = table[table["arm"] == comparison.reference]
    rows = []
    rest = table[table["arm"] != comparison.reference]
    for (model, arm, seed, mode), group in rest.groupby(["model", "arm", "seed", "mode"], sort=False, dropna=False):
        own = group[group["step"] == steps.get((model, arm, seed))]
        last = own.iloc[0] if len(own) else group.sort_values("step", na_position="first").iloc[-1]
        base = reference[(reference["model"] == model) & (reference["mode"] == mode)]
        same = base[base["seed"] == seed]
        base = same if len(same) else base
        before = float(base["sociot"].iloc[0]) if len(base) else math.nan
        numbers = [float(last[name]) for name in ("sociot", "shift", "shift_ci_low", "shift_ci_high", "shift_p")]
        rows.append(
            WarmthRow(str(model), str(arm), whole(float(str(seed))), str(mode), float(last["n"]), before, *numbers)
        )
    order = {arm: place for place, arm in enumerate(comparison.others)}
    return sorted(rows, key=lambda row: order.get(row.arm, len(order)))


def arm_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Per model and arm: answers, verdicts, error, correct of all, hedges, refusals, what has no verdict and why
    (`unparsed`, `failed`: the judge did), cut off, all in percent, and mean length.

    `error` is in percent of the answers with a verdict, all other shares in percent of all answers.
    """
    columns = ["model", "arm", "error", "verdict", "n_chars", "finish_reason"]
    answers = load_answers(comparison.folder, columns)
    rows = []
    for arm in comparison.arms:
        of_arm = answers[answers["arm"] == arm]
        for model, group in of_arm.groupby("model", sort=False, dropna=False):
            error = pd.to_numeric(group["error"], errors="coerce")
            row: dict[str, Any] = {"model": str(model), "arm": arm, "n": len(group), "graded": int(error.notna().sum())}
            row["error"] = 100 * float(error.mean()) if error.notna().any() else math.nan
            row["correct"] = 100 * float((error == 0).mean())
            for verdict in (HEDGED, REFUSED, UNPARSED, ERROR):
                name = "failed" if verdict == ERROR else verdict
                row[name] = _share(group["verdict"], verdict)
            row["cut"] = _share(group["finish_reason"], "length")
            row["chars"] = float(pd.to_numeric(group["n_chars"], errors="coerce").mean())
            rows.append(row)
    return rows


def control_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Per control and arm: its rate and the reference's (percent), their difference and whether it is equivalent."""
    keys = ["model", "control", "measure"]
    rates = comparison.controls
    own = rates.rename(columns={"pct": "own"})[[*keys, "arm", "seed", "own", "no_answer_pct"]]
    base = rates.loc[rates["arm"] == comparison.reference].rename(columns={"pct": "base"})[[*keys, "base"]]
    joined = comparison.equivalence.merge(own, on=[*keys, "arm", "seed"]).merge(base.drop_duplicates(keys), on=keys)
    rows = [{str(key): value for key, value in row.items()} for row in joined.to_dict("records")]
    return [{**row, "low": row["ci90_low_pp"], "high": row["ci90_high_pp"]} for row in rows]


def _share(column: pd.Series[Any], value: str) -> float:
    """Percent of the rows that hold `value`; NaN where the column is empty."""
    return 100 * float((column == value).mean()) if column.notna().any() else math.nan


def number(value: float, digits: int = 1, *, signed: bool = False, minus: str = "-", empty: str = "–") -> str:
    """A number with a fixed count of digits, never "-0.0"; `empty` where there is none."""
    if not math.isfinite(value):
        return empty
    rounded = round(value, digits)
    sign = minus if rounded < 0 else ("+" if signed and rounded > 0 else "")
    return f"{sign}{abs(rounded):,.{digits}f}"


def whole(value: float, empty: str = "–") -> str:
    """A count, with thousands set off by a comma."""
    return f"{int(value):,}" if math.isfinite(value) else empty


def interval(low: float, high: float, digits: int = 1, minus: str = "-") -> str:
    """Both ends of an interval, "-3.4 to +5.8"."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return "–"
    return f"{number(low, digits, signed=True, minus=minus)} to {number(high, digits, signed=True, minus=minus)}"


def p_value(value: float) -> str:
    """A p-value with two significant digits, "<0.001" below that."""
    if not math.isfinite(value):
        return "–"
    return "<0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"
