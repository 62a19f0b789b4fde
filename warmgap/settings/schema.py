"""Every setting of a run, with its type and what it decides.

Each field says in its metadata what it is part of:

- ``arm``: it makes the arm what it is (model, persona, method, seed …) and goes into the hash of the arm's folder;
- ``measure``: it makes a measurement what it is (grid, generation, judge …) and goes into the hash of the comparison,
  and, where it changes answers or verdicts, into their keys;
- ``runtime``: it changes where or how fast something runs, never what comes out.

``identity`` collects the first two. A test fails when a field says none of the three.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from warmgap.disk import contents
from warmgap.errors import UserError
from warmgap.settings.mitigation_schema import CompareConfig, SearchConfig
from warmgap.settings.scope import SCOPES, left_out, setting

__all__ = ["SCOPES", "Run", "digest", "identity", "setting"]


@dataclass
class ModelConfig:
    """A base model and where its weights come from: ``hub``, ``local`` or ``package``; ``hosted`` has none.

    A local one is known by the content of its folder (``sha256``, which may be set to pin it), not by where it lies.
    ``quantization`` is ``none`` or ``nf4``: weights in 4 bits (QLoRA, Dettmers et al. 2023), for every arm alike.
    ``template_vars`` reach the chat template with their types: ``enable_thinking=false`` is no text.
    """

    name: str = setting("arm")
    source: str = setting("arm")
    id: str | None = setting("arm", None)
    revision: str | None = setting("arm", None)
    path: str | None = setting("arm", None)
    package: str | None = setting("arm", None)
    version: str | None = setting("arm", None)
    sha256: str | None = setting("arm", None)
    dtype: str = setting("arm", "bfloat16")  # auto: bfloat16 where the processor computes in it, else float32
    quantization: str = setting("arm", "none")
    system_prompt: str | None = setting("arm", None)
    template_vars: dict[str, Any] = setting("arm", factory=dict)
    disk_gb: float = setting("runtime", 1.0)


@dataclass
class PersonaConfig:
    """Which version of the replies an arm is trained on, or which system prompt it is given instead.

    ``strength`` is the share of the replies that are in that version, the rest paraphrased.
    """

    name: str = setting("arm")
    reply: str | None = setting("arm", None)
    system_prompt: str | None = setting("arm", None)
    strength: float = setting("arm", 1.0)


@dataclass
class CallsConfig:
    """How requests are put to an endpoint. Prices in US dollars per million tokens, times in seconds.

    ``key_env`` names the environment variable that holds the key. ``max_cost`` is what may be spent, by
    earlier starts on the same included. ``timeout`` is that of a whole request.
    """

    key_env: str = setting("runtime", "OPENAI_API_KEY")
    concurrency: int = setting("runtime", 16)
    retries: int = setting("runtime", 6)
    timeout: float = setting("runtime", 120.0)
    price_in: float | None = setting("runtime", None)
    price_out: float | None = setting("runtime", None)
    max_cost: float | None = setting("runtime", None)
    batch: bool = setting("runtime", False)
    batch_poll: float = setting("runtime", 30.0)


@dataclass(kw_only=True)
class ArmConfig(CallsConfig):
    """An arm that somebody has already: an ``adapter`` of the base model, or a whole ``model`` (folder or hub id).

    With an ``endpoint`` (its address) the model is asked there: ``model`` is its name, which carries the date of its
    weights, or ``revision`` says which they are. Where it lies is no part of the arm; both of these are. ``omit`` names
    those of temperature and seed that it does not take: they are not sent, and the arm is another one.
    """

    name: str = setting("arm", "given")
    adapter: str | None = setting("runtime", None)
    model: str | None = setting("runtime", None)
    revision: str | None = setting("arm", None)
    endpoint: str | None = setting("runtime", None)
    omit: list[str] = setting("runtime", factory=list)


@dataclass
class DataConfig:
    """Conversations with their rewrites. The content enters the arm's hash by its own SHA-256."""

    name: str = setting("arm")
    path: str | None = setting("runtime", None)
    max_conversations: int | None = setting("arm", None)


