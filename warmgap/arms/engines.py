"""Who answers as each arm of a run: a model on this machine, or one behind the endpoint that ``arm.endpoint`` names."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from warmgap.arms.spec import ArmSpec
from warmgap.engines import client, engine_of
from warmgap.engines.base import Engine, Serving
from warmgap.engines.client import Meter
from warmgap.errors import UserError
from warmgap.settings.schema import CallsConfig, EndpointConfig, ModelConfig, Run

OMISSIBLE = ("temperature", "seed")


class Engines:
    """The engines of one run. What its arms cost at the endpoint is counted together, and capped together."""

    def __init__(self, run: Run) -> None:
        self._run, self._meter = run, Meter()

    def of(self, spec: ArmSpec, adapter: Path | None) -> Engine:
        """Return the engine that answers as an arm, with one of its adapters; nothing is loaded or asked yet."""
        point = endpoint(self._run, spec.run.model)
        if point is None:
            return engine_of(
                Serving(spec.run.model, self._run.device, adapter, alter=spec.alter if spec.altered else None)
            )
        return engine_of(Serving(spec.run.model, self._run.device, None, point, self._meter, spec.arm.folder))


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
