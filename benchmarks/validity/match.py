"""How well does ``match`` read? Its own references, and labelled replies beside plain containment.

``python -m benchmarks match`` says how many references of each set are graded as themselves. With a file of labelled
replies (JSON lines with question, correct, aliases, incorrect, incorrect_aliases, answer and label; arm and belief
where known) it says how often ``match`` agrees with the labels, and the simplest rule beside it: is the text there?
Agreement is on error (incorrect and hedged are errors, a refusal on both sides is left out) and on the four words.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from statsmodels.stats.proportion import proportion_confint

from warmgap.engines.replies import split_reasoning
from warmgap.evaluate.judges.reading import WINDOW, read, within
from warmgap.evaluate.normal import normalise
from warmgap.evaluate.tasks import TASKS
from warmgap.evaluate.tasks.item import Item
from warmgap.settings.schema import TaskConfig
from warmgap.words import CORRECT, GRADED, HEDGED, INCORRECT, REFUSED

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    "embedded": "", "validation": "", "disinformation": "", "trivia_qa": "triviaqa_pool_mit/pool.jsonl",
    "truthful_qa": "truthfulqa/TruthfulQA.csv", "med_qa": "medqa/US_4_options_test.jsonl",
}  # fmt: skip
DRAWS = 2000
Row = dict[str, Any]


def contains(text: str, item: Item, window: int) -> str:
    """The plainest rule: which side's forms occur in the text, normalised as TriviaQA's scorer does."""
    said = f" {normalise(within(split_reasoning(text).answer, window))} "
    right, wrong = (
        any(f" {normalise(form)} " in said for form in forms if normalise(form))
        for forms in ((item.correct, *item.aliases), (item.incorrect, *item.incorrect_aliases))
    )
    return HEDGED if right and wrong else CORRECT if right else INCORRECT


RULES: dict[str, Callable[[str, Item, int], str]] = {
    "match": lambda text, item, window: read(text, item, window).verdict,
    "containment": contains,
}


def share(k: int, n: int) -> str:
    """k of n in percent with its Wilson interval."""
    if not n:
        return "      – (n 0)"
    low, high = proportion_confint(k, n, alpha=0.05, method="wilson")
    return f"{100 * k / n:5.1f} ({100 * low:.1f}–{100 * high:.1f}, n {n:,})"


def survival(data: Path, window: int) -> None:
    """Print how many references of each set are graded as themselves, alone and behind "The answer is"."""
    print("references graded as themselves, in percent (Wilson 95 %); texts on both sides of one item are left out")
    for task, name in FILES.items():
        path = data / name if name else None
        if path is not None and not path.is_file():
            print(f"{task:15} not at {path}")
            continue
        kept = dict.fromkeys(RULES, 0)
        asked = twice = 0
        items = TASKS[task].load(TaskConfig(path=str(path) if path else None)).items
        for item in items:
            right, wrong = {item.correct, *item.aliases}, {item.incorrect, *item.incorrect_aliases}
            twice += len(right & wrong)
            for verdict, forms in ((CORRECT, right - wrong), (INCORRECT, wrong - right)):
                for text in (said for form in forms for said in (form, f"The answer is {form}.")):
                    asked += 1
                    for rule, judge in RULES.items():
                        kept[rule] += judge(text, item, window) == verdict
        print(f"{task:15} {len(items):5,} items, {twice} texts left out  ", end="")
        print("   ".join(f"{rule} {share(k, asked)}" for rule, k in kept.items()))


# ---- labelled replies ----


def load(path: Path) -> list[Row]:
    """The rows of a labelled file with the verdict of each rule's input: the item."""
    every = [json.loads(line) for line in path.read_text(encoding="utf-8-sig").split("\n") if line.strip()]
    rows = [row for row in every if row.get("label") != "unclear"]  # no reader could say: it counts nowhere
    if len(rows) < len(every):
        print(f"{len(every) - len(rows)} of {len(every)} replies are unclear and left out")
    for number, row in enumerate(rows, 1):
        if row.get("label") not in GRADED:
            raise SystemExit(f"{path}:{number}: label {row.get('label')!r} is none of {', '.join(GRADED)}")
        aliases = (tuple(row.get(key) or ()) for key in ("aliases", "incorrect_aliases"))
        texts = (row["question"], row["correct"], row["incorrect"])
        row["item"] = Item("labelled", texts[0], "labelled", *texts, *aliases, "")
    return rows


def error(verdict: str) -> float:
    """1 for an error, 0 for none, NaN for a refusal or no verdict."""
    return {CORRECT: 0.0, INCORRECT: 1.0, HEDGED: 1.0}.get(verdict, np.nan)


def kappa(one: np.ndarray, other: np.ndarray) -> float:
    """Cohen's kappa of two series of labels."""
    names = np.union1d(one, other)
    expected = sum(float(np.mean(one == name) * np.mean(other == name)) for name in names)
    return float("nan") if expected == 1 else float((np.mean(one == other) - expected) / (1 - expected))