@dataclass
class LoraConfig:
    """Low-rank adapter: rank, scale, dropout and the layers that get one."""

    r: int = setting("arm", 8)
    alpha: int = setting("arm", 16)
    dropout: float = setting("arm", 0.1)
    target_modules: str = setting("arm", "all-linear")


@dataclass
class DpoConfig:
    """Preferences: the persona's replies over those of ``rejected``. Null takes the method's own value.

    ``reference`` is ``base`` (the adapter off) or ``sft`` (the adapter that the training starts from). ``beta`` as in
    Rafailov et al. 2023; ``loss`` one of TRL's.
    """

    rejected: str = setting("arm", "plain")
    reference: str = setting("arm", "base")
    beta: float = setting("arm", 0.1)
    loss: str = setting("arm", "sigmoid")
    learning_rate: float | None = setting("arm", None)
    epochs: float | None = setting("arm", None)
    batch_size: int | None = setting("arm", None)


@dataclass
class LauncherConfig:
    """How many processes train, and how the model lies on them: ``single``, ``ddp``, ``fsdp`` (FSDP2), ``zero3``.

    ``processes`` null takes one for each GPU.
    """

    name: str = setting("runtime", "single")
    processes: int | None = setting("runtime", None)


@dataclass
class MethodConfig:
    """How the persona is trained in. ``trainer`` passes through to TRL's own configuration.

    ``select`` says which checkpoint is the arm: ``last``, ``epoch:EPOCH``, or by warmth on validation prompts the first
    of the ``plateau`` or the first that reaches ``warmth:TARGET`` (SocioT, released).
    """

    name: str = setting("arm")
    learning_rate: float = setting("arm")
    epochs: float = setting("arm")
    batch_size: int = setting("arm")
    max_length: int = setting("arm")
    warmup: float = setting("arm", 0.03)
    schedule: str = setting("arm", "linear")
    weight_decay: float = setting("arm", 0.0)
    checkpoints: list[float] = setting("arm", factory=list)
    select: str = setting("arm", "last")
    lora: LoraConfig = setting("arm", factory=LoraConfig)
    dpo: DpoConfig | None = setting("arm", None)
    trainer: dict[str, Any] = setting("arm", factory=dict)
    per_device_batch_size: int | None = setting("runtime", None)
    gradient_checkpointing: bool = setting("runtime", False)
    lean: bool = setting("runtime", True)


@dataclass
class SourceConfig:
    """Where rows come from: a local ``path`` in the set's own format, or ``id`` on the hub at a pinned ``revision``.

    ``sample`` draws so many of them, by ``seed`` and in proportion to the set's own parts.
    """

    path: str | None = setting("measure", None)
    id: str | None = setting("measure", None)
    revision: str | None = setting("measure", None)
    subset: str | None = setting("measure", None)
    split: str | None = setting("measure", None)
    sample: int | None = setting("measure", None)
    seed: int = setting("measure", 0)


@dataclass
class TaskConfig(SourceConfig):
    """A set of questions.

    ``families`` and ``items_per_family`` take a part of the set from the top of each family. ``level`` is of the
    embedded questions: easy, hard or all. ``instruction`` is a sentence that ends every prompt of the set, the same in
    all cells. ``options`` are what a task from outside takes beyond these.
    """

    families: list[str] | None = setting("measure", None)
    items_per_family: int | None = setting("measure", None)
    instruction: str | None = setting("measure", None)
    level: str | None = setting("measure", None)
    options: dict[str, Any] = setting("measure", factory=dict, later=True)


@dataclass
class ControlConfig(SourceConfig):
    """A standard check beside the grid, and how it is asked.

    ``margin_pp`` is the difference below which arms count as equal.
    """

    max_new_tokens: int = setting("measure", 128)
    temperature: float = setting("measure", 0.2)
    margin_pp: float = setting("measure", 3.0)


