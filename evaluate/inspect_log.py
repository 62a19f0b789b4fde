"""Answers and verdicts as logs of inspect, for its viewer and for whoever reads such logs: one for each arm and task.

Written is version 2 of inspect's JSON format, without the package. A sample is a prompt: its messages, the answer, the
accepted answer as the target, the verdict as its score, the place in the grid as its metadata.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from warmgap.disk import seals, store, tabular
from warmgap.errors import UserError
from warmgap.evaluate.judges.grade import error_of
from warmgap.evaluate.report.arms import GRADERS, graded
from warmgap.settings.identity import digest
from warmgap.version import VERSION
from warmgap.words import REFUSED

VALUES = {1.0: "I", 0.0: "C"}  # by error; a refusal without one is no answer (N), anything else without one no score
ENDS = {"stop": "stop", "length": "max_tokens", "content_filter": "content_filter"}
PLACE = ["context", "belief", "statement_id", "family", "group", "question", "incorrect", "verdict", "margin", "turn"]


def of_comparison(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the logs of a comparison on disk, each with the name of its file."""
    path = folder / "answers.parquet"
    seals.check_file(path)
    summary: dict[str, Any] = store.read_sealed(folder / "summary.json") or {}
    answers = tabular.read_parquet(path)
    ids = {(arm["model"], arm["arm"], arm["seed"]): arm for arm in summary.get("arms") or []}
    for (model, arm, seed, task), some in answers.groupby(["model", "arm", "seed", "task"], sort=False):
        known = ids.get((model, arm, seed)) or {}
        name = str(known.get("id") or f"{model}-{arm}-s{seed}")
        manifest = _manifest(Path(str(known["path"]))) if known.get("path") else {}
        rows = [{str(key): _plain(value) for key, value in row.items()} for row in some.to_dict("records")]
        about = {"created": summary.get("created"), "grader": str(summary.get("grader")), "comparison": folder.name}
        yield _log(name, str(task), rows, {**about, "system": _system(manifest), "commit": summary.get("commit")})


