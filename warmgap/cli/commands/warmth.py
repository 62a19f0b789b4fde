"""``warmgap warmth``: SocioT warmth of any texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from warmgap.cli.parser import TABLE, command

CHUNK = 256  # texts that are scored and kept together


def add(commands: Any) -> None:
    """Add the command."""
    example = "warmgap warmth replies.jsonl --field answer --mode released --out warmth.csv"
    parser = command(commands, "warmth", _warmth, "SocioT warmth of any texts", example)
    parser.add_argument("file", type=Path, help=TABLE)
    parser.add_argument("--field", required=True, help="the column that holds the text")
    parser.add_argument("--mode", choices=["released", "clean"], required=True)
    parser.add_argument("--scorer", default="smollm2_135m", help="a model of conf/model (default: smollm2_135m)")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", required=True, type=Path, help=TABLE)


def _warmth(options: Any) -> int:
    from warmgap import pipeline
    from warmgap.disk import tabular
    from warmgap.settings import config

    rows = tabular.read(options.file, [options.field])
    tabular.check_target(options.out)
    run_ = config.compose(["+persona=none", f"model@warmth.scorer={options.scorer}"])
    pipeline.quiet()
    texts = [str(row[options.field] or "") for row in rows]
    journal = options.out.with_name(f".{options.out.name}.journal.jsonl")
    for row, value in zip(rows, _scores(texts, run_.warmth.scorer, options, journal), strict=True):
        row["sociot"] = value
    tabular.write(options.out, rows)
    journal.unlink(missing_ok=True)
    known = [row["sociot"] for row in rows if row["sociot"] is not None]
    mean = sum(known) / len(known) if known else float("nan")
    print(f"SocioT ({options.mode}) {mean:+.4f} on average over {len(known)} texts: {options.out}")
    return 0


def _scores(texts: Sequence[str], model: Any, options: Any, journal: Path) -> list[float | None]:
    """Score texts chunk by chunk; a chunk that the journal holds is not scored again, so a stopped run goes on."""
    from warmgap.disk import store
    from warmgap.disk.progress import bar
    from warmgap.engines import models
    from warmgap.evaluate.warmth import SocioT
    from warmgap.settings.schema import digest, identity

    made_by = [identity(model, "arm"), options.dtype, options.mode, models.CONVERSION]
    done = {key: row["values"] for key, row in store.journal_by_key(journal).items()}
    scorer: SocioT | None = None
    values: list[float | None] = []
    with bar(f"warmth · {options.mode}", len(texts)) as advance:
        for start in range(0, len(texts), CHUNK):
            chunk = texts[start : start + CHUNK]
            key = digest([made_by, chunk], 16)
            if key not in done:
                scorer = scorer or SocioT(model, options.dtype, options.device)
                found: list[float | None] = [None] * len(chunk)
                for index, warmth in scorer.score(chunk):
                    value = getattr(warmth, options.mode)
                    found[index] = None if value != value else value
                    advance(1)
                store.append(journal, [{"key": key, "values": found}])
                done[key] = found
            else:
                advance(len(chunk))
            values += done[key]
    return values
