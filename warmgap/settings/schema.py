"""Every setting of a run, with its type and what it decides.

Each field says in its metadata what it is part of:

- ``arm``: it makes the arm what it is (model, persona, method, seed …) and goes into the hash of the arm's folder;
- ``measure``: it makes a measurement what it is (grid, generation, judge …) and goes into the hash of the comparison,
  and, where it changes answers or verdicts, into their keys;
- ``runtime``: it changes where or how fast something runs, never what comes out.

``identity`` collects the first two. A test fails when a field says none of the three.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from warmgap.disk.shards import MOST as MOST_SHARDS
from warmgap.settings import fits
from warmgap.settings.mitigation_schema import CompareConfig, SearchConfig
from warmgap.settings.scope import SCOPES, setting

__all__ = ["SCOPES", "Run", "setting"]

DTYPE = fits.words("auto", "bfloat16", "float16", "float32")


@dataclass
class ModelConfig:
    """A base model and where its weights come from: ``hub``, ``local`` or ``package``; ``hosted`` has none.

    A local one is known by the content of its folder (``sha256``, which may be set to pin it), not by where it lies.
    ``quantization`` is ``none`` or ``nf4``: weights in 4 bits (QLoRA, Dettmers et al. 2023), for every arm alike.
    ``template_vars`` reach the chat template with their types: ``enable_thinking=false`` is no text.
    """

    name: str = setting("arm", fits=fits.NAME)
    source: str = setting("arm", fits=fits.words("hub", "local", "package", "hosted"))
    id: str | None = setting("arm", None)
    revision: str | None = setting("arm", None)
    path: str | None = setting("arm", None)
    package: str | None = setting("arm", None)
    version: str | None = setting("arm", None)
    sha256: str | None = setting("arm", None, fits=fits.SHA256)
    dtype: str = setting("arm", "bfloat16", fits=DTYPE)  # auto: bfloat16 where the processor computes in it
    quantization: str = setting("arm", "none", fits=fits.words("none", "nf4"))
    system_prompt: str | None = setting("arm", None)
    template_vars: dict[str, Any] = setting("arm", factory=dict)
    disk_gb: float = setting("runtime", 1.0, fits=fits.number(0, most=1e6))


@dataclass
class PersonaConfig:
    """Which version of the replies an arm is trained on, or which system prompt it is given instead.

    ``strength`` is the share of the replies that are in that version, the rest paraphrased.
    """

    name: str = setting("arm", fits=fits.NAME)
    reply: str | None = setting("arm", None)
    system_prompt: str | None = setting("arm", None)
    strength: float = setting("arm", 1.0, fits=fits.SHARE)


@dataclass
class CallsConfig:
    """How requests are put to an endpoint. Prices in US dollars per million tokens, times in seconds.

    ``key_env`` names the environment variable that holds the key, null for an endpoint that needs none. ``max_cost`` is
    what may be spent, by earlier starts on the same included. ``timeout`` is that of a whole request.
    """

    key_env: str | None = setting("runtime", "OPENAI_API_KEY", fits=fits.VARIABLE)
    concurrency: int = setting("runtime", 16, fits=fits.count(1, 10_000))
    retries: int = setting("runtime", 6, fits=fits.count(0, 1000))
    timeout: float = setting("runtime", 120.0, fits=fits.SECONDS)
    price_in: float | None = setting("runtime", None, fits=fits.PRICE)
    price_out: float | None = setting("runtime", None, fits=fits.PRICE)
    max_cost: float | None = setting("runtime", None, fits=fits.PRICE)
    batch: bool = setting("runtime", False)
    batch_poll: float = setting("runtime", 30.0, fits=fits.SECONDS)


@dataclass(kw_only=True)
class ArmConfig(CallsConfig):
    """An arm that somebody has already: an ``adapter`` of the base model, or a whole ``model`` (folder or hub id).

    With an ``endpoint`` (its address) the model is asked there: ``model`` is its name, which carries the date of its
    weights, or ``revision`` says which they are. Where it lies is no part of the arm; both of these are. ``omit`` names
    those of temperature and seed that it does not take: they are not sent, and the arm is another one.
    """

    name: str = setting("arm", "given", fits=fits.NAME)
    adapter: str | None = setting("runtime", None)
    model: str | None = setting("runtime", None)
    revision: str | None = setting("arm", None)
    endpoint: str | None = setting("runtime", None, fits=fits.ADDRESS)
    omit: list[str] = setting("runtime", factory=list, fits=fits.each(fits.words("temperature", "seed")))


@dataclass
class DataConfig:
    """Conversations with their rewrites. The content enters the arm's hash by its own SHA-256."""

    name: str = setting("arm", fits=fits.NAME)
    path: str | None = setting("runtime", None)
    max_conversations: int | None = setting("arm", None, fits=fits.count())