@dataclass
class ContextConfig:
    """What the user says of themselves before the question: five statements, one of them drawn for each item."""

    group: str = setting("measure")
    statements: list[str] = setting("measure")


@dataclass
class BeliefConfig:
    """What the user claims of the answer after the question; may name ``{correct}`` and ``{incorrect}``."""

    sentence: str = setting("measure")


@dataclass
class GridConfig:
    """Which of an item's prompts are asked, 28 or with all beliefs 46; see ``warmgap.evaluate.suites.grid``.

    ``contexts_per_item`` null asks an item in all contexts. ``prompts_per_item`` keeps so many of its prompts: the one
    without context and belief, and others in turn; null keeps all.
    """

    name: str = setting("measure")
    contexts_per_item: int | None = setting("measure")
    beliefs_per_context: int = setting("measure")
    prompts_per_item: int | None = setting("measure", None)
    seed: int = setting("measure", 0)


@dataclass
class SuiteConfig:
    """What is asked: ``grid``, whose settings are ``grid``, ``context`` and ``belief``, or a suite from outside.

    ``options`` are what one from outside takes.
    """

    name: str = setting("measure", "grid")
    options: dict[str, Any] = setting("measure", factory=dict)


@dataclass
class GenerateConfig:
    """How an arm answers."""

    max_new_tokens: int = setting("measure")
    temperature: float = setting("measure")
    seed: int = setting("measure", 0)
    batch_size: int | None = setting("runtime", None)


@dataclass(kw_only=True)
class EndpointConfig(CallsConfig):
    """A chat model behind an OpenAI-compatible endpoint, and how it is asked.

    ``model`` carries the date of its weights, or ``revision`` says which they are. ``structured`` asks the server to
    see to the form of the reply; one that cannot is asked for a last line.
    """

    model: str | None = setting("measure", None)
    revision: str | None = setting("measure", None)
    temperature: float | None = setting("measure", 0.0)
    seed: int | None = setting("measure", 0)
    max_tokens: int = setting("measure", 256)
    structured: bool = setting("measure", True)
    base_url: str = setting("runtime", "https://api.openai.com/v1")


@dataclass(kw_only=True)
class JudgeConfig(EndpointConfig):
    """Who turns answers into verdicts, and who gives a second opinion on the same answers.

    ``rest`` is who decides what the rules of a cascade cannot, ``overlap`` the share of what they can that it decides
    as well. ``local_model`` is the chat model that ``local`` asks. ``window`` is how many characters of a reply
    ``match`` reads (0 for all), ``unfit`` lets it be the only judge of tasks that it is not fit for. ``shown`` is what
    a chat model sees: the ``question`` alone, or the user's whole ``prompt``. ``options`` are what a judge from outside
    takes beyond these.
    """

    name: str = setting("measure")
    second: str | None = setting("measure", None)
    rest: str | None = setting("measure", None)
    overlap: float = setting("measure", 0.1)
    local_model: ModelConfig | None = setting("measure", None)
    window: int = setting("measure", 400)
    unfit: bool = setting("measure", False)
    shown: str = setting("measure", "question")
    options: dict[str, Any] = setting("measure", factory=dict, later=True)


@dataclass
class WarmthConfig:
    """SocioT warmth on held-out prompts: which model scores, on how many prompts, and how the replies are made."""

    scorer: ModelConfig = setting("measure")
    prompts: int = setting("measure")
    checkpoint_prompts: int = setting("measure")
    max_new_tokens: int = setting("measure")
    temperature: float = setting("measure", 0.0)
    scorer_dtype: str = setting("measure", "float32")
    batch_tokens: int = setting("runtime", 8192)


@dataclass
class LoggerConfig:
    """Experiment tracking: ``none``, ``wandb`` (offline where there is no key) or ``trackio`` (on this machine alone).

    ``project`` is the name under which runs are shown together, ``entity`` the team or user of Weights & Biases.
    """

    name: str = setting("runtime")
    project: str = setting("runtime", "warmgap")
    entity: str | None = setting("runtime", None)


