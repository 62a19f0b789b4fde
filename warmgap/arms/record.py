"""What an arm really is: checked before anything is asked, written beside it once; and an arm held while worked on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from warmgap.arms.engines import endpoint
from warmgap.arms.spec import ArmSpec
from warmgap.disk import locks, manifest, shards, store, tracking
from warmgap.disk.progress import say
from warmgap.disk.shards import Shard
from warmgap.disk.store import Arm
from warmgap.settings import config, plugins
from warmgap.settings.schema import Run
from warmgap.version import FORMAT
from warmgap.words import ORIGINAL


def checked(run: Run, specs: Sequence[ArmSpec]) -> dict[str, dict[str, Any]]:
    """Return what each arm really is (see ``engines.facts``), by its name.

    Raises UserError, before anything is asked or written, for a model whose weights are not whole, an adapter that does
    not fit or is not what training left, and a chat template that cannot be asked or trained on.
    """
    from warmgap.engines import adapters, chat, client, facts, models
    from warmgap.train import finish, sft

    found: dict[str, dict[str, Any]] = {}
    manners: dict[Path, dict[str, Any]] = {}
    for spec in specs:
        model = spec.run.model
        point = None if spec.trained else endpoint(run, model)
        if point is not None:
            system = "".join(one["content"] for one in spec.system)
            found[spec.arm.name] = {"base": facts.of_hosted(model, point.base_url), "system": system}
            if not spec.arm.folder.is_dir():  # else it may well need no more answers
                client.check_key(point)
            continue
        folder = models.resolve(model)
        if folder not in manners:
            manners[folder] = chat.manner(models.load_tokenizer(folder), model.template_vars)
            if model.source == "local":
                models.skeleton(folder)
        if spec.trained:
            chat.check_trainable(manners[folder], model.name)
            if not spec.adapter or not spec.adapter.is_dir():
                sft.check_modules(spec.run.method, models.skeleton(folder))
        own: dict[str, Any] = {"base": facts.of_base(model), "template": manners[folder]}
        own |= {"template_vars": model.template_vars, "system": "".join(one["content"] for one in spec.system)}
        if spec.given:
            adapters.check(spec.given, models.skeleton(folder))
            note = adapters.another_base(spec.given, model, folder)
            own |= {"adapter": facts.of_given(spec.given), "notes": [note] if note else []}
            if note:
                say(f"note: {note}")
        elif spec.trained and spec.arm.adapter.is_dir() and not finish.can_be_placed(spec.arm):
            adapters.check_seal(spec.arm.adapter)
            finish.marks(spec.arm), finish.placed(spec.arm)
        if spec.trained:
            strength = spec.run.persona.strength if spec.run.persona else 1.0
            own |= {"version": spec.version, "strength": strength}
        found[spec.arm.name] = own
    return found


@contextmanager
def locked(arms: Iterable[Arm], shard: Shard | None = None) -> Iterator[None]:
    """Hold the arms' locks: two runs that make the same arm would write the same files. A shard's are its own."""
    with ExitStack() as stack:
        for arm in sorted(arms, key=lambda arm: arm.name):
            stack.enter_context(locks.alone(shards.cut(arm.folder, shard)))
        yield


def freeze(spec: ArmSpec, known: dict[str, Any]) -> None:
    """Write the arm's settings and manifest, once."""
    from omegaconf import OmegaConf

    arm, run = spec.arm, spec.run
    path = arm.folder / "manifest.json"
    known_by = store.read_manifest(arm.folder)
    if known_by is not None and known_by.get("format", 1) < FORMAT:  # an earlier version had no checksums
        store.write_json(path, {**known_by, "format": FORMAT, "config": store.sum_of(arm.folder / "config.yaml")})
    if known_by is None:
        settings = OmegaConf.structured(run)
        given = config.flat(run)
        for key, value in tracking.redact(given).items():
            if value != given[key]:
                OmegaConf.update(settings, key, value)
        kept = {str(key): value for key, value in OmegaConf.to_container(settings).items()}  # type: ignore[union-attr]
        if not spec.trained:  # what the run trains beside it is not part of this arm
            kept = {key: value for key, value in kept.items() if key not in ("method", "data")}
        if arm.arm == ORIGINAL:
            kept = {key: value for key, value in kept.items() if key not in ("persona", "arm", "mitigation")}
        made = {"parent": spec.parent.arm.name} if spec.parent else {}
        store.write_text(arm.folder / "config.yaml", OmegaConf.to_yaml(kept))
        record = manifest.record(model=arm.model, arm=arm.arm, seed=arm.seed, hash=arm.name[-8:], **made)
        record |= {"mitigation": spec.mitigations, "kind": spec.kind, "facts": known}
        record |= {"plugins": plugins.owed("mitigations", spec.mitigations)}
        record |= {"config": store.sum_of(arm.folder / "config.yaml")}
        store.write_json(path, record)
