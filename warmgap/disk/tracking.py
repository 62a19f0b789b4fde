"""Weights & Biases, trackio, or nothing: the only place that imports either.

The run's id comes from the arm's hash, so that a resumed run continues the same one. Weights & Biases writes offline
where there is no key or no way to it, and says how to sync; trackio keeps a database in the runs folder and sends
nothing anywhere.
Values of settings whose name looks secret are blanked (``redact``) before anything is written.
"""

from __future__ import annotations

import contextlib
import io
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from warmgap.disk.progress import say
from warmgap.errors import UserError
from warmgap.hidden import blanked, typed
from warmgap.settings.schema import LoggerConfig
from warmgap.words import ORIGINAL, WARM

REACH = 3.0  # seconds in which a server of Weights & Biases has to take a connection


class Tracker:
    """Keeps nothing: ``logger=none``, and the base of the others."""

    def loss(self, row: dict[str, Any]) -> None:
        """Record one logged step of the training."""

    def finish(self, tables: dict[str, Any], warmth: list[dict[str, Any]], artifacts: dict[str, Path]) -> str | None:
        """Record the results; return a sentence that says how to see or send them, if there is one to say."""
        return None


class WandbTracker(Tracker):
    """One run of Weights & Biases."""

    def __init__(self, config: LoggerConfig, settings: dict[str, Any], run_id: str, name: str, folder: Path) -> None:
        import wandb

        folder.mkdir(parents=True, exist_ok=True)
        mode = os.environ.get("WANDB_MODE") or ("online" if _has_key() and _reachable() else "offline")
        try:
            with _shown_words():
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
            self.run.log({"train/step": row["step"], **_warmth(row)})
        for name, table in tables.items():
            self.run.log({name: wandb.Table(dataframe=table)})
        for key, value in _headline(tables).items():
            self.run.summary[key] = value
        for kind, path in artifacts.items():
            artifact = wandb.Artifact(f"{self.name}-{kind}", type=kind)
            (artifact.add_dir if path.is_dir() else artifact.add_file)(str(path))
            self.run.log_artifact(artifact)
        offline = bool(self.run.settings._offline)
        folder = Path(self.run.dir).parent
        self.run.finish()
        pieces = sorted({folder, *folder.parent.glob(f"offline-run-*-{self.run.id}")})  # of runs that were stopped
        if not offline and pieces == [folder]:
            return None
        named = pieces if offline else [piece for piece in pieces if piece != folder]
        return f"to send this run to Weights & Biases: wandb sync {' '.join(map(str, named))}"


