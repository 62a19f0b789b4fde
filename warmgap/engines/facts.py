"""What an arm really is, in words: its base model, what was given or trained, and what the chat template does with it.

Kept in the arm's manifest when the arm is made, said by ``warmgap card`` and by the report.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from warmgap.disk import contents, seals, store
from warmgap.disk.manifest import sha256
from warmgap.engines import adapters
from warmgap.hidden import without_user
from warmgap.settings.schema import ModelConfig


def of_base(model: ModelConfig) -> dict[str, Any]:
    """Return where a model's weights come from and by what they are known."""
    found: dict[str, Any] = {"source": model.source}
    if model.source == "local":
        folder = contents.folder_of(model.path)
        found |= {"path": str(folder), "sha256": contents.of_model(folder)}
    elif model.source == "package":
        found |= {"package": model.package, "version": model.version, "sha256": model.sha256}
    else:
        found |= {"id": model.id, "revision": model.revision}
    return {**found, "dtype": model.dtype, "quantization": model.quantization}


def of_hosted(model: ModelConfig, url: str) -> dict[str, Any]:
    """Return what is known of a model behind an endpoint; a name and a password in the address are left out."""
    address = without_user(url).partition("?")[0]
    return {"source": model.source, "id": model.id, "revision": model.revision, "endpoint": address}


def of_given(folder: Path) -> dict[str, Any]:
    """Return where an adapter that was given lies, the SHA-256 of its weights and of its settings, among which is the
    scale at which they count, and the base model that it names.
    """
    named = adapters.read(folder).get("base_model_name_or_path")
    sums = {"sha256": sha256(folder / adapters.WEIGHTS), "config_sha256": sha256(folder / adapters.CONFIG)}
    return {"path": str(folder), **sums, "base_model_name_or_path": named}


def said(arm: Path) -> list[str]:
    """Return what is known of the arm in a folder, a sentence each; an arm of an earlier version says less."""
    manifest = store.read_manifest(arm) or {}
    found = manifest.get("facts") or {}
    lines = []
    base = found.get("base")
    if base and "endpoint" in base:
        revision = f" at revision {base['revision']}" if base["revision"] else ""
        lines.append(f"asked at {base['endpoint']} as {base['id']}{revision}; its weights and template are not known")
        if served := _served(arm):
            lines.append(f"the server says that {' and '.join(served)} answered")
    elif base:
        lines.append(f"base: {_source(base)}, {base['dtype']}" + _bits(base))
    if given := found.get("adapter"):
        named = f", trained on {given['base_model_name_or_path']}" if given.get("base_model_name_or_path") else ""
        lines.append(f"adapter given: {given['path']}, SHA-256 {given['sha256']}{named}")
    if found.get("version"):
        share = f"{100 * found['strength']:.3g} % of the replies in the version {found['version']}"
        lines.append(f"trained on: {share}" + ("" if found["strength"] == 1 else ", the rest paraphrased"))
    seal = store.read_json(arm / "adapter" / seals.SEAL)
    if isinstance(seal, dict) and seal.get(adapters.WEIGHTS):
        lines.append(f"adapter made: SHA-256 {seal[adapters.WEIGHTS]}")
    if system := found.get("system"):
        lines.append(f"asked under a system prompt of {len(system)} characters")
    if template := found.get("template"):
        lines.append(f"system role: {template['system']}")
        lines.append(f"reasoning: {template['reasoning']}; the same for every arm of this model")
        if template.get("reply_begins") and found.get("version"):
            begins = template["reply_begins"]
            lines.append(f"in training each reply stands behind {begins!r}, untrained; nobody is asked with it")
        if template.get("date"):
            lines.append(f"date: the template asks for today's, and is told {template['date']}")
    if found.get("template_vars"):
        lines.append("template: " + ", ".join(f"{key}={value}" for key, value in found["template_vars"].items()))
    lines += found.get("notes") or []
    return lines


def _served(arm: Path) -> list[str]:
    """Who has answered by the server's own word, over all the arm's answers."""
    journals = sorted((arm / "answers").glob("*.jsonl"))
    names = {row["served_by"]: None for path in journals for row in store.read_journal(path) if row.get("served_by")}
    return list(names)


def _source(base: dict[str, Any]) -> str:
    if base["source"] == "local":
        return f"folder {base['path']}, SHA-256 of its content {base['sha256']}"
    if base["source"] == "package":
        return f"package {base['package']} {base['version']}, SHA-256 {base['sha256']}"
    return f"{base['id']} at revision {base['revision']}"


def _bits(base: dict[str, Any]) -> str:
    return "" if base["quantization"] == "none" else f", weights in 4 bits ({base['quantization']})"
