"""Standard checks that others' tools have run: their logs, read into outcomes item by item, as our own checks have.

Read are the logs of inspect (``.eval`` and ``.json``) and the results of lm-evaluation-harness (``results_….json`` with
the samples beside it). Neither package is needed. Whose answers a log holds, the name of its model says.
"""

from __future__ import annotations

import lzma
import math
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warmgap.disk import bounds, intake
from warmgap.engines.replies import finish_reason
from warmgap.errors import UserError

INSPECT, LM_EVAL = "inspect", "lm_eval"
LETTERS = {"C": 1.0, "I": 0.0}  # inspect's words; P (in part) and N (no answer) are neither
NEITHER = ("P", "N")
CONNECTION = {"max_retries", "timeout", "max_connections", "adaptive_connections", "attempt_timeout", "batch", "cache"}
MODEL = {"model", "model_args", "base_url"}
PACKING = (zipfile.BadZipFile, zlib.error, lzma.LZMAError)  # what readers of packed parts say of damage
ZSTANDARD = 93  # how inspect packs the parts of a log; Python's own zip reader learns it in 3.14
FIX = "name a log of inspect (.eval, .json) or results of lm-evaluation-harness (results_….json, --log_samples)"


@dataclass(frozen=True)
class External:
    """One check of one arm: who answered (``model``), by what it is known (``settings``), and its outcomes.

    An outcome has ``item_id``, ``outcome`` (0, 1, or None where there is none), ``reason``, ``finish_reason``,
    ``n_chars``.
    """

    model: str
    task: str
    settings: dict[str, Any]
    outcomes: list[dict[str, Any]]


@dataclass(frozen=True)
class Reading:
    """Which score of a log is read, and what of it is a 1.

    ``score`` names one of several: inspect's ``scorer`` or ``scorer.key``, the harness's ``metric,filter``. A number
    that is neither 0 nor 1 is a 1 from ``at_least`` on; a word is one where it is among the ``ones``, no outcome where
    it is among the ``nones``, else a 0.
    """

    score: str | None = None
    at_least: float | None = None
    ones: tuple[str, ...] = ()
    nones: tuple[str, ...] = ()


def read(path: Path, how: Reading = Reading()) -> External:
    """Return the check that a file holds.

    Raises UserError for a file that is no such log or not
    whole, an unknown score, several where none is named, and values of which nobody has said what they mean.
    """
    try:
        return _read(path, how)
    except (AttributeError, LookupError, TypeError, ValueError, OSError) as error:  # other than what the tools write
        why = f"{type(error).__name__}: {error}"
        raise UserError(f"{path} is not as its tool writes it", why, "copy it again, or run the check again") from error


def _read(path: Path, how: Reading) -> External:
    if path.suffix == ".eval":
        head, samples = _packed(path)
        return _inspect(path, head, samples, how)
    if path.suffix != ".json":
        raise UserError(f"{path} is no log of a check", f"it ends in {path.suffix or 'nothing'}", FIX)
    try:
        whole = intake.parse(intake.text(path, FIX))
    except intake.Unreadable as error:
        raise UserError(f"{path} cannot be read", str(error), FIX) from error
    if isinstance(whole, dict) and isinstance(whole.get("eval"), dict) and "status" in whole:
        return _inspect(path, whole, whole.get("samples") or [], how)
    if isinstance(whole, dict) and isinstance(whole.get("results"), dict) and isinstance(whole.get("configs"), dict):
        return _lm_eval(path, whole, how)
    raise UserError(f"{path} is no log of a check", "it has neither an eval with a status nor results", FIX)


# ---- inspect ----


