"""``warmgap warmth``: SocioT warmth of any texts."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from warmgap.cli.parser import TABLE, amount, command
from warmgap.settings import fits


def add(commands: Any) -> None:
    """Add the command."""
    example = "warmgap warmth replies.jsonl --field answer --mode released --out warmth.csv"
    parser = command(commands, "warmth", _warmth, "SocioT warmth of any texts", example)
    parser.add_argument("file", type=Path, help=TABLE)
    parser.add_argument("--field", required=True, help="the column that holds the text")
    parser.add_argument("--mode", choices=["released", "clean"], required=True)
    parser.add_argument("--scorer", default="smollm2_135m", help="a model of conf/model (default: smollm2_135m)")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--device", type=amount(fits.DEVICE, str), default="auto")
    parser.add_argument("--out", required=True, type=Path, help=TABLE)


def _warmth(options: Any) -> int:
    from warmgap import pipeline
    from warmgap.disk import locks, tabular
    from warmgap.evaluate.warmth import score_texts
    from warmgap.settings import config

    rows = tabular.read(options.file, [options.field])
    tabular.check_target(options.out)
    scorer = config.compose(["+persona=none", f"model@warmth.scorer={options.scorer}"]).warmth.scorer
    pipeline.quiet()
    texts = [str(row[options.field] or "") for row in rows]
    with locks.alone(options.out):
        journal = options.out.with_name(f".{options.out.name}.journal.jsonl")
        for row, found in zip(rows, score_texts(texts, scorer, options.dtype, options.device, journal), strict=True):
            value = getattr(found, options.mode)
            row["sociot"] = None if math.isnan(value) else value
        tabular.write(options.out, rows)
        journal.unlink(missing_ok=True)
    known = [row["sociot"] for row in rows if row["sociot"] is not None]
    mean = sum(known) / len(known) if known else float("nan")
    print(f"SocioT ({options.mode}) {mean:+.4f} on average over {len(known)} texts: {options.out}")
    return 0
