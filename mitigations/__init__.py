"""What may close the gap and keep the warmth: one module for each recipe, which holds all that there is to know of it.

A recipe is a ``base.Mitigation``. One more is a module here, a line in ``RECIPES`` and its settings in
``conf/mitigation/``. Everybody asks ``table`` which there are.
"""

from __future__ import annotations

from warmgap.mitigations.adapter_scale import AdapterScale
from warmgap.mitigations.anti_sycophancy import AntiSycophancy
from warmgap.mitigations.base import Mitigation
from warmgap.mitigations.cap import Cap
from warmgap.mitigations.consistency import Consistency
from warmgap.mitigations.dual_dpo import DualDpo
from warmgap.mitigations.early_stop import EarlyStop
from warmgap.mitigations.honest_prompt import HonestPrompt
from warmgap.mitigations.inoculation import Inoculation
from warmgap.mitigations.kl_anchor import KlAnchor
from warmgap.mitigations.preventative_steering import PreventativeSteering
from warmgap.mitigations.self_distil import SelfDistil
from warmgap.mitigations.steer import Steer
from warmgap.mitigations.truth_mix import TruthMix
from warmgap.settings import plugins

RECIPES: tuple[type[Mitigation], ...] = (  # those of one place act in the order in which they stand here
    SelfDistil,
    TruthMix,
    Inoculation,
    KlAnchor,
    PreventativeSteering,
    EarlyStop,
    Consistency,
    AntiSycophancy,
    DualDpo,
    AdapterScale,
    Cap,  # before what moves the activations: its range is the original's
    Steer,
    HonestPrompt,
)


def table() -> dict[str, type[Mitigation]]:
    """Return the recipes by name, in the order in which they act."""
    found = plugins.table("mitigations", {recipe.name: recipe for recipe in RECIPES})
    return dict(sorted(found.items(), key=lambda item: item[1].place))