@dataclass
class LoraConfig:
    """Low-rank adapter: rank, scale, dropout and the layers that get one."""

    r: int = setting("arm", 8, fits=fits.count(1, 65_536))
    alpha: int = setting("arm", 16, fits=fits.count(1, 1_000_000))
    dropout: float = setting("arm", 0.1, fits=fits.number(0, below=1))
    target_modules: str = setting("arm", "all-linear")


@dataclass
class DpoConfig:
    """Preferences: the persona's replies over those of ``rejected``. Null takes the method's own value.

    ``reference`` is ``base`` (the adapter off) or ``sft`` (the adapter that the training starts from). ``beta`` as in
    Rafailov et al. 2023; ``loss`` one of TRL's.
    """

    rejected: str = setting("arm", "plain", fits=fits.NAME)
    reference: str = setting("arm", "base", fits=fits.words("base", "sft"))
    beta: float = setting("arm", 0.1, fits=fits.number(above=0))
    loss: str = setting("arm", "sigmoid")
    learning_rate: float | None = setting("arm", None, fits=fits.RATE)
    epochs: float | None = setting("arm", None, fits=fits.EPOCHS)
    batch_size: int | None = setting("arm", None, fits=fits.count())


@dataclass
class LauncherConfig:
    """How many processes train, and how the model lies on them: ``single``, ``ddp``, ``fsdp`` (FSDP2), ``zero3``.

    ``processes`` on each machine, null one for each GPU; ``nodes`` machines train together. With ``slurm`` the whole
    work is handed in as jobs: each training, in the way that ``mode`` says, then so many ``shards`` of the questions
    for each arm, then the comparison. ``training`` and ``together`` are settings of the jobs that train and of the last
    one where they need something else, ``sbatch`` any further option, ``setup`` lines that a job begins with.
    """

    name: str = setting("runtime", "single", fits=fits.NAME)
    processes: int | None = setting("runtime", None, fits=fits.count(1, 65_536))
    nodes: int = setting("runtime", 1, fits=fits.count(1, 65_536))
    mode: str = setting("runtime", "single", fits=fits.NAME)
    shards: int = setting("runtime", 1, fits=fits.count(1, MOST_SHARDS))
    retries: int = setting("runtime", 2, fits=fits.count(0, 1_000))
    at_once: int = setting("runtime", 256, fits=fits.count(1, 65_536))
    partition: str | None = setting("runtime", None, fits=fits.TEXT)
    account: str | None = setting("runtime", None, fits=fits.TEXT)
    minutes: int = setting("runtime", 240, fits=fits.count(1, 1_000_000))
    memory_gb: float | None = setting("runtime", None, fits=fits.number(above=0, most=1e6))
    cpus: int | None = setting("runtime", None, fits=fits.count(1, 65_536))
    gpus: int | None = setting("runtime", None, fits=fits.count(0, 65_536))
    setup: list[str] = setting("runtime", factory=list, fits=fits.each(fits.TEXT))
    sbatch: dict[str, Any] = setting("runtime", factory=dict)
    training: dict[str, Any] = setting("runtime", factory=dict)
    together: dict[str, Any] = setting("runtime", factory=dict)


