"""``warmgap card``: a model card of an arm."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from warmgap.cli.parser import ARM, command, runs_dir

if TYPE_CHECKING:
    from warmgap.disk.store import Arm

MADE = "Made for research on what a warm tone costs in reliability; not meant for use with people."
GIVEN = "It was there before: warmgap measured it against its base model and made nothing of it."


def add(commands: Any) -> None:
    """Add the command."""
    parser = command(commands, "card", _card, "a model card of an arm", "warmgap card warm")
    parser.add_argument("arm", metavar="ARM", help=ARM)
    runs_dir(parser)


def _card(options: Any) -> int:
    from warmgap.disk import store
    from warmgap.disk.arm_names import find_arm

    print(text(store.open_arm(find_arm(options.runs_dir, options.arm))))
    return 0


def text(arm: Arm, measured: Sequence[str] = ()) -> str:
    """Return an arm's card in Markdown; ``measured`` are lines on what was found of it, for the card's head."""
    from omegaconf import OmegaConf

    from warmgap.disk import seals, store
    from warmgap.engines import facts
    from warmgap.settings import conf_files

    manifest: dict[str, Any] = store.read_manifest(arm.folder) or {}
    path = arm.folder / "config.yaml"
    if path.is_file():
        conf_files.check_yaml(path)
    settings: Any = OmegaConf.load(path) if path.is_file() else {}
    own = settings.get("arm") or {}
    given = bool(own.get("adapter") or own.get("model"))
    data = arm.folder / "data" / "card.md"
    if lost := seals.changed(data.parent):
        fix = "copy it back; or delete the folder: what trains the arm writes it anew"
        raise store.Damaged(f"{data.parent} is damaged", f"{', '.join(lost)} is not what was written", fix)
    lines = [f"# {arm.name}", "", f"Base model `{arm.model}`, arm `{arm.arm}`, seed {arm.seed}.", ""]
    lines += [GIVEN if given else MADE, "", *measured]
    lines += [f"- {fact}" for fact in facts.said(arm.folder)]
    word = "first measured" if given else "made"
    made = {key: manifest.get(key) or "unknown" for key in ("created", "command", "commit")}
    lines += [f"- {word}: {made['created']} by `{made['command']}`, commit {made['commit']}"]
    lines += [f"- {json.dumps(manifest.get('versions') or {})}", ""]
    if data.is_file():
        lines += [data.read_text(encoding="utf-8").replace("# Training data", "## Training data", 1)]
    return "\n".join(lines)
