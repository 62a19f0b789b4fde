"""Who answers as each arm of a run: a model on this machine, or one behind the endpoint that ``arm.endpoint`` names."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from warmgap.arms.missing import Unasked
from warmgap.arms.spec import ArmSpec
from warmgap.disk import shards
from warmgap.engines import adapters, client, engine_of
from warmgap.engines.base import Engine, Serving
from warmgap.engines.client import Meter
from warmgap.engines.endpoint import EndpointEngine
from warmgap.engines.vllm import choice
from warmgap.engines.vllm.server import Servers
from warmgap.errors import UserError
from warmgap.settings.schema import CallsConfig, EndpointConfig, ModelConfig, Run

OMISSIBLE = ("temperature", "seed")


class Engines:
    """The engines of one run. What its arms cost at the endpoint is counted together, and capped together.

    Those that vLLM answers for share its process, which ``rest`` ends. Where shards are put together nobody is asked.
    """

    def __init__(self, run: Run) -> None:
        self._run, self._meter, self._shard = run, Meter(), shards.parse(run.shard)
        self._servers = Servers(_rank(run))

    def of(self, spec: ArmSpec, adapter: Path | None, *, part_of_an_arm: bool = False) -> Engine:
        """Return the engine that answers as an arm, with one of its adapters; nothing is loaded or asked yet.

        With ``part_of_an_arm`` the answers decide what an arm is: they are transformers' whatever ``engine`` says,
        which is no part of an arm's name.
        """
        run, point = self._run, endpoint(self._run, spec.run.model)
        if point is None:
            who = "hf" if part_of_an_arm else run.engine
            alter = spec.alter if spec.altered else None
            how: dict[str, Any] = {"alter": alter, "engine": who, "servers": self._servers}
            return self._asked(engine_of(Serving(spec.run.model, run.device, adapter, **how)))
        how = {"meter": self._meter, "folder": spec.arm.folder, "shard": self._shard}
        return self._asked(engine_of(Serving(spec.run.model, run.device, None, point, **how)))

    def _asked(self, engine: Engine) -> Engine:
        """The engine, or where shards are put together one that is asked nothing."""
        return Unasked(engine) if self._shard is not None and self._shard.number is None else engine

    def remember(self, specs: Iterable[ArmSpec]) -> None:
        """Let what earlier commands have spent on these arms' answers count in the cap."""
        for spec in specs:
            engine = self.of(spec, None) if endpoint(self._run, spec.run.model) is not None else None
            if isinstance(engine, EndpointEngine):
                engine.remember()

    def rest(self) -> None:
        """Give the memory that vLLM holds to what comes next; who is asked again starts it again."""
        self._servers.rest()

    def __enter__(self) -> Engines:
        return self

    def __exit__(self, *why: object) -> None:
        self.rest()


def check_engine(run: Run) -> None:
    """Raise UserError where a run's ``engine`` is not there to answer, before anything is trained."""
    choice.check(run.engine)


def _rank(run: Run) -> int | None:
    """The ``max_lora_rank`` that the adapters of a run need; None where it is not known to have any, or no vLLM."""
    if run.engine == "hf" or not choice.installed():
        return None
    if run.arm.adapter is not None:
        folder = Path(run.arm.adapter)
        rank = adapters.read(folder)["r"] if folder.is_dir() else None
    else:
        rank = run.method.lora.r if run.persona is not None and run.persona.reply else None
    return choice.rank_for(int(rank)) if rank is not None and int(rank) <= choice.RANKS[-1] else None


def endpoint(run: Run, model: ModelConfig) -> EndpointConfig | None:
    """Return how a run's hosted model is asked; None for a model that is loaded here, or is hosted nowhere known.

    Raises UserError for settings with which no request can be sent.
    """
    own = run.arm
    if model.source != "hosted" or own.endpoint is None:
        return None
    if not own.endpoint.startswith(("http://", "https://")):
        fix = "arm.endpoint=http://HOST:PORT/v1"
        raise UserError(f"arm.endpoint={own.endpoint} is no address", "an address starts with http", fix)
    if unknown := set(own.omit) - set(OMISSIBLE):
        what = f"arm.omit names {', '.join(sorted(unknown))}"
        raise UserError(what, f"what can be left out is {' and '.join(OMISSIBLE)}", f"arm.omit=[{OMISSIBLE[0]}]")
    if model.id and model.id == run.model.id and not (client.dated(model.id) or model.revision):
        why = "the weights behind an undated name change, and answers with them"
        raise UserError(f"model.id={model.id} has no date", why, "use a dated name, or set model.revision=...")
    calls = {field.name: getattr(own, field.name) for field in dataclasses.fields(CallsConfig)}
    asked = {**calls, **dict.fromkeys(own.omit)}
    found = EndpointConfig(base_url=own.endpoint, model=model.id, revision=model.revision, **asked)
    client.check(found, "arm")
    return found