@dataclass
class MethodConfig:
    """How the persona is trained in. ``trainer`` passes through to TRL's own configuration.

    ``select`` says which checkpoint is the arm: ``last``, ``epoch:EPOCH``, or by warmth on validation prompts the first
    of the ``plateau`` or the first that reaches ``warmth:TARGET`` (SocioT, released).
    """

    name: str = setting("arm", fits=fits.NAME)
    learning_rate: float = setting("arm", fits=fits.RATE)
    epochs: float = setting("arm", fits=fits.EPOCHS)
    batch_size: int = setting("arm", fits=fits.count())
    max_length: int = setting("arm", fits=fits.count())
    warmup: float = setting("arm", 0.03, fits=fits.number(0, below=1))
    schedule: str = setting("arm", "linear", fits=fits.words("linear", "cosine", "constant", "constant_with_warmup"))
    weight_decay: float = setting("arm", 0.0, fits=fits.number(0))
    checkpoints: list[float] = setting("arm", factory=list, fits=fits.each(fits.EPOCHS))
    select: str = setting("arm", "last")
    lora: LoraConfig = setting("arm", factory=LoraConfig)
    dpo: DpoConfig | None = setting("arm", None)
    trainer: dict[str, Any] = setting("arm", factory=dict)
    per_device_batch_size: int | None = setting("runtime", None, fits=fits.count())
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
    sample: int | None = setting("measure", None, fits=fits.count())
    seed: int = setting("measure", 0, fits=fits.SEED)


@dataclass
class TaskConfig(SourceConfig):
    """A set of questions.

    ``families`` and ``items_per_family`` take a part of the set from the top of each family. ``level`` is of the
    embedded questions: easy, hard or all. ``instruction`` is a sentence that ends every prompt of the set, the same in
    all cells. ``options`` are what a task from outside takes beyond these.
    """

    families: list[str] | None = setting("measure", None, fits=fits.each(fits.TEXT, 1))
    items_per_family: int | None = setting("measure", None, fits=fits.count())
    instruction: str | None = setting("measure", None)
    level: str | None = setting("measure", None, fits=fits.words("easy", "hard", "all"))
    options: dict[str, Any] = setting("measure", factory=dict, later=True)


@dataclass
class ControlConfig(SourceConfig):
    """A standard check beside the grid, and how it is asked.

    ``margin_pp`` is the difference below which arms count as equal.
    """

    max_new_tokens: int = setting("measure", 128, fits=fits.TOKENS)
    temperature: float = setting("measure", 0.2, fits=fits.TEMPERATURE)
    margin_pp: float = setting("measure", 3.0, fits=fits.number(above=0, most=100))


@dataclass
class ContextConfig:
    """What the user says of themselves before the question: five statements, one of them drawn for each item."""

    group: str = setting("measure", fits=fits.NAME)
    statements: list[str] = setting("measure", fits=fits.each(fits.TEXT, 1))


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

    name: str = setting("measure", fits=fits.NAME)
    contexts_per_item: int | None = setting("measure", fits=fits.count(0))
    beliefs_per_context: int = setting("measure", fits=fits.count(0, 4))
    prompts_per_item: int | None = setting("measure", None, fits=fits.count())
    seed: int = setting("measure", 0, fits=fits.SEED)


@dataclass
class GenerateConfig:
    """How an arm answers."""

    max_new_tokens: int = setting("measure", fits=fits.TOKENS)
    temperature: float = setting("measure", fits=fits.TEMPERATURE)
    seed: int = setting("measure", 0, fits=fits.SEED)
    batch_size: int | None = setting("runtime", None, fits=fits.count())


@dataclass(kw_only=True)
class EndpointConfig(CallsConfig):
    """A chat model behind an OpenAI-compatible endpoint, and how it is asked.

    ``model`` carries the date of its weights, or ``revision`` says which they are. ``structured`` asks the server to
    see to the form of the reply; one that cannot is asked for a last line.
    """

    model: str | None = setting("measure", None)
    revision: str | None = setting("measure", None)
    temperature: float | None = setting("measure", 0.0, fits=fits.TEMPERATURE)
    seed: int | None = setting("measure", 0, fits=fits.SEED)
    max_tokens: int = setting("measure", 256, fits=fits.TOKENS)
    structured: bool = setting("measure", True)
    base_url: str = setting("runtime", "https://api.openai.com/v1", fits=fits.ADDRESS)


