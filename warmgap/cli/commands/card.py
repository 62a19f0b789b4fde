"""``warmgap card``: a model card of an arm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from warmgap.cli.parser import command


def add(commands: Any) -> None:
    """Add the command."""
    parser = command(commands, "card", _card, "a model card of an arm", "warmgap card runs/arms/…-warm-…")
    parser.add_argument("arm", type=Path, metavar="ARM")


def _card(options: Any) -> int:
    from warmgap.disk import store
    from warmgap.engines import facts

    arm = store.open_arm(options.arm)
    manifest: dict[str, Any] = store.read_json(arm.folder / "manifest.json")
    data = arm.folder / "data" / "card.md"
    lines = [f"# {arm.name}", "", f"Base model `{arm.model}`, arm `{arm.arm}`, seed {arm.seed}.", ""]
    lines += ["Made for research on what a warm tone costs in reliability; not meant for use with people.", ""]
    lines += [f"- {fact}" for fact in facts.said(arm.folder)]
    lines += [f"- made: {manifest['created']} by `{manifest['command']}`, commit {manifest['commit'] or 'unknown'}"]
    lines += [f"- {json.dumps(manifest['versions'])}", ""]
    if data.is_file():
        lines += [data.read_text(encoding="utf-8").replace("# Training data", "## Training data", 1)]
    print("\n".join(lines))
    return 0