class TrackioTracker(Tracker):
    """One run of trackio, in a database in the runs folder (or in ``TRACKIO_DIR``, where that is set).

    The run is made by itself, not by ``trackio.init``: that one would go by variables that name a server, ask the hub
    for the name of its user, and print. What was logged is in the database within a second, so a kill loses no more.
    """

    def __init__(self, config: LoggerConfig, settings: dict[str, Any], run_id: str, name: str, folder: Path) -> None:
        self.folder = _trackio_folder(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        trackio = _imported_for(self.folder)

        asks_nobody = {"_get_username": lambda run: None}  # the hub, who its user is
        own: dict[str, Any] = {"project": config.project, "name": name, "run_id": run_id, "config": settings}
        self.run: Any = type("LocalRun", (trackio.Run,), asks_nobody)(url=None, client=None, **own)
        self.project = config.project

    def loss(self, row: dict[str, Any]) -> None:
        """Record one logged step of the training."""
        self.run.log({f"train/{key}": value for key, value in row.items() if key != "step"}, step=row["step"])

    def finish(self, tables: dict[str, Any], warmth: list[dict[str, Any]], artifacts: dict[str, Path]) -> str | None:
        """Record warmth by step, tables, main figures, and where the artifacts lie (they are not copied)."""
        import trackio

        for row in warmth:
            self.run.log(_warmth(row), step=row["step"])
        found: dict[str, Any] = {name: trackio.Table(dataframe=table) for name, table in tables.items()}
        found |= {f"path/{kind}": str(path.absolute()) for kind, path in artifacts.items()}
        self.run.log({**found, **_headline(tables)})
        with contextlib.redirect_stdout(io.StringIO()):  # it says that it uploads, which it does not
            self.run.finish()
        return f"dashboard: TRACKIO_DIR={self.folder} trackio show --project {self.project}"


def check(config: LoggerConfig, folder: Path) -> None:
    """Raise UserError where the tracker that ``logger`` names cannot start in the runs folder; nothing is written."""
    if config.name != "trackio":
        return
    if find_spec("trackio") is None:
        why = "logger=trackio needs it, and it comes with an extra"
        raise UserError("the package trackio is missing", why, "pip install 'warmgap[trackio]', or use logger=none")
    wanted, loaded = _trackio_folder(folder), sys.modules.get("trackio")
    if loaded is not None and wanted != loaded.TRACKIO_DIR:
        why = f"this process has it write to {loaded.TRACKIO_DIR}, and it takes one folder a process"
        raise UserError(f"trackio cannot write to {wanted}", why, "start another process, or use logger=none")


def start(config: LoggerConfig, settings: dict[str, Any], run_id: str, name: str, folder: Path) -> Tracker:
    """Return the tracker that ``logger`` names."""
    if config.name == "wandb":
        return WandbTracker(config, settings, run_id, name, folder)
    if config.name == "trackio":
        return TrackioTracker(config, settings, run_id, name, folder)
    return Tracker()


def redact(settings: dict[str, Any]) -> dict[str, Any]:
    """Blank what looks secret in settings, at every depth: by the name of a key, or in an address.

    To be called before settings are written or sent anywhere.
    """
    return {key: blanked(value, key) for key, value in settings.items()}


@contextmanager
def _shown_words() -> Iterator[None]:
    """Have Weights & Biases, which keeps the words of the command, see them without what looks like a secret."""
    before, sys.argv = sys.argv, [sys.argv[0], *typed(sys.argv[1:])]
    try:
        yield
    finally:
        sys.argv = before


def _trackio_folder(folder: Path) -> Path:
    """Where trackio keeps its database: in the runs folder, unless the user says where."""
    return Path(os.environ.get("TRACKIO_DIR") or folder.absolute() / "trackio")


def _imported_for(folder: Path) -> Any:
    """Import trackio so that it writes to this folder: it reads the variable once, when it is imported."""
    before = os.environ.get("TRACKIO_DIR")
    os.environ["TRACKIO_DIR"] = str(folder)
    try:
        import trackio
    finally:
        if before is None:
            del os.environ["TRACKIO_DIR"]
        else:
            os.environ["TRACKIO_DIR"] = before
    return trackio


def _warmth(row: dict[str, Any]) -> dict[str, float]:
    """The values of one row of ``warmth.csv`` under the names that they are logged by."""
    values = {f"warmth/{row['mode']}": row["sociot"], f"warmth/{row['mode']}_shift": row.get("shift")}
    return {key: value for key, value in values.items() if value is not None}


def _headline(tables: dict[str, Any]) -> dict[str, float]:
    """The main figures of a comparison, one value each: effects against the original, and what a sweep may go by."""
    found = {
        f"effect/{row['analysis']}/{row['term']}_pp": row["estimate_pp"]
        for row in tables["effects"].to_dict("records")
        if row["errors"] == "clustered" and row["reference"] == ORIGINAL
    }
    if (recipes := tables.get("mitigations")) is not None:
        warm, last = recipes[recipes["arm"] == WARM].iloc[0], recipes.iloc[-1]
        found["mitigation/closed_pp"] = warm["error_pp"] - last["error_pp"]
        found["mitigation/error_pp"] = last["error_pp"]
        found["mitigation/warmth_kept_pct"] = last["warmth_kept_pct"]
    return found


def _has_key() -> bool:
    """Whether there is a key for Weights & Biases: in the environment or in a netrc file."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    path = Path(os.environ.get("NETRC") or "~/.netrc").expanduser()
    try:
        return "wandb" in path.read_text(encoding="utf-8")
    except OSError:
        return False


def _reachable() -> bool:
    """Whether Weights & Biases can be reached: by itself it would try for minutes. A proxy is taken to reach it."""
    place = urlsplit(os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai")
    if any(os.environ.get(name) for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")):
        return True
    try:
        with socket.create_connection((place.hostname, place.port or (80 if place.scheme == "http" else 443)), REACH):
            return True
    except OSError as error:
        say(f"{place.hostname} cannot be reached ({error}): Weights & Biases writes offline")
        return False