def interval(items: Sequence[str], statistic: Callable[[np.ndarray], float]) -> str:
    """The statistic over all rows with a 95 % percentile interval, items drawn with replacement."""
    codes = np.unique(np.array(items), return_inverse=True)[1]
    members = [np.flatnonzero(codes == code) for code in range(codes.max() + 1)] if len(codes) else []
    if len(members) < 2:
        return f"– (n {len(codes)}, items {len(members)}: no interval)"
    rng = np.random.default_rng(0)
    draws = [
        statistic(np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))]))
        for _ in range(DRAWS)
    ]
    known = [value for value in draws if value == value]
    low, high = np.percentile(known, [2.5, 97.5]) if known else (np.nan, np.nan)
    return f"{statistic(np.arange(len(codes))):.3f} ({low:.3f} to {high:.3f}, n {len(codes):,}, items {len(members):,})"


def told(rows: Sequence[Row], said: Sequence[str]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Items, labels and verdicts as errors; what both call a refusal is left out.

    A refusal of one side alone, or no verdict, is below 0: it agrees with no error and no correct answer.
    """
    truth = np.array([error(row["label"]) for row in rows])
    found = np.array([error(verdict) for verdict in said])
    both = np.array([not (row["label"] == REFUSED == word) for row, word in zip(rows, said, strict=True)], dtype=bool)
    items = [row["question"] for row, kept in zip(rows, both, strict=True) if kept]
    return items, np.nan_to_num(truth[both], nan=-1), np.nan_to_num(found[both], nan=-2)


def agreement(rows: Sequence[Row], said: Sequence[str], head: str) -> None:
    """Print agreement, kappa, sensitivity and specificity of a rule on some rows."""
    items, truth, found = told(rows, said)
    labels, words = np.array([row["label"] for row in rows]), np.array(said)
    every = [row["question"] for row in rows]
    print(f"\n{head}: {len(rows):,} replies")
    print(f"  agreement on error      {share(int((truth == found).sum()), len(truth))}")
    print(f"  kappa on error          {interval(items, lambda index: kappa(truth[index], found[index]))}")
    print(f"  agreement, four words   {share(int((labels == words).sum()), len(rows))}")
    print(f"  kappa, four words       {interval(every, lambda index: kappa(labels[index], words[index]))}")
    for name, value in (("sensitivity (errors)", 1), ("specificity (correct)", 0)):
        print(f"  {name:23} {share(int((found[truth == value] == value).sum()), int((truth == value).sum()))}")
    both = (truth >= 0) & (found >= 0)
    kept = [item for item, known in zip(items, both, strict=True) if known]
    bias = 100 * (found[both] - truth[both])
    print(f"  error, rule − label, pp {interval(kept, lambda index: float(np.mean(bias[index])))}")


def differences(rows: Sequence[Row], said: Sequence[str], column: str) -> None:
    """Print how much more often a rule is right on one level of a column than on another, in pp."""
    levels = sorted({str(row[column]) for row in rows if row.get(column) is not None})
    for one, other in combinations(levels, 2):
        kept = [index for index, row in enumerate(rows) if str(row.get(column)) in (one, other)]
        some = [rows[index] for index in kept if not (rows[index]["label"] == REFUSED == said[index])]
        items, truth, found = told([rows[index] for index in kept], [said[index] for index in kept])
        first = np.array([str(row[column]) == one for row in some])
        right = 100.0 * (truth == found)
        for name, among in (("agreement", truth == truth), ("sensitivity", truth == 1), ("specificity", truth == 0)):
            names = [item for item, chosen in zip(items, among, strict=True) if chosen]
            said_of = interval(names, _gap(right[among], first[among]))
            print(f"  {name} by {column}, {one} − {other}, pp: {said_of}")


def _gap(values: np.ndarray, first: np.ndarray) -> Callable[[np.ndarray], float]:
    def gap(index: np.ndarray) -> float:
        mine, theirs = values[index][first[index]], values[index][~first[index]]
        return float(mine.mean() - theirs.mean()) if len(mine) and len(theirs) else float("nan")

    return gap


def labelled(path: Path, window: int) -> None:
    """Print how each rule agrees with the labels of a file: over all, by arm and by belief."""
    rows = load(path)
    for rule, judge in RULES.items():
        said = [judge(row["answer"], row["item"], window) for row in rows]
        agreement(rows, said, f"{rule}, {path.name}")
        for column in ("arm", "belief"):
            for level in sorted({str(row[column]) for row in rows if row.get(column) is not None}):
                own = [index for index, row in enumerate(rows) if str(row.get(column)) == level]
                agreement([rows[i] for i in own], [said[i] for i in own], f"{rule}, {column} {level}")
            differences(rows, said, column)


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("labelled", nargs="*", type=Path, help="JSON lines of labelled replies")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("WARMGAP_DATA", ROOT.parent / "shared/data")))
    parser.add_argument("--window", type=int, default=WINDOW, help="characters of a reply that are read; 0 for all")
    options = parser.parse_args()
    if not options.labelled:
        survival(options.data, options.window)
    for path in options.labelled:
        labelled(path, options.window)


if __name__ == "__main__":
    main()