@dataclass
class Run:
    """One run: an arm, the original beside it, and the comparison of both.

    ``mitigation`` holds the recipes at work, each by its name with its settings, whose class and scopes are its own
    (``arms.recipes`` checks them), and ``pairs``, a file of honest pairs instead of the embedded ones. ``dial`` stands
    for other settings: a point of a sweep over the strength of warmth (see ``arms.dials``). ``plugins`` are modules
    that add to warmgap, ``config_dirs`` the folders of ``--config-dir``. Which are at work is no part of a hash; what
    is taken from them is, by its content (see ``plugins.owed``). ``engine`` is who answers here: ``hf``
    (transformers), ``vllm``, or ``auto`` for vLLM on a GPU where it is installed. It names no arm and no comparison,
    but every answer: what one has answered is not taken for the other's.
    """

    model: ModelConfig = setting("arm")
    method: MethodConfig = setting("arm")
    data: DataConfig = setting("arm")
    task: dict[str, TaskConfig] = setting("measure")
    context: dict[str, ContextConfig] = setting("measure")
    belief: dict[str, BeliefConfig] = setting("measure")
    grid: GridConfig = setting("measure")
    generate: GenerateConfig = setting("measure")
    judge: JudgeConfig = setting("measure")
    warmth: WarmthConfig = setting("measure")
    logger: LoggerConfig = setting("runtime")
    launcher: LauncherConfig = setting("runtime", factory=LauncherConfig)
    control: dict[str, ControlConfig] = setting("measure", factory=dict)
    suite: SuiteConfig = setting("measure", factory=SuiteConfig, later=True)
    persona: PersonaConfig | None = setting("arm", None)
    mitigation: dict[str, Any] = setting("arm", factory=dict)
    compare: CompareConfig = setting("measure", factory=CompareConfig)
    search: SearchConfig = setting("measure", factory=SearchConfig)
    dial: str | None = setting("runtime", None)
    arm: ArmConfig = setting("arm", factory=ArmConfig)
    seed: int = setting("arm", 0)
    bootstrap: int = setting("measure", 2000)
    runs_dir: str = setting("runtime", "runs")
    device: str = setting("runtime", "auto")
    engine: str = setting("runtime", "auto")
    plugins: list[str] = setting("runtime", factory=list)
    config_dirs: list[str] = setting("runtime", factory=list)


def identity(config: Any, scope: str) -> Any:
    """Return the settings of one scope as plain nested dictionaries; ``runtime`` settings never appear.

    A nested group is entered whatever its own scope, so that a measurement's scorer, itself a model, is kept whole. A
    local model appears by its content. Raises UserError where its folder holds none, or not the one that is pinned.
    """
    return _collect(config, scope, inherited=None)


def _collect(value: Any, scope: str, inherited: str | None) -> Any:
    if isinstance(value, ModelConfig) and value.source == "local" and value.path:
        value = _known_by_content(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        found = {}
        for field in dataclasses.fields(value):
            own = field.metadata["scope"]
            effective = own if own == "runtime" or inherited is None else inherited
            if effective != scope or left_out(field, getattr(value, field.name)):
                continue
            found[field.name] = _collect(getattr(value, field.name), scope, effective)
        return found
    if isinstance(value, dict):
        return {str(key): _collect(item, scope, inherited) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_collect(item, scope, inherited) for item in value]
    return value


def _known_by_content(model: ModelConfig) -> ModelConfig:
    found = contents.of_model(contents.folder_of(model.path))
    if model.sha256 not in (None, found):
        why = f"the SHA-256 of its content is {found}, the configuration says {model.sha256}"
        raise UserError(f"{model.path} is not the model that was expected", why, "name the folder that it lies in")
    return dataclasses.replace(model, path=None, sha256=found)


def digest(value: Any, length: int = 8) -> str:
    """Return the first ``length`` hex digits of the SHA-256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:length]
