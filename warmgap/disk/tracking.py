"""Weights & Biases, or nothing: the only place that imports wandb.

The run's id comes from the arm's hash, so that a resumed run continues the same one. Without a key it writes offline
and says how to sync. Values of settings whose name looks secret are blanked (``redact``) before anything is written.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from warmgap.errors import UserError
from warmgap.settings.schema import LoggerConfig
from warmgap.words import ORIGINAL, WARM

SECRET = re.compile(r"(^|_)(api_?key|key|token|secret|password)$", re.IGNORECASE)


HIDDEN = "(hidden)"


class Tracker:
    """Keeps nothing: ``logger=none``, and the base of the other."""

    def loss(self, row: dict[str, Any]) -> None:
        """Record one logged step of the training."""

    def finish(self, tables: dict[str, Any], warmth: list[dict[str, Any]], artifacts: dict[str, Path]) -> str | None:
        """Record the results; return the command that syncs them, if one is needed."""
        return None


class WandbTracker(Tracker):
    """One run of Weights & Biases."""

    def __init__(self, config: LoggerConfig, settings: dict[str, Any], run_id: str, name: str, folder: Path) -> None:
        import wandb

        folder.mkdir(parents=True, exist_ok=True)
        has_key = bool(os.environ.get("WANDB_API_KEY")) or _stored_key()
        mode = os.environ.get("WANDB_MODE") or ("online" if has_key else "offline")
        try:
            self.run: Any = wandb.init(
                project=config.project,
                entity=config.entity,
                id=run_id,
                name=name,
                resume="allow" if mode == "online" else None,
                mode=mode,  # type: ignore[arg-type]
                dir=str(folder),
                config=settings,
                settings=wandb.Settings(silent=True, console="off"),
            )
        except wandb.errors.Error as error:
            why = str(error).splitlines()[0]
            raise UserError("Weights & Biases cannot start", why, "check the key, or use logger=none") from error
        self.name = name
        self.run.define_metric("train/step")
        self.run.define_metric("train/*", step_metric="train/step")
        self.run.define_metric("warmth/*", step_metric="train/step")

    def loss(self, row: dict[str, Any]) -> None:
        """Record one logged step of the training."""
        self.run.log({f"train/{key}": value for key, value in row.items()})

    def finish(self, tables: dict[str, Any], warmth: list[dict[str, Any]], artifacts: dict[str, Path]) -> str | None:
        """Record warmth by step, the tables, and the artifacts."""
        import wandb

        for row in warmth:
            values = {f"warmth/{row['mode']}": row["sociot"], f"warmth/{row['mode']}_shift": row.get("shift")}
            self.run.log({"train/step": row["step"], **{k: v for k, v in values.items() if v is not None}})
        for name, table in tables.items():
            self.run.log({name: wandb.Table(dataframe=table)})
        for row in tables["effects"].to_dict("records"):
            if row["errors"] == "clustered" and row["reference"] == ORIGINAL:
                self.run.summary[f"effect/{row['analysis']}/{row['term']}_pp"] = row["estimate_pp"]
        if (recipes := tables.get("mitigations")) is not None:
            warm, last = recipes[recipes["arm"] == WARM].iloc[0], recipes.iloc[-1]  # what a sweep may go by
            self.run.summary["mitigation/closed_pp"] = warm["error_pp"] - last["error_pp"]
            self.run.summary["mitigation/error_pp"] = last["error_pp"]
            self.run.summary["mitigation/warmth_kept_pct"] = last["warmth_kept_pct"]
        for kind, path in artifacts.items():
            artifact = wandb.Artifact(f"{self.name}-{kind}", type=kind)
            (artifact.add_dir if path.is_dir() else artifact.add_file)(str(path))
            self.run.log_artifact(artifact)
        offline = bool(self.run.settings._offline)
        folder = Path(self.run.dir).parent
        self.run.finish()
        return f"wandb sync {folder}" if offline else None


def start(config: LoggerConfig, settings: dict[str, Any], run_id: str, name: str, folder: Path) -> Tracker:
    """Return the tracker that ``logger`` names."""
    if config.name == "wandb":
        return WandbTracker(config, settings, run_id, name, folder)
    return Tracker()


def redact(settings: dict[str, Any]) -> dict[str, Any]:
    """Blank the values of settings whose name looks secret, before they are written or sent anywhere."""
    secret = {key for key, value in settings.items() if value and SECRET.search(key.rpartition(".")[2])}
    return {key: HIDDEN if key in secret else value for key, value in settings.items()}


def _stored_key() -> bool:
    """Whether a netrc file holds a key for Weights & Biases."""
    path = Path(os.environ.get("NETRC") or "~/.netrc").expanduser()
    try:
        return "wandb" in path.read_text(encoding="utf-8")
    except OSError:
        return False