def _inspect(path: Path, head: dict[str, Any], samples: Iterable[dict[str, Any]], how: Reading) -> External:
    about: dict[str, Any] = head["eval"]
    if head.get("status") != "success":
        why = f"its status is {head.get('status')}"
        raise UserError(f"{path} is not a whole log", why, f"inspect eval-retry {path.name}")
    rows: dict[str, dict[str, Any]] = {}
    names: set[str] = set()
    for sample in samples:
        key = str(sample.get("id"))
        if key in rows:
            why = f"item {key} was asked more than once: answers to one item are not independent"
            raise UserError(f"{path} has several epochs", why, "run the check with --epochs 1")
        scores = _flat(sample.get("scores") or {})
        names |= scores.keys()
        rows[key] = {"scores": scores, **_of_output(sample.get("output") or {}), "error": sample.get("error")}
    chosen = _chosen(path, how.score, names)
    outcomes = []
    for key, row in rows.items():
        failed = row["error"] or chosen not in row["scores"]
        value = None if failed else _outcome(path, chosen, row["scores"][chosen], how)
        reason = "no score" if failed else f"{chosen}: {row['scores'][chosen]}"
        beside = {"finish_reason": row["finish_reason"], "n_chars": row["n_chars"]}
        outcomes.append({"item_id": key, "outcome": value, "reason": reason, **beside})
    asked = {**(about.get("model_generate_config") or {}), **((head.get("plan") or {}).get("config") or {})}
    settings = {
        "tool": INSPECT,
        "version": (about.get("packages") or {}).get("inspect_ai"),
        "task": about.get("task"),
        "task_version": about.get("task_version"),
        "task_args": {key: value for key, value in (about.get("task_args") or {}).items() if key not in MODEL},
        "generate": {key: value for key, value in sorted(asked.items()) if key not in CONNECTION},
        **_solved(about, (head.get("plan") or {}).get("steps") or []),
        "score": chosen,
        "at_least": how.at_least,
        "ones": sorted(how.ones),
        "nones": sorted(how.nones),
    }
    return External(str(about.get("model")), _short(str(about.get("task"))), settings, _some(path, outcomes))


def _solved(about: dict[str, Any], steps: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """By which steps answers were made, within which limits, and by which other models, as a grader, in their roles."""

    def own(params: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in params.items() if key not in MODEL}

    return {
        "steps": [[step.get("solver"), own(step.get("params") or {})] for step in steps],
        "limits": {key: value for key, value in (about.get("config") or {}).items() if key.endswith("_limit")},
        "roles": {name: role.get("model") for name, role in (about.get("model_roles") or {}).items()},
    }


def _of_output(output: dict[str, Any]) -> dict[str, Any]:
    choices = output.get("choices") or [{}]
    said = output.get("completion") or _text((choices[0].get("message") or {}).get("content"))
    return {"finish_reason": finish_reason(choices[0].get("stop_reason"))[0], "n_chars": len(said)}


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _flat(scores: dict[str, Any]) -> dict[str, Any]:
    """Scores by name; those of which a scorer gives several by ``scorer.key``."""
    found: dict[str, Any] = {}
    for name, one in scores.items():
        value = one.get("value") if isinstance(one, dict) else one
        found |= {f"{name}.{key}": item for key, item in value.items()} if isinstance(value, dict) else {name: value}
    return found


def _packed(path: Path) -> tuple[dict[str, Any], Iterator[dict[str, Any]]]:
    """The head of an ``.eval`` file, and its samples one by one."""
    try:
        with zipfile.ZipFile(path) as packed:
            parts = {part.filename: part for part in packed.infolist()}
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} cannot be read", str(error), FIX) from error
    if "header.json" not in parts:
        why = "it has no header.json, which inspect writes last"
        raise UserError(f"{path} is not a whole log", why, f"inspect eval-retry {path.name}")
    names = [name for name in parts if name.startswith("samples/") and name.endswith(".json")]
    return _part(path, parts["header.json"]), (_part(path, parts[name]) for name in names)


def _part(path: Path, part: zipfile.ZipInfo) -> dict[str, Any]:
    what = f"{part.filename} of {path} cannot be read"
    if part.file_size > bounds.LINE:
        raise UserError(what, f"it has {part.file_size:,} bytes", f"a part has {bounds.LINE:,} bytes at most")
    try:
        value = intake.parse(_unpacked(path, part))
    except (OSError, EOFError, ValueError, RuntimeError, struct.error, *PACKING) as error:
        raise UserError(what, f"{type(error).__name__}: {error}", "copy the log again") from error
    if not isinstance(value, dict):
        raise UserError(what, "it is no object", "copy the log again")
    return value


def _unpacked(path: Path, part: zipfile.ZipInfo) -> bytes:
    """The bytes of a part, never more than it says; those that zstandard has packed are read past Python's reader."""
    if part.compress_type != ZSTANDARD:
        with zipfile.ZipFile(path) as packed, packed.open(part) as file:
            return file.read(part.file_size)
    import pyarrow

    with path.open("rb") as file:
        file.seek(part.header_offset)
        head = file.read(30)
        file.seek(sum(struct.unpack("<HH", head[26:30])), 1)
        data = file.read(part.compress_size)
    found: bytes = pyarrow.decompress(data, part.file_size, codec="zstd", asbytes=True)
    return found


# ---- lm-evaluation-harness ----