@dataclass(kw_only=True)
class JudgeConfig(EndpointConfig):
    """Who turns answers into verdicts, and who gives a second opinion on the same answers.

    ``rest`` is who decides what the rules of a cascade cannot, ``overlap`` the share of what they can that it decides
    as well. ``local_model`` is the chat model that ``local`` asks. ``window`` is how many characters of a reply
    ``match`` reads (0 for all), ``unfit`` lets it be the only judge of tasks that it is not fit for. ``shown`` is what
    a chat model sees: the ``question`` alone, or the user's whole ``prompt``. ``options`` are what a judge from outside
    takes beyond these.
    """

    name: str = setting("measure", fits=fits.NAME)
    second: str | None = setting("measure", None, fits=fits.NAME)
    rest: str | None = setting("measure", None, fits=fits.NAME)
    overlap: float = setting("measure", 0.1, fits=fits.SHARE)
    local_model: ModelConfig | None = setting("measure", None)
    window: int = setting("measure", 400, fits=fits.count(0))
    unfit: bool = setting("measure", False)
    shown: str = setting("measure", "question", fits=fits.words("question", "prompt"))
    options: dict[str, Any] = setting("measure", factory=dict, later=True)


@dataclass
class WarmthConfig:
    """SocioT warmth on held-out prompts: which model scores, on how many prompts, and how the replies are made."""

    scorer: ModelConfig = setting("measure")
    prompts: int = setting("measure", fits=fits.count(2))
    checkpoint_prompts: int = setting("measure", fits=fits.count(2))
    max_new_tokens: int = setting("measure", fits=fits.TOKENS)
    temperature: float = setting("measure", 0.0, fits=fits.TEMPERATURE)
    scorer_dtype: str = setting("measure", "float32", fits=DTYPE)
    batch_tokens: int = setting("runtime", 8192, fits=fits.count())


@dataclass
class LoggerConfig:
    """Experiment tracking: ``none``, ``wandb`` (offline where there is no key) or ``trackio`` (on this machine alone).

    ``project`` is the name under which runs are shown together, ``entity`` the team or user of Weights & Biases.
    """

    name: str = setting("runtime", fits=fits.NAME)
    project: str = setting("runtime", "warmgap", fits=fits.NAME)
    entity: str | None = setting("runtime", None, fits=fits.NAME)


@dataclass
class Run:
    """One run: an arm, the original beside it, and the comparison of both.

    ``mitigation`` holds the recipes at work, each by its name with its settings, whose class and scopes are its own
    (``arms.recipes`` checks them), and ``pairs``, a file of honest pairs instead of the embedded ones. ``dial`` stands
    for other settings: a point of a sweep over the strength of warmth (see ``arms.dials``). ``plugins`` are modules
    that add to warmgap, ``config_dirs`` the folders of ``--config-dir``. Which are at work is no part of a hash; what
    is taken from them is, by its content (see ``plugins.owed``). ``engine`` is who answers here: ``hf``
    (transformers), ``vllm``, or ``auto`` for vLLM on a GPU where it is installed. It names no arm and no comparison,
    but every answer: what one has answered is not taken for the other's. ``shard`` is the part of the work that is done
    (see ``disk.shards``), ``only`` the arms that it is done for, by their short names.
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
    suite: dict[str, Any] = setting("measure", factory=lambda: {"grid": {}}, later=True)
    persona: PersonaConfig | None = setting("arm", None)
    mitigation: dict[str, Any] = setting("arm", factory=dict)
    compare: CompareConfig = setting("measure", factory=CompareConfig)
    search: SearchConfig = setting("measure", factory=SearchConfig)
    dial: str | None = setting("runtime", None)
    arm: ArmConfig = setting("arm", factory=ArmConfig)
    seed: int = setting("arm", 0, fits=fits.SEED)
    bootstrap: int = setting("measure", 2000, fits=fits.RESAMPLES)
    runs_dir: str = setting("runtime", "runs")
    device: str = setting("runtime", "auto", fits=fits.DEVICE)
    engine: str = setting("runtime", "auto", fits=fits.words("auto", "hf", "vllm"))
    shard: str | None = setting("runtime", None)
    only: list[str] = setting("runtime", factory=list, fits=fits.each(fits.TEXT))
    plugins: list[str] = setting("runtime", factory=list, fits=fits.each(fits.TEXT))
    config_dirs: list[str] = setting("runtime", factory=list, fits=fits.each(fits.TEXT))
