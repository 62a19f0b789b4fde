"""The card of persona data: what went in, what each step left out and why, what was drawn, how the rewrites went."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from warmgap.disk import store


def write(folder: Path) -> None:
    """Write ``card.md`` from ``steps.json`` and the rewrites' summaries, whichever are there."""
    made = store.read_sealed(folder / "steps.json")
    lines = ["# Persona data", ""]
    lines += _pipeline(made) if made else ["Conversations of unknown origin.", ""]
    rewrites = [store.read_sealed(path) for path in sorted((folder / "rewrites").glob("*.summary.json"))]
    lines += _rewrites([row for row in rewrites if row])
    store.write_text(folder / "card.md", "\n".join(lines))


def _pipeline(made: dict[str, Any]) -> list[str]:
    settings = made["settings"]
    lines = [f"From `{part['file']}` ({part['megabytes']} MB, SHA-256 `{part['sha256']}`)." for part in made["source"]]
    lines.append("")
    lines += _markdown(("step", "in", "out", "left out"), steps(made))
    by = next(step["by"] for step in made["steps"] if step["step"] == "toxicity")
    lines += [""]
    clean = made["steps"][0]
    if len(clean.get("logs", [])) > 1:
        lines += _markdown(("log", "in", "out", "left out"), [_row(log["file"], log) for log in clean["logs"]])
        lines += ["", *(f"Nothing came of `{log['file']}`." for log in clean["logs"] if not log["out"]), ""]
    if clean.get("rejected"):
        lines += [f"Rejected replies beside chosen ones, not read: {clean['rejected']:,}.", ""]
    lines += ["Duplicates are the same in every message but for case and spaces. Conversations with the same first"]
    lines += ["message, and parts of one conversation, are on one side: trained on, or held out.", ""]
    lines += [f"Toxicity was judged by {by}, a conversation by its worst message.", ""]
    lines += _markdown(("kind", "there", "drawn", "replies", "held out"), kinds(made))
    drawn, replies = (sum(row[key] for row in made["drawn"]) for key in ("conversations", "replies"))
    asked = f"{settings['conversations'] or 'all'} conversations with {settings['replies'] or 'all'} replies"
    lines += ["", f"Asked for {asked}; drawn {drawn:,} with {replies:,} (seed {settings['seed']}).", ""]
    lines += ["Kinds are told by patterns, first match wins; a refusal is told by the reply.", ""]
    return lines


def _markdown(columns: tuple[str, ...], rows: list[list[str]]) -> list[str]:
    lines = [f"| {' | '.join(columns)} |", "|---|" + "---:|" * (len(columns) - 1)]
    return lines + [f"| {' | '.join(row)} |" for row in rows]


def steps(made: dict[str, Any]) -> list[list[str]]:
    """Return a row for each step: its name, what went in and out, and what it left out for which reasons."""
    return [_row(step["step"], step) for step in made["steps"]]


def _row(name: str, step: dict[str, Any]) -> list[str]:
    left = "; ".join(f"{reason}: {count:,}" for reason, count in step["left_out"].items() if count)
    return [name, f"{step['in']:,}", f"{step['out']:,}", left or "–"]


def kinds(made: dict[str, Any]) -> list[list[str]]:
    """Return a row for each kind of query: conversations there were, drawn, their replies, conversations held out."""
    there = next(step["there"] for step in made["steps"] if step["step"] == "draw")
    names = ("conversations", "replies", "held_out")
    return [[row["kind"], f"{there[row['kind']]:,}", *(f"{row[name]:,}" for name in names)] for row in made["drawn"]]


def _rewrites(summaries: list[dict[str, Any]]) -> list[str]:
    if not summaries:
        return []
    lines = ["## Rewrites", "", "| version | by | replies | kept | set aside | calls | US dollars |"]
    lines += ["|---|---|---:|---:|---:|---:|---:|"]
    for row in summaries:
        cost = "–" if row["spent"] is None else f"{row['spent']:.4f}"
        aside = f"{row['set_aside']:,} ({100 * row['set_aside'] / max(1, row['replies']):.1f} %)"
        cells = [
            row["version"],
            row["model"],
            f"{row['replies']:,}",
            f"{row['kept']:,}",
            aside,
            f"{row['calls']:,}",
            cost,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    for row in summaries:
        if row["reasons"]:
            lines += ["", f"`{row['version']}` was set aside, by the last attempt's first reason: "]
            lines[-1] += "; ".join(f"{reason}: {count:,}" for reason, count in row["reasons"].items()) + "."
    return [*lines, "", "A reply that lacks one of the versions is left out of every arm, with what follows it.", ""]
