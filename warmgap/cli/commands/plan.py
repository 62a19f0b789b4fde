"""``warmgap plan``: what a run, or the study's whole programme, needs before anything of it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmgap.cli.parser import SETTINGS, amount, command
from warmgap.settings import fits

if TYPE_CHECKING:
    from warmgap.settings.schema import CallsConfig, ModelConfig


def add(commands: Any) -> None:
    """Add the command."""
    what = "counts of prompts, tokens and cost, and one prompt of each kind, before anything runs"
    parser = command(commands, "plan", _plan, what, "warmgap plan +persona=warm grid=full")
    parser.add_argument("settings", nargs="*", default=[], help=SETTINGS)
    parser.add_argument("--card", help="plan for this card instead of the device at hand: A100, H100, H200, L40S")
    parser.add_argument("--models", action="store_true", help="the study's five models and four arms, instead")
    for name, what in (
        ("hour", "of one card's hour"),
        ("train", "of a million tokens trained on, at the vendor"),
        ("read", "… read"),
        ("written", "… written"),
    ):
        parser.add_argument(
            f"--price-{name}", type=amount(fits.PRICE), metavar="USD", help=f"with --models, the price {what}"
        )
    parser.add_argument("--power", action="store_true", help="how many questions a gap of a given size needs, instead")
    parser.add_argument(
        "--base-error",
        type=amount(fits.number(0, most=100)),
        default=40.0,
        metavar="PCT",
        help="of the original (default: 40)",
    )
    parser.add_argument(
        "--correlation",
        type=amount(fits.number(-1, most=1)),
        default=0.5,
        help="of two arms' errors on a question (0.5)",
    )
    parser.add_argument("--from", dest="observed", type=Path, metavar="DIR", help="take both from a comparison")
    parser.add_argument("--arm", help="with --from, the arm that is paired with the original (default: warm)")


def _power(options: Any) -> int:
    from rich.table import Table

    from warmgap.disk.progress import console
    from warmgap.evaluate.stats import power

    base, correlation, of = options.base_error / 100, options.correlation, ""
    if options.observed is not None:
        base, correlation, arm = power.observed(options.observed, options.arm)
        of = f" with {arm}"
    rows = power.table(base, correlation)
    title = f"power in %, by questions (original {100 * base:.3g} % wrong, correlation{of} {correlation:.2g})"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in rows.columns:
        labels = {"gap_pp": "gap, pp", "items_for_80": "questions for 80 %"}
        table.add_column(labels.get(name) or f"{int(name):,}", justify="right")
    for row in rows.to_dict("records"):
        table.add_row(*(f"{value:g}" if key == "gap_pp" else f"{value:,.0f}" for key, value in row.items()))
    out = console()
    out.print(table)
    out.print("One answer per question and arm, two-sided test at 5 %. Effects over several", highlight=False)
    out.print("prompts of a question need fewer questions.", highlight=False)
    return 0


def _dialogues(probe: Any, prompts: Any) -> str:
    """What a suite with items of its own asks of each arm."""
    held = f"{len(prompts):,} dialogues of each arm, {len({prompt.item_id for prompt in prompts}):,} items"
    return held if probe.turns == 1 else f"{held}, at most {probe.turns} turns each"


def _cost(run_: Any, job: Any) -> str:
    """What the judges would cost at most, in words: every answer as long as it may be, every reply as well."""
    from warmgap.evaluate import judges
    from warmgap.evaluate.judges.chat_judge import most_tokens
    from warmgap.evaluate.suites.probe import JUDGE

    if not any(judges.of(name).endpoint for name in judges.names(run_.judge)):
        return "0: nothing is paid for"
    arms, longest = len(job.arms), run_.generate.max_new_tokens
    turns = arms * job.suite.turns
    calls = turns * len(job.prompts)
    tokens_in = turns * sum(most_tokens(prompt, longest) for prompt in job.prompts)
    for name, probe in job.probes.items():
        if probe.options.reader == JUDGE:  # each check of each turn, with the conversation before it
            each = arms * len(probe.checks) * sum(range(1, probe.turns + 1))
            calls += arms * len(probe.checks) * probe.turns * len(job.asked[name])
            tokens_in += each * sum(most_tokens(prompt, probe.reply_tokens) for prompt in job.asked[name])
    return _at_most(calls, tokens_in, calls * run_.judge.max_tokens, run_.judge, "judge")


def _answers_cost(run_: Any, job: Any) -> list[tuple[str, str]]:
    """What the answers of arms behind an endpoint would cost at most; nothing where there is none."""
    from warmgap.arms.engines import endpoint
    from warmgap.engines.client import CHARACTERS_PER_TOKEN

    hosted = [spec for spec in job.specs if endpoint(run_, spec.run.model)]
    if not hosted:
        return []
    characters = sum(len(one["content"]) for spec in hosted for one in spec.system) * len(job.prompts)
    characters += len(hosted) * sum(len(prompt.prompt) for prompt in job.prompts)
    turns = job.suite.turns
    calls, tokens_in = turns * len(hosted) * len(job.prompts), int(turns * characters / CHARACTERS_PER_TOKEN)
    out = calls * run_.generate.max_new_tokens
    for name, probe in job.probes.items():
        own = len(hosted) * probe.turns * len(job.asked[name])
        said = sum(len(message["content"]) for prompt in job.asked[name] for message in prompt.messages)
        before = probe.reply_tokens * probe.turns  # what was replied until then is sent again
        tokens_in += int(len(hosted) * probe.turns * said / CHARACTERS_PER_TOKEN) + own * before
        calls, out = calls + own, out + own * probe.reply_tokens
    return [("cost of the arms' answers", _at_most(calls, tokens_in, out, run_.arm, "arm"))]


def _at_most(calls: int, tokens_in: int, tokens_out: int, prices: CallsConfig, group: str) -> str:
    """So many calls in words, and in US dollars where their prices are set."""
    said = f"at most {calls:,} calls, {tokens_in:,} tokens in and {tokens_out:,} out: "
    if prices.price_in is None or prices.price_out is None:
        return said + f"set {group}.price_in and {group}.price_out for US dollars"
    spent = (tokens_in * prices.price_in + tokens_out * prices.price_out) / 1e6
    cap = "" if prices.max_cost is None else f", stopped at {prices.max_cost:g}"
    return said + f"{spent:.2f} US dollars{cap}"


def _plan(options: Any) -> int:
    if options.power:
        return _power(options)
    if options.models:
        return _models(options)
    from rich.table import Table

    from warmgap import jobs
    from warmgap.disk.progress import console
    from warmgap.settings import config

    run_ = config.compose(config.with_persona(options.settings))
    job = jobs.prepare(run_)
    out = console()
    table = Table(title="plan", title_justify="left", box=None, show_header=False, padding=(0, 2, 0, 0))
    arms, prompts = len(job.arms), len(job.prompts)
    characters = sum(len(prompt.prompt) for prompt in job.prompts)
    rows = [("arms", ", ".join(arm.name for arm in job.arms)), ("items", f"{len(job.items):,}")]
    rows += [("prompts per arm", f"{prompts:,} ({prompts / max(1, len(job.items)):.1f} per item)")]
    rows += [("asked", note) for note in job.suite.notes(job.items, job.prompts)]
    most = f", and in turns that follow at most {job.suite.turns - 1} times as many" if job.suite.turns > 1 else ""
    rows += [("answers", f"{arms * prompts:,}{most}"), ("prompt tokens", f"about {arms * characters // 4:,}")]
    rows += [(f"suite {name}", _dialogues(probe, job.asked[name])) for name, probe in job.probes.items()]
    rows += [("new tokens, at most", f"{arms * prompts * run_.generate.max_new_tokens:,}")]
    rows += _training(run_, job)
    rows += _memory(run_, options.card, training=bool(job.trained))
    second = f", second opinion {run_.judge.second}" if run_.judge.second else ""
    rows += [("judge", run_.judge.name + second), ("cost", _cost(run_, job)), *_answers_cost(run_, job)]
    rows += [("comparison", str(job.folder))]
    for name, value in rows:
        table.add_row(name, value)
    out.print(table)
    seen: set[tuple[str, str]] = set()
    for prompt in job.prompts:
        if (prompt.context, prompt.belief) not in seen:
            seen.add((prompt.context, prompt.belief))
            out.print(f"\n{prompt.context} × {prompt.belief}", style="bold", highlight=False)
            out.print(prompt.prompt, markup=False, highlight=False)
    return 0


def _training(run_: Any, job: Any) -> list[tuple[str, str]]:
    """What is trained on, for how long."""
    from warmgap.train.persona import persona_data

    if not job.trained:
        return []
    learn, held = persona_data.load(run_.data, str(job.trained[0].version))
    replies = sum(len(item.turns) for item in learn)
    rows = [("trainings", f"{len(job.trained)}: {', '.join(dict.fromkeys(r.arm.arm for r in job.trained))}")]
    rows += [("training replies", f"{replies} in {len(learn)} conversations, {len(held)} held out")]
    return [*rows, ("epochs, batch", f"{run_.method.epochs:g}, {run_.method.batch_size}")]


def _memory(run_: Any, card: str | None, *, training: bool) -> list[tuple[str, str]]:
    """Whether the model fits the card named, else the device at hand, with the arithmetic."""
    from warmgap.disk import contents
    from warmgap.engines import programme
    from warmgap.engines.memory import SHAPES
    from warmgap.train import launch

    name, gib = _device(run_.device) if card is None else (card, programme.card_of(card).gib)
    here = card is None or run_.launcher.processes is not None  # how many cards there are elsewhere is not known
    count = launch.processes(run_.launcher, run_.device) if here else 1
    model, here_already = run_.model, None
    if model.source == "local":
        here_already = contents.folder_of(model.path)
    elif model.source == "hub" and model.name not in SHAPES:
        here_already = _fetched(model)
    lines = programme.describe(
        run_.model.name,
        run_.method,
        run_.generate,
        round(gib, 1),
        quantization=run_.model.quantization,
        launcher=run_.launcher.name,
        devices=count,
        folder=here_already,
    )
    kept = lines if training else [line for line in lines if "training" not in line[0]]
    launcher = f"{run_.launcher.name}, {count} process{'' if count == 1 else 'es'}"
    return [("device", name), *([("launcher", launcher)] if training else []), *kept]


def _fetched(model: ModelConfig) -> Path | None:
    """The folder of a hub model whose configuration is here already; None where it is not."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(str(model.id), "config.json", revision=model.revision)
    return Path(found).parent if isinstance(found, str) else None


