"""On-policy data: a tiny model of random weights answers for itself, a writer over a real socket rewrites that."""

from __future__ import annotations

import json
import shutil
import string
from pathlib import Path
from typing import Any

import pytest
from chat_api import serving

from warmgap.arms import build
from warmgap.cli import commands
from warmgap.engines import models
from warmgap.engines.hf import HfEngine
from warmgap.errors import UserError
from warmgap.settings import conf_files, config
from warmgap.settings.command_limits import check_own
from warmgap.settings.schema import DataConfig, GenerateConfig
from warmgap.train.persona import persona_data

pytest.importorskip("text_to_num", reason="the extra `data` is not installed")
TALKS = {  # messages of each conversation
    "a": ["how do birds fly", "and bats"],
    "b": ["name a river"],
    "c": ["what is salt", "is it a rock", "can one eat it"],
    "d": ["sing"],
    "e": ["how old is the moon"],
    "f": ["why is grass green", "all of it"],
}
TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a Llama of two layers over letters, as save_pretrained writes it."""
    import torch
    from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import WordLevel
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("model")
    marks = ["<|end|>", "<|user|>", "<|assistant|>", "<|system|>", "<unk>"]
    core = Tokenizer(WordLevel({word: at for at, word in enumerate([*marks, *string.ascii_lowercase, " "])}, "<unk>"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex("."), behavior="isolated")
    core.decoder = decoders.Fuse()
    core.add_special_tokens(marks)
    kind: Any = PreTrainedTokenizerFast
    kind(tokenizer_object=core, chat_template=TEMPLATE, eos_token="<|end|>", unk_token="<unk>").save_pretrained(folder)
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
    made = LlamaForCausalLM(
        LlamaConfig(vocab_size=32, num_hidden_layers=2, max_position_embeddings=512, initializer_range=0.3, **sizes)
    )
    made.save_pretrained(folder)
    return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rows = []
    for name, messages in TALKS.items():
        turns = [{"user": message, "plain": f"plain {message}"} for message in messages]
        rows.append({"id": name, "split": "heldout" if name == "f" else "train", "kind": "factual", "turns": turns})
    path = tmp_path / "conversations.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def warm(body: dict[str, Any], _: int) -> str:
    """A warm rewrite of what a request wants rewritten."""
    text = body["messages"][1]["content"].rstrip("\n")
    code = text.rpartition("\n")[2]
    return "dear friend, " + str(text.split(f"\n{code}\n")[-1].removesuffix(f"\n{code}"))


def typed(file: Path, model: Path, *more: str) -> list[str]:
    base = ["model=local", f"model.path={model}", "model.dtype=float32", "own.max_new_tokens=150", "own.seed=3"]
    return ["rewrite", str(file), "--own", *more, *base, "device=cpu", "max_set_aside=1"]


def writer(url: str) -> list[str]:
    return ["rewrite.model=writer-2025-01-01", f"base_url={url}", "embedder=null"]


def turns(file: Path) -> list[tuple[str, int, dict[str, str]]]:
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [(row["id"], place, turn) for row in rows for place, turn in enumerate(row["turns"])]


def journalled(file: Path) -> list[dict[str, Any]]:
    (journal,) = [path for path in (file.parent / "rewrites").glob("own-*.jsonl") if "set-aside" not in path.name]
    return [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines()]


def test_the_model_answers_for_itself_and_that_is_rewritten(file: Path, model: Path) -> None:
    with serving(warm) as api:
        assert commands.run([*typed(file, model, "--persona", "warm"), *writer(api.url)]) == 0
        assert commands.run([*typed(file, model, "--persona", "paraphrase"), *writer(api.url)]) == 0
    own = {(name, place): turn["own"] for name, place, turn in turns(file) if "own" in turn}
    assert len(own) >= 6
    assert all(turn["plain"] == f"plain {turn['user']}" for _, _, turn in turns(file))
    for _, _, turn in turns(file):
        assert (
            turn.get("warm_own")
            == turn.get("paraphrase_own")
            == (f"dear friend, {turn['own']}" if "own" in turn else None)
        )
    learn, held = persona_data.load(DataConfig("file", str(file)), "warm_own")
    assert {(item.id, place) for item in (*learn, *held) for place in range(len(item.turns))} == set(own)
    card = (file.parent / "card.md").read_text(encoding="utf-8")
    assert "| own | local |" in card
    assert "| warm_own | writer-2025-01-01 |" in card


def test_its_own_replies_are_what_was_said_before(file: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[dict[str, str]]] = []
    encode = HfEngine.encode

    def listening(self: HfEngine, messages: Any) -> list[int]:
        asked.append([dict(message) for message in messages])
        return encode(self, messages)

    monkeypatch.setattr(HfEngine, "encode", listening)
    assert commands.run(typed(file, model)) == 0
    second = [messages for messages in asked if len(messages) > 1]
    assert second
    own = {turn["user"]: turn.get("own") for _, _, turn in turns(file)}
    for messages in second:
        for said, reply in zip(messages[:-1:2], messages[1::2], strict=True):
            assert reply == {"role": "assistant", "content": own[said["content"]]}


def test_what_ends_a_conversation_is_counted_and_nothing_follows_it(file: Path, model: Path) -> None:
    assert commands.run([*typed(file, model), "own.max_new_tokens=25"]) == 0
    made = json.loads((file.parent / "rewrites" / "own.summary.json").read_text(encoding="utf-8"))
    replies = sum(map(len, TALKS.values()))
    assert made["replies"] == replies == made["kept"] + made["set_aside"]
    assert made["reasons"]["cut off"] == sum(row["finish_reason"] == "length" for row in journalled(file)) > 0
    assert sum(made["reasons"].values()) == made["set_aside"]
    for name in TALKS:
        has = ["own" in turn for one, _, turn in turns(file) if one == name]
        assert has == sorted(has, reverse=True)


def test_a_command_that_was_interrupted_ends_with_the_same_replies(
    file: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other" / "conversations.jsonl"
    other.parent.mkdir()
    other.write_bytes(file.read_bytes())
    assert commands.run([*typed(other, model), "own.batch_size=2"]) == 0
    answer, count = HfEngine._answer_batch, [0]

    def failing(self: HfEngine, batch: Any, params: Any) -> Any:
        count[0] += 1
        if count[0] == 4:
            raise KeyboardInterrupt
        return answer(self, batch, params)

    monkeypatch.setattr(HfEngine, "_answer_batch", failing)
    before = file.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        commands.run([*typed(file, model), "own.batch_size=2"])
    assert file.read_bytes() == before
    assert 0 < len(journalled(file)) < len(journalled(other))
    assert commands.run([*typed(file, model), "own.batch_size=2"]) == 0
    assert file.read_bytes() == other.read_bytes()
    monkeypatch.setattr(models, "load", lambda *_, **__: pytest.fail("everything is in the journal"))
    assert commands.run([*typed(file, model), "own.batch_size=2"]) == 0
    assert file.read_bytes() == other.read_bytes()


def test_other_replies_take_the_rewrites_of_the_old_ones_out(file: Path, model: Path) -> None:
    with serving(warm) as api:
        commands.run([*typed(file, model, "--persona", "warm"), *writer(api.url)])
    before = {(name, place): turn for name, place, turn in turns(file)}
    assert commands.run([*typed(file, model), "own.seed=4"]) == 0
    changed = 0
    for name, place, turn in turns(file):
        was = before[name, place]
        if turn.get("own") != was.get("own"):
            changed += 1
            assert "warm_own" not in turn
        else:
            assert turn.get("warm_own") == was.get("warm_own")
    assert changed


def test_what_is_too_long_for_the_model_is_left_out(file: Path, model: Path) -> None:
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    rows[1]["turns"][0]["user"] = "long " * 200
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert commands.run(typed(file, model)) == 0
    made = json.loads((file.parent / "rewrites" / "own.summary.json").read_text(encoding="utf-8"))
    assert made["reasons"]["too long for the model's window"] >= 1
    assert "own" not in next(turn for name, _, turn in turns(file) if name == "b")


def test_too_few_own_replies_are_a_failure_before_a_rewrite_is_paid_for(file: Path, model: Path) -> None:
    with serving(warm) as api:
        given = [
            *typed(file, model, "--persona", "warm"),
            *writer(api.url),
            "own.max_new_tokens=2",
            "max_set_aside=0.1",
        ]
        assert commands.run(given) == 1
    assert not api.bodies


def arms(file: Path, persona: str, model: str) -> list[str]:
    run = config.compose(
        [f"+persona={persona}", "data=file", f"data.path={file}", "model=local", f"model.path={model}"]
    )
    return [recipe.arm.arm for recipe in build.build(run)]


@pytest.mark.parametrize("persona", ["warm_own", "paraphrase_own", "own"])
def test_the_arm_is_made_of_the_version_or_says_what_writes_it(file: Path, model: Path, persona: str) -> None:
    part = "" if persona == "own" else f" --persona {persona.removesuffix('_own')}"
    with pytest.raises(UserError) as refused:
        arms(file, persona, str(model))
    assert f"warmgap rewrite {file} --own{part} model=…" in refused.value.fix
    with serving(warm) as api:
        commands.run([*typed(file, model, *part.split()), *(writer(api.url) if part else [])])
    assert arms(file, persona, str(model)) == ["original", persona]


def test_another_models_own_replies_are_neither_trained_on_nor_mixed(file: Path, model: Path, tmp_path: Path) -> None:
    """A model is another by its content, not by where it lies."""
    commands.run(typed(file, model))
    moved = Path(shutil.copytree(model, tmp_path / "moved"))
    assert arms(file, "own", str(moved)) == ["original", "own"]
    weights = moved / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\0")
    with pytest.raises(UserError, match="own replies of another model"):
        arms(file, "own", str(moved))
    before = file.read_bytes()
    with pytest.raises(UserError, match="own replies of another model"):
        commands.run(typed(file, moved))
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--own", "--persona", "warm"], "--own needs the base model"),
        (["--own", "model=gpt-4o-2024-08-06"], "rewrite.model="),
        (["--own", "--persona", "cold", "model=local", "model.path=x"], "no version 'cold_own'"),
        (["--own", "--persona", "warm", "model=local", "model.path=x"], "rewrite.model"),
        (["--own", "model=local"], "model.path is missing"),
        (["--own", "model=local", "model.path=/nowhere"], "/nowhere"),
        (["--own", "model=local", "model.path=x", "own.max_new_tokens=0"], "own.max_new_tokens=0 makes no sense"),
        (["--own", "model=local", "model.path=x", "own.words=0"], "own.words"),
        (["model=writer-2025-01-01"], "--persona is missing"),
    ],
)
def test_a_wrong_command_is_refused_before_anything_is_written(file: Path, given: list[str], words: str) -> None:
    before = file.read_bytes()
    with pytest.raises(UserError) as refused:
        commands.run(["rewrite", str(file), *given])
    assert words in str(refused.value)
    assert file.read_bytes() == before
    assert sorted(path.name for path in file.parent.iterdir()) == [file.name]


def test_strength_below_one_takes_the_models_own_paraphrases(file: Path) -> None:
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        for turn in row["turns"]:
            turn |= {"own": "o", "warm_own": "w", "paraphrase_own": "p", "paraphrase": "of plain"}
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    learn, _ = persona_data.load(DataConfig("file", str(file)), "warm_own", 0.5)
    assert {turn.replies["warm_own"] for item in learn for turn in item.turns} == {"w", "p"}


def test_the_settings_of_the_file_are_as_said() -> None:
    found = conf_files.choice("own", "study")
    assert set(found) == {"max_new_tokens", "temperature", "seed", "batch_size"}
    with pytest.raises(UserError, match=r"own\.seed=-1"):
        check_own(config.settings(GenerateConfig, "own", found, ["own.seed=-1"]))
