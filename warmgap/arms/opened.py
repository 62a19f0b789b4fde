"""An arm on disk, opened to answer: its model, adapter, system prompt, and what its recipes change of the model."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from warmgap.arms import recipes
from warmgap.disk import store
from warmgap.disk.manifest import sha256
from warmgap.disk.store import Arm
from warmgap.engines import adapters, chat, engine_of, facts
from warmgap.engines.base import Engine, Serving
from warmgap.errors import UserError
from warmgap.mitigations.base import Mitigation, Place
from warmgap.settings import config, plugins
from warmgap.settings.schema import GenerateConfig, ModelConfig, Run


@dataclass(frozen=True)
class Opened:
    """What answers as an arm: ``system`` stands before every prompt, ``generate`` is how the arm was asked.

    ``steps`` are the recipes of the arm and of what it is made of, each with its run and the version of its replies.
    """

    arm: Arm
    model: ModelConfig
    generate: GenerateConfig
    system: list[chat.Message]
    adapter: Path | None = None
    steps: tuple[tuple[Mitigation, Run, str], ...] = ()

    def engine(self, device: str, engine: str = "auto") -> Engine:
        """Return the engine that answers as the arm; nothing is loaded yet."""
        altered = any(recipes.changes_the_model(recipe) for recipe, *_ in self.steps)
        how: dict[str, Any] = {"alter": self._alter if altered else None, "engine": engine}
        return engine_of(Serving(self.model, device, self.adapter, **how))

    def _alter(self, model: Any) -> None:
        recipes.alter(model, self.steps, self.arm.rows.parent)


def opened(folder: Path) -> Opened:
    """Open the arm in a folder. Raises UserError where it is not, or no longer, what its manifest says.

    That is: an arm behind an endpoint, one of a version that did not say what it is, one without its adapter, and one
    whose base model, adapter or plug-in has changed.
    """
    arm = store.open_arm(folder)
    known, settings = _kept(arm.folder)
    base = known["facts"]["base"]
    if "endpoint" in base:
        why = f"its answers come from {base['endpoint']}, as {base['id']}"
        raise UserError(f"{arm.name} is behind an endpoint", why, "ask that endpoint itself")
    model = config.made(ModelConfig, settings["model"], "model")
    if _known_by(facts.of_base(model)) != _known_by(base):
        why = "its content, or how it is loaded, is not what the manifest says"
        raise UserError(f"the base model of {arm.name} is another one now", why, "copy back the model that it was")
    lineage = _lineage(arm.folder)
    steps = _steps(lineage)
    if plugins.owed("mitigations", [recipe.name for recipe, *_ in steps]) != (known.get("plugins") or {}):
        why = "a plug-in that its recipes come from is another one now"
        raise UserError(f"{arm.name} cannot be asked as it was", why, "install the version that its manifest names")
    text = str(known["facts"].get("system") or model.system_prompt or "")
    return Opened(
        arm,
        model,
        config.made(GenerateConfig, settings["generate"], "generate"),
        [{"role": "system", "content": text}] if text else [],
        _adapter(lineage),
        tuple(steps),
    )


def _kept(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The manifest and the settings of an arm, with what these name from outside put to work."""
    known = store.read_manifest(folder) or {}
    path = folder / "config.yaml"
    if not (known.get("facts") or {}).get("base") or not path.is_file():
        why = "its manifest does not say which model answered, as those of the first versions did not"
        raise UserError(f"{folder.name} cannot be asked again", why, "run again what made it, with this version")
    settings: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    plugins.use(settings.get("plugins") or None, settings.get("config_dirs") or None)
    return known, settings


def _steps(lineage: list[Path]) -> list[tuple[Mitigation, Run, str]]:
    """The recipes of the arms in these folders, each with its run.

    What an arm that was not trained does not keep (data, method) is what it is made of keeps; for one made of an
    adapter that was given, what a run has by itself, which nothing follows from as long as its own files are there.
    """
    found = []
    whole: dict[str, Any] = {}
    for folder in lineage:
        known, settings = _kept(folder)
        whole |= settings
        for recipe in recipes.of(settings.get("mitigation") or {}):
            if not whole.keys() >= {"data", "method"}:
                whole = {**dataclasses.asdict(config.compose(["+persona=none"])), **whole}
            found.append((recipe, config.thawed(whole), str(known["facts"].get("version"))))
    return found


def _known_by(base: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in base.items() if key != "path"}


def _lineage(folder: Path) -> list[Path]:
    """The folders of the arms that an arm is made of, which lie beside it, the first of them first, and its own."""
    parent = (store.read_manifest(folder) or {}).get("parent")
    return [*(_lineage(store.open_arm(folder.parent / str(parent)).folder) if parent else []), folder]


def _adapter(lineage: list[Path]) -> Path | None:
    """The adapter that an arm answers with: its own, the one it was given, or that of what it is made of."""
    for folder in reversed(lineage):
        known, settings = _kept(folder)
        own = folder / "adapter"
        if given := known["facts"].get("adapter"):
            return _given(folder, Path(settings["arm"]["adapter"]).expanduser(), given)
        places = {recipe.place for recipe in recipes.of(settings.get("mitigation") or {})}
        if own.is_dir():
            adapters.check_seal(own)
            return own
        if known["facts"].get("version") or places & {Place.CHECKPOINT, Place.ADAPTER}:
            fix = "run again what made the arm: what is there is not made again"
            raise UserError(f"{folder.name} has no adapter", f"there is no {own}", fix)
    return None


def _given(folder: Path, adapter: Path, known: dict[str, Any]) -> Path:
    """An adapter that was given, if it is still the one that was measured; of an earlier version its weights tell."""
    for name, key in ((adapters.WEIGHTS, "sha256"), (adapters.CONFIG, "config_sha256")):
        path = adapter / name
        if not path.is_file() or (key in known and sha256(path) != known[key]):
            why = f"there is no {path} of the SHA-256 that the arm's manifest names"
            raise UserError(f"the adapter of {folder.name} is not there", why, "copy it back, or run where it was run")
    return adapter