def _lm_eval(path: Path, whole: dict[str, Any], how: Reading) -> External:
    tasks = list(whole["configs"])
    files = {task: path.with_name(f"samples_{task}_{path.stem.removeprefix('results_')}.jsonl") for task in tasks}
    if len(tasks) != 1 or not files[tasks[0]].is_file():
        why = f"it has {len(tasks)} tasks" if len(tasks) != 1 else f"there is no {files[tasks[0]].name} beside it"
        raise UserError(f"{path} is not one check item by item", why, "run one task at a time, with --log_samples")
    (task,) = tasks
    config = whole["configs"][task]
    rows: dict[str, dict[str, Any]] = {}
    names: set[str] = set()
    for number, line in intake.lines(files[task], FIX):
        row = _row(files[task], number, line)
        scores = {f"{name},{row.get('filter', 'none')}": row.get(name) for name in row.get("metrics") or []}
        names |= scores.keys()
        key = f"{row.get('doc_id')}-{str(row.get('doc_hash'))[:8]}"
        said = row.get("resps") or [[""]]
        first = said[0][0] if isinstance(said[0], list) and said[0] else said[0]
        kept = rows.setdefault(key, {"scores": {}, "n_chars": len(str(first))})
        kept["scores"] |= scores
    chosen = _chosen(path, how.score, names)
    outcomes = []
    for key, row in rows.items():
        known = chosen in row["scores"]
        value = _outcome(path, chosen, row["scores"][chosen], how) if known else None
        reason = f"{chosen}: {row['scores'][chosen]}" if known else "no score"
        beside = {"finish_reason": "", "n_chars": row["n_chars"]}
        outcomes.append({"item_id": key, "outcome": value, "reason": reason, **beside})
    settings = {
        "tool": LM_EVAL,
        "version": whole.get("lm_eval_version"),
        "task": task,
        "task_version": (whole.get("versions") or {}).get(task),
        "task_hash": (whole.get("task_hashes") or {}).get(task),
        "generate": config.get("generation_kwargs"),
        "n_shot": (whole.get("n-shot") or {}).get(task),
        "system": whole.get("system_instruction"),
        "score": chosen,
        "at_least": how.at_least,
        "ones": sorted(how.ones),
        "nones": sorted(how.nones),
    }
    return External(_model_of(whole), _short(task), settings, _some(path, outcomes))


def _row(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = intake.parse(line)
    except intake.Unreadable as error:
        raise UserError(f"{path}:{number} cannot be read", str(error), "copy the file again") from error
    if not isinstance(row, dict):
        raise UserError(f"{path}:{number} cannot be read", "it is no object", "copy the file again")
    return row


def _model_of(whole: dict[str, Any]) -> str:
    """The model's name, from the arguments that the harness was given."""
    given = (whole.get("config") or {}).get("model_args") or {}
    if isinstance(given, str):
        given = dict(part.split("=", 1) for part in given.split(",") if "=" in part)
    return str(given.get("model") or whole.get("model_name") or "")


# ---- both ----


def _chosen(path: Path, score: str | None, names: set[str]) -> str:
    listed = ", ".join(sorted(names))
    if not names:
        raise UserError(f"{path} has no scores", "no item of it was scored", "score it, or run it again")
    if score is None and len(names) > 1:
        raise UserError(f"{path} has several scores", listed, f"name one: --score {min(names)}")
    if score is not None and score not in names:
        raise UserError(f"{path} has no score {score!r}", f"it has {listed}", f"name one: --score {min(names)}")
    return score or min(names)


def _outcome(path: Path, name: str, value: Any, how: Reading) -> float | None:
    """A score as 0 or 1; None where it says that there is no answer."""
    if isinstance(value, str) and how.ones:
        return None if value in how.nones else float(value in how.ones)
    if isinstance(value, str) and value in LETTERS:
        return LETTERS[value]
    if value is None or value in NEITHER or value != value:  # inspect writes NaN for what it could not score
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.inf
    if math.isinf(number):
        why = f"{value!r} of {name} is neither a number nor one of C, I, P, N"
        raise UserError(
            f"{path} has a score that cannot be read",
            why,
            "say which words are a 1: --one WORD; or name another by --score",
        )
    if how.at_least is not None:
        return float(number >= how.at_least)
    if number not in (0.0, 1.0):
        why = f"{name} has the value {number:g}, which is no yes or no"
        raise UserError(f"{path}: from which value on is {name} a yes?", why, "say it, such as --at-least 0.5")
    return number


def _short(task: str) -> str:
    return task.rpartition("/")[2]


def _some(path: Path, outcomes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if not outcomes:
        raise UserError(f"{path} has no items", "it was run without --log_samples, or cut", "run it again with them")
    return outcomes