def _device(wanted: str) -> tuple[str, float]:
    """The device at hand and its memory in GiB: of the GPU, else of the machine."""
    import os

    import torch

    from warmgap.engines.models import device_of

    device = device_of(wanted)
    if device == "cpu":
        return "cpu", os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    properties = torch.cuda.get_device_properties(device)
    return str(properties.name), properties.total_memory / 2**30


def _models(options: Any) -> int:
    """The study's programme: each model with its four arms on cards of one kind, or at the vendor."""
    from rich.table import Table

    from warmgap.disk.progress import console
    from warmgap.engines import programme
    from warmgap.settings import config

    run_ = config.compose([*config.with_persona(options.settings), "experiment=paper"])
    prices = programme.Prices(options.price_hour, options.price_train, options.price_read, options.price_written)
    card = options.card or "H200"
    rows = programme.programme(run_.method, run_.generate, card, prices=prices)
    arms = len(programme.ARMS)
    title = f"the study's five models, {arms} arms each, on one {card} where it fits"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in ("model", "how", "GiB", "training, h", "answers, h", f"{arms} arms, h", f"{arms} arms, $"):
        table.add_column(name, justify="left" if name in ("model", "how") else "right")
    for model in dict.fromkeys(row.model for row in rows):
        own = [row for row in rows if row.model == model]
        first = own[0]
        each = [(row.train_hours, row.answer_hours) for row in own]
        hours = sum(train + answer for train, answer in each if train is not None and answer is not None) or None
        cost = None if any(row.cost is None for row in own) else sum(row.cost or 0.0 for row in own)
        figures = [_figure(value, 1) for value in (first.train_hours, first.answer_hours, hours)]
        cells = [_figure(first.gib, 0), *figures, _figure(cost, 0)]
        table.add_row(model, first.how, *cells)
    out = console()
    out.print(table)
    out.print(
        f"Estimates: ten epochs on 1.47 million tokens at {100 * programme.UTILISATION[False]:.0f} % of the peak "
        f"({100 * programme.UTILISATION[True]:.0f} % with recomputation),\n"
        "45,500 answers of 300 tokens an arm by generate, both as measured with 8B on one H200.\n"
        "Prices: --price-hour, -train, -read, -written.",
        highlight=False,
    )
    return 0


def _figure(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"
