"""The commands for models at an endpoint: have one fine-tuned there, and put the grid's prompts to it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmgap.cli.parser import TABLE, command
from warmgap.disk.progress import say
from warmgap.engines import replies
from warmgap.errors import UserError

if TYPE_CHECKING:
    from warmgap.engines.base import Engine, Request
    from warmgap.settings.schema import GenerateConfig


def add(commands: Any) -> None:
    """Add both commands."""
    _add_hosted(commands)
    _add_answer(commands)


def _add_hosted(commands: Any) -> None:
    example = "warmgap hosted conversations.jsonl --persona warm --out hosted-warm model=NAME-DATE price_train=3"
    what = "fine-tune at a vendor's API or a compatible endpoint; stopped anywhere, the same command goes on"
    parser = command(commands, "hosted", _hosted, what, example)
    parser.add_argument("file", type=Path, help="conversations, as data.path takes them")
    parser.add_argument("--persona", required=True, help="which version of the replies, of conf/persona")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="the arm's folder")
    parser.add_argument(
        "settings", nargs="*", default=[], help="key=value for conf/method/hosted.yaml, such as max_cost=20"
    )


def _hosted(options: Any) -> int:
    from warmgap.settings import conf_files, config
    from warmgap.settings.command_schema import HostedConfig
    from warmgap.settings.schema import DataConfig, PersonaConfig
    from warmgap.train.hosted import job, order

    settings = config.settings(HostedConfig, "hosted", conf_files.choice("method", "hosted"), options.settings)
    persona = config.settings(PersonaConfig, "persona", conf_files.choice("persona", options.persona))
    data = DataConfig(name="file", path=str(options.file))
    made = job.train(order.order(settings, persona, data, options.out))
    spent = "unknown: no price_train is set" if made["spent"] is None else f"{made['spent']:.2f} US dollars"
    tokens = "an untold number of" if made["trained_tokens"] is None else f"{made['trained_tokens']:,}"
    print(f"trained on {tokens} tokens; cost {spent}")
    for epoch, name in made["epochs"].items():
        print(f"epoch {epoch}: {name}")
    if made["shutdown"]:
        print(f"shut down on {made['shutdown']}")
    print(f"model: {made['model']}")
    return 0


def _add_answer(commands: Any) -> None:
    example = "warmgap answer prompts.jsonl --out answers.jsonl --hosted hosted-warm price_in=3 price_out=12 max_cost=5"
    what = "have a model behind an endpoint answer the prompts that `warmgap prompts` writes"
    parser = command(commands, "answer", _answer, what, example)
    parser.add_argument("file", type=Path, help=f"{TABLE} with item_id and prompt, or messages")
    parser.add_argument("--out", required=True, type=Path, help=TABLE)
    parser.add_argument("--hosted", type=Path, metavar="DIR", help="ask the model that `warmgap hosted` has made there")
    parser.add_argument("--epoch", help="... as it was after this epoch, one of those in its model.json")
    parser.add_argument("--generate", default="study", help="how to answer, of conf/generate (default: study)")
    parser.add_argument(
        "settings", nargs="*", default=[], help="key=value for the endpoint, such as model=NAME-DATE base_url=…"
    )


def _answer(options: Any) -> int:
    from warmgap.disk import locks, store, tabular
    from warmgap.engines import client
    from warmgap.engines.base import Request
    from warmgap.engines.endpoint import EndpointEngine
    from warmgap.settings import conf_files, config
    from warmgap.settings.schema import EndpointConfig, GenerateConfig

    how = conf_files.choice("generate", options.generate)
    base = {"max_tokens": how["max_new_tokens"], "temperature": how["temperature"], "seed": how.get("seed", 0)}
    base |= {} if options.hosted is None else _made(options.hosted, options.epoch)
    settings = config.settings(EndpointConfig, "endpoint", base, options.settings)
    client.check(settings, "endpoint")
    client.check_key(settings)
    rows = tabular.read(options.file, ["item_id", "prompt"])
    tabular.check_target(options.out)
    journal = _beside(options.out, "journal")
    costs, handed_in = _beside(options.out, "costs"), _beside(options.out, "batches")
    engine = EndpointEngine(settings, "endpoint", costs=costs, batch_journal=handed_in)
    params = GenerateConfig(settings.max_tokens, settings.temperature or 0.0, settings.seed or 0)
    asked = [engine.encode(_messages(row)) for row in rows]
    keys = [engine.key(prompt, params) for prompt in asked]
    with locks.alone(options.out):
        done = store.journal_by_key(journal)
        requests = {key: Request(key, prompt) for key, prompt in zip(keys, asked, strict=True) if key not in done}
        failed = _ask(engine, list(requests.values()), params, done, journal, len(set(keys)))
        answered = [_row(row, done[key]) for key, row in zip(keys, rows, strict=True) if key in done]
        if not answered:
            raise UserError(
                "no prompt was answered", failed[0] if failed else f"{options.file} is empty", "mend the cause"
            )
        tabular.write(options.out, answered)
    for note in replies.unknown_reasons(row["finish_reason"] for row in answered):
        say(f"note: {note}")
    if failed:
        print(f"{len(rows) - len(answered)} prompts have no answer and are left out ({failed[0]})", file=sys.stderr)
        print("run again to ask for them once more", file=sys.stderr)
    print(f"{len(answered):,} answers: {options.out}")
    return 0


def _beside(out: Path, what: str) -> Path:
    """A hidden journal beside a file; it is kept, for what it holds was paid for."""
    return out.with_name(f".{out.name}.{what}.jsonl")


def _ask(
    engine: Engine,
    requests: Sequence[Request],
    params: GenerateConfig,
    done: dict[str, dict[str, Any]],
    journal: Path,
    total: int,
) -> list[str]:
    """Ask for what is missing, each answer on the disk as it comes; return why some did not."""
    from warmgap.disk import store
    from warmgap.disk.progress import bar

    failed = []
    with bar(f"answers · {engine.name}", total) as advance:
        advance(total - len(requests))
        for replies_ in engine.answer(requests, params):
            for reply in replies_:
                if reply.error:
                    failed.append(str(reply.error))
                else:
                    done[reply.key] = _kept(reply)
                    store.append(journal, [done[reply.key]])
                advance(1)
    return failed


def _made(folder: Path, epoch: str | None) -> dict[str, Any]:
    """The endpoint settings for what a folder of ``warmgap hosted`` holds."""
    from warmgap.disk import store

    made = store.read_sealed(folder / "model.json")
    texts = ("model", "job", "base_url", "key_env")
    whole = isinstance(made, dict) and all(isinstance(made.get(name), str) for name in texts)
    if not whole or not isinstance(made.get("epochs"), dict):
        why = "it has no whole model.json: nothing was trained there, or not to the end"
        raise UserError(f"{folder} holds no hosted model", why, "run warmgap hosted again: it goes on where it was")
    model = made["model"] if epoch is None else made["epochs"].get(epoch)
    if model is None:
        known = ", ".join(made["epochs"])
        raise UserError(f"no model of epoch {epoch}", f"the endpoint has kept {known}", "name one of these")
    revision = made.get("revision") or made["job"]  # whatever the endpoint calls the model, its weights are this job's
    return {"model": model, "revision": revision, "base_url": made["base_url"], "key_env": made["key_env"]}


def _messages(row: dict[str, Any]) -> list[dict[str, str]]:
    """The conversation of a row: its messages where the file can hold them, else the prompt as the user's turn."""
    given: Any = row.get("messages")
    given = given.tolist() if hasattr(given, "tolist") else given  # an array, from a parquet file
    if isinstance(given, list) and given:
        if not all(isinstance(message, dict) and {"role", "content"} <= message.keys() for message in given):
            fix = "give each message as an object with role and content, or leave messages out"
            raise UserError(f"the messages of {row['item_id']!r} cannot be read", "one has no role or content", fix)
        return [{"role": str(message["role"]), "content": str(message["content"])} for message in given]
    return [{"role": "user", "content": str(row["prompt"] or "")}]


def _kept(reply: Any) -> dict[str, Any]:
    """A reply as it is journalled and written."""
    row = {"key": reply.key, **replies.said(reply.text), "finish_reason": replies.finish_reason(reply.finish_reason)[0]}
    return {**row, "n_tokens": reply.n_tokens, "model": reply.model}


def _row(prompt: dict[str, Any], kept: dict[str, Any]) -> dict[str, Any]:
    """A prompt with its answer; ``warmgap grade`` takes it."""
    plain = {name: value for name, value in prompt.items() if name != "messages"}
    return {**plain, **{name: value for name, value in kept.items() if name != "key"}}