def of_arm(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the logs of an arm on disk, with the verdicts of the first of the judges that a run may have had.

    What was asked or graded with other settings is in a log of its own: answers to one prompt are no two samples.
    Raises UserError where no answer of it has a verdict.
    """
    arm, manifest = store.open_arm(folder), _manifest(folder)
    graders = {path.parent.name for path in folder.glob("verdicts/*/*.jsonl")}
    named = next((name for name in [*GRADERS, *sorted(graders)] if name in graders), None)
    if named is None:
        why = "there are no verdicts in its folder"
        raise UserError(f"{arm.name} has nothing to export", why, "run it with a task and a judge, or grade it")
    asked: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for place, row in graded(arm, named).items():
        task, how = place[0], place[-1]
        asked.setdefault((task, how), []).append({**row, "error": error_of(str(row["verdict"]), task)})
    about = {"created": manifest.get("created"), "grader": named, "system": _system(manifest)}
    for (task, how), rows in asked.items():
        yield _log(arm.name, task, rows, {**about, "commit": manifest.get("commit"), "asked": how})


def write(logs: Iterator[tuple[str, dict[str, Any]]], out: Path) -> list[Path]:
    """Write logs into a folder and return their paths."""
    paths = []
    for name, log in logs:
        paths.append(out / name)
        store.write_text(paths[-1], json.dumps(log, ensure_ascii=False, indent=1) + "\n")
    return paths


def _manifest(folder: Path) -> dict[str, Any]:
    return (store.read_manifest(folder) or {}) if (folder / "manifest.json").is_file() else {}


def _system(manifest: dict[str, Any]) -> str:
    return str((manifest.get("facts") or {}).get("system") or "")


def _plain(value: Any) -> Any:
    """A cell of a table as JSON has it: what is not there is null."""
    return None if value is None or (not isinstance(value, str) and pd.isna(value)) else value


def _log(arm: str, task: str, rows: Sequence[dict[str, Any]], about: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the name of a log's file and the log of one arm's answers to one task."""
    created = str(about["created"] or "1970-01-01T00:00:00+00:00")
    grader, model = about["grader"], f"warmgap/{arm}"
    samples = [_sample(row, grader, model, about["system"]) for row in rows]
    _number(samples)
    own = digest([arm, task, grader, about.get("asked"), [sample["id"] for sample in samples]])
    errors = [row["error"] for row in rows if row.get("error") is not None]
    right = 1 - sum(errors) / len(errors) if errors else None
    scored = sum(bool(sample["scores"]) for sample in samples)
    metrics = {} if right is None else {"accuracy": {"name": "accuracy", "value": right, "params": {}}}
    score = {"name": grader, "scorer": grader, "params": {}, "metrics": metrics}
    score |= {"scored_samples": scored, "unscored_samples": len(samples) - scored}
    spec = {
        "eval_id": f"eval-{own}",
        "run_id": f"run-{about.get('comparison') or arm}",
        "created": created,
        "task": task,
        "task_id": own,
        "task_version": 0,
        "task_attribs": {},
        "task_args": {},
        "dataset": {"name": task, "samples": len(samples), "sample_ids": [one["id"] for one in samples]},
        "model": model,
        "model_args": {},
        "config": {"epochs": 1},
        "packages": {"warmgap": VERSION},
        "metadata": {"arm": arm, **{key: about.get(key) for key in ("comparison", "commit", "asked")}},
    }
    log = {
        "version": 2,
        "status": "success",
        "eval": spec,
        "plan": {"name": "plan", "steps": [{"solver": "warmgap", "params": {}}], "config": {}},
        "results": {"total_samples": len(samples), "completed_samples": len(samples), "scores": [score]},
        "stats": {"started_at": created, "completed_at": created, "model_usage": _usage(rows, model)},
        "samples": samples,
    }
    stamp = created[:19].replace(":", "-")
    return f"{stamp}_{task}-{arm}_{own}.json".replace("/", "-"), log


def _number(samples: Sequence[dict[str, Any]]) -> None:
    """Give each sample an id of its own: one place in the grid may have been asked in several wordings."""
    seen: Counter[str] = Counter()
    for sample in samples:
        seen[sample["id"]] += 1
        if (number := seen[sample["id"]]) > 1:
            sample["id"] += f" · wording {number}"


def _usage(rows: Sequence[dict[str, Any]], model: str) -> dict[str, Any]:
    read, wrote = (sum(int(row.get(key) or 0) for row in rows) for key in ("prompt_tokens", "n_tokens"))
    return {model: {"input_tokens": read, "output_tokens": wrote, "total_tokens": read + wrote}}


def _sample(row: dict[str, Any], grader: str, model: str, system: str) -> dict[str, Any]:
    asked = [{"role": "system", "content": system}] if system else []
    asked.append({"role": "user", "content": str(row["prompt"])})
    answer, verdict = str(row["answer"] or ""), str(row["verdict"])
    said = {"role": "assistant", "content": answer, "source": "generate", "model": model}
    error = row.get("error")
    value = VALUES[error] if error is not None else "N" if verdict == REFUSED else None
    score = {"value": value, "answer": answer, "explanation": row.get("reason"), "metadata": {"verdict": verdict}}
    turn = f" · turn {row['turn']}" if row.get("turn") else ""
    return {
        "id": f"{row['item_id']} · {row['context']} · {row['belief']}{turn}",
        "epoch": 1,
        "input": asked,
        "target": str(row.get("correct") or ""),
        "messages": [*asked, said],
        "output": {
            "model": model,
            "choices": [{"message": said, "stop_reason": ENDS.get(str(row.get("finish_reason")), "unknown")}],
            "completion": answer,
        },
        "scores": {} if value is None else {grader: score},
        "metadata": {"item_id": row["item_id"], **{key: row[key] for key in PLACE if row.get(key) is not None}},
        "store": {},
        "events": [],
        "model_usage": {},
        "attachments": {},
    }
