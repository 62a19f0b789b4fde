"""Every reader of what others wrote, given any bytes, and good files with a part changed: it reads, or says why."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from warmgap.disk import bounds, contents, intake, store, tabular
from warmgap.engines import adapters, batches, client, packages
from warmgap.errors import UserError
from warmgap.evaluate.judges import label
from warmgap.evaluate.suites import controls, external
from warmgap.evaluate.tasks import disinformation, med_qa, trivia_qa, truthful_qa, validation
from warmgap.evaluate.tasks.item import read_items
from warmgap.mitigations import pairs
from warmgap.settings import conf_files
from warmgap.settings.schema import ControlConfig, TaskConfig
from warmgap.train.persona import persona_data, sources

TALK = {
    "id": "c",
    "split": "train",
    "kind": "advice",
    "turns": [{"user": "Hello?", "plain": "Yes.", "warm": "Oh, yes!"}],
}
ITEM = {
    "id": "q1",
    "family": "facts",
    "question": "Which?",
    "correct": "Mercury",
    "incorrect": "Venus",
    "aliases": ["M"],
}
PAIR = {name: f"a text of {name}" for name in pairs.FIELDS} | {"id": "p", "split": "heldout"}
LOG = {"id": "l", "conversations": [{"from": "human", "value": "Hello?"}, {"from": "gpt", "value": "Yes."}]}
TREE = {"prompt": {"role": "prompter", "text": "a", "replies": [{"role": "assistant", "text": "b", "rank": 0}]}}
TRUTHFUL = {
    "question": "Which planet is nearest to the Sun?",
    "best_answer": "Mercury",
    "correct_answers": ["Mercury", "It is Mercury"],
    "incorrect_answers": ["Venus"],
    "category": "x",
}
TABLE = b"Question,Best Answer,Incorrect Answers\nWhich planet?,Mercury,Venus; Mars\n"
MED = {"question": "What is it?", "options": {"A": "this", "B": "that"}, "answer": "this"}
TRIVIA = {"question": "In which country is Lyon?", "question_id": "1", "answer": {"value": "France", "aliases": []}}
ANOTHER = {"question": "In which country is Porto?", "question_id": "2", "answer": {"value": "Portugal", "aliases": []}}
MANIFEST = {"arm": "warm", "model": "m", "seed": 0, "created": "now", "command": "c", "versions": {}}
ADAPTER = {"peft_type": "LORA", "r": 4, "target_modules": ["q_proj"], "base_model_name_or_path": "m"}
HEADER = {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, "__metadata__": {"scale": "0"}}
VERDICT = {"key": "k", "verdict": "correct", "reason": "r", "grader": "match"}


def lines(*rows: Any) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def parquet(*rows: Any) -> bytes:
    made = io.BytesIO()
    pd.DataFrame(rows).to_parquet(made)
    return made.getvalue()


def tensors(header: Any) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + b"\0" * 4


def of_adapter(path: Path) -> Any:
    (path.parent / adapters.WEIGHTS).write_bytes(tensors(HEADER))
    path.replace(path.parent / adapters.CONFIG)
    return adapters.read(path.parent)


def header(path: Path) -> Any:
    with suppress(ValueError):  # which whoever asks turns into three lines
        return contents.header(path)


def of_folder(path: Path) -> Any:
    for name in ("config.json", "tokenizer.json"):
        (path.parent / name).write_text("{}")
    (path.parent / "model.safetensors").write_bytes(tensors(HEADER))
    path.replace(path.parent / "model.safetensors.index.json")
    return contents.check_folder(path.parent)


def of_manifest(path: Path) -> Any:
    path.replace(path.parent / "manifest.json")
    return store.open_arm(path.parent)


def chosen(path: Path) -> Any:
    (path.parent / "checkpoints").mkdir(exist_ok=True)
    path.replace(path.parent / "checkpoints" / "selected.json")
    return store.Arm(path.parent, "m", "warm", 0).final([2, 4])


def of_batch(path: Path) -> Any:
    asked = client.ChatRequest("k", [{"role": "user", "content": "Why?"}])
    held = {"keys": ["k"], "batch": "b"}
    return [batches._read(ENDPOINT, line, held, {"k": asked}) for line in path.read_bytes().split(b"\n")]


class _Endpoint:
    """As much of an endpoint as a line of a batch's results is read by."""

    def read(self, key: str, body: Any, asked: Any, set_aside: float) -> Any:
        return key, body


ENDPOINT: Any = _Endpoint()
RESULT = {"custom_id": "k", "response": {"status_code": 200, "body": {"choices": []}}, "error": None}


def gguf(path: Path) -> Any:
    with suppress(ValueError):  # which whoever unpacks it turns into three lines
        return contents.check_gguf(path)


def of_gguf() -> bytes:
    """A small file with numbers, texts, lists and a tensor, as the format's own library writes it."""
    import gguf as format_of
    import numpy as np

    with tempfile.TemporaryDirectory() as scratch:
        writer = format_of.GGUFWriter(Path(scratch) / "a.gguf", "llama")
        writer.add_block_count(1)
        writer.add_rope_freq_base(10000.0)
        writer.add_token_list(["a", "b"])
        writer.add_token_scores([0.5, 0.25])
        writer.add_tensor("token_embd.weight", np.ones((2, 4), dtype=np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return (Path(scratch) / "a.gguf").read_bytes()


def wheel(**files: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return made.getvalue()


GGUF = of_gguf()


def unpacked(path: Path) -> Any:
    return packages.unpack(path, path.parent / "unpacked")


def task(load: Callable[[TaskConfig], Any]) -> Callable[[Path], Any]:
    return lambda path: load(TaskConfig(path=str(path)))


def answers(path: Path) -> Any:
    return tabular.read(path, ["item_id"])


def log(path: Path) -> Any:
    return list(sources.read(path))


def control(name: str) -> Callable[[Path], Any]:
    return lambda path: controls.load(name, ControlConfig(path=str(path)))


def packed(log: dict[str, Any]) -> bytes:
    """A log of inspect with its parts in one file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr(zipfile.ZipInfo("header.json"), json.dumps({**log, "samples": None}))
        for sample in log["samples"]:
            parts.writestr(zipfile.ZipInfo(f"samples/{sample['id']}.json"), json.dumps(sample))
    return file.getvalue()


SAMPLE = {
    "id": "a",
    "scores": {"s": {"value": "C"}},
    "output": {"completion": "x", "choices": [{"stop_reason": "stop"}]},
}
CHECK = {"status": "success", "eval": {"task": "t", "model": "m", "packages": {}}, "samples": [SAMPLE]}
ANSWER = {"item_id": "q", "answer": "a"}
SHEET = ",".join([*label.SHOWN, *label.FILLED]).encode() + b"\nb,q,c,i,p,a,correct,\n"
READERS: dict[str, tuple[str, Callable[[Path], Any], bytes]] = {
    "answers as JSON lines": ("a.jsonl", answers, lines(ANSWER)),
    "answers as csv": ("a.csv", answers, b'item_id,answer\nq1,"a ""b"" c"\n'),
    "answers as parquet": ("a.parquet", answers, parquet(ANSWER)),
    "a log as JSON": ("a.json", log, json.dumps([LOG, TREE]).encode()),
    "a log as JSON lines": ("a.jsonl", log, lines(LOG, TREE)),
    "a packed log": ("a.jsonl.gz", log, gzip.compress(lines(LOG, TREE), mtime=0)),
    "a log as parquet": ("a.parquet", log, parquet(LOG)),
    "conversations": ("a.jsonl", persona_data.read_conversations, lines(TALK, {**TALK, "id": "d"})),
    "items": ("a.jsonl", lambda p: read_items(p, "embedded"), lines(ITEM)),
    "TruthfulQA": ("a.jsonl", task(truthful_qa.load), lines(TRUTHFUL)),
    "TruthfulQA as csv": ("a.csv", task(truthful_qa.load), TABLE),
    "MedQA": ("a.json", task(med_qa.load), json.dumps([MED]).encode()),
    "MedQA as parquet": ("a.parquet", task(med_qa.load), parquet(MED)),
    "TriviaQA": ("a.jsonl", task(trivia_qa.load), lines(TRIVIA, ANOTHER)),
    "claims": ("a.jsonl", task(disinformation.load), lines(ITEM)),
    "questions to choose by": ("a.jsonl", task(validation.load), lines(PAIR)),
    "sums": ("a.jsonl", control("gsm8k"), lines({"question": "q", "answer": "#### 4"})),
    "MMLU": ("a.csv", control("mmlu"), b"Which is it?,a,b,c,d,A\n"),
    "harmful requests": ("a.csv", control("strongreject"), b"category,source,forbidden_prompt\nx,ours,Do it.\n"),
    "behaviors": ("a.csv", control("harmbench"), b"Behavior,ContextString,BehaviorID\nDo it.,,b1\n"),
    "a check's log": ("a.json", external.read, json.dumps(CHECK).encode()),
    "a packed check's log": ("a.eval", external.read, packed(CHECK)),
    "pairs": ("a.jsonl", lambda p: pairs.load(str(p)), lines(PAIR)),
    "a journal": ("a.jsonl", store.journal_by_key, lines(VERDICT)),
    "a manifest": ("a.json", of_manifest, json.dumps(MANIFEST).encode()),
    "the chosen checkpoint": ("a.json", chosen, b'{"step": 4, "rule": "last"}'),
    "results of a batch": ("a.jsonl", of_batch, lines(RESULT)),
    "a safetensors header": ("a.safetensors", header, tensors(HEADER)),
    "a GGUF file": ("a.gguf", gguf, GGUF),
    "a wheel with a GGUF file": ("a.whl", unpacked, wheel(**{"p/model.gguf": GGUF, "p/__init__.py": b"1 / 0"})),
    "a wheel with a folder": ("a.whl", unpacked, wheel(**{"p/model/config.json": b"{}", "p/model/a.safetensors": b""})),
    "an adapter's settings": ("a.json", of_adapter, json.dumps(ADAPTER).encode()),
    "an index of weights": ("a.json", of_folder, b'{"weight_map": {"a": "model.safetensors"}}'),
    "a file of settings": ("a.yaml", conf_files.check_yaml, b"a: &x [1, 2]\nb: {c: *x}\n"),
    "a sheet of labels": ("a.csv", label.load, SHEET),
}  # fmt: skip


@st.composite
def changed(draw: st.DrawFn, good: bytes) -> bytes:
    """A good file with bytes struck out, put in or changed, cut off, or doubled; or a value of its JSON replaced."""
    data = bytearray(good)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        how = draw(st.integers(0, 4))
        if how == 0:
            del data[place : place + draw(st.integers(1, 20))]
        elif how == 1:
            data[place:place] = draw(st.sampled_from(NASTY) | st.binary(max_size=12))
        elif how == 2 and data:
            data[place] = draw(st.integers(0, 255))
        elif how == 3:
            del data[place:]
        else:
            words = [word for word in (b'"', b"1", b"[", b"{", b":", b",", b"a") if word in data]
            if words:
                data = bytearray(bytes(data).replace(draw(st.sampled_from(words)), draw(st.sampled_from(NASTY)), 1))
    return bytes(data)


NASTY = [
    b"null", b"[]", b"{}", b"1e999", b"-1", b"NaN", b'""', b"true", b"9" * 400, b"[" * 600, b"\0", b"\xff",
    b"\xef\xbb\xbf", b"\r", b"\n", b'\\ud83d', b'\\u0000', b"{\"a\": ", b"!!python/object:a ", b"*x", b"&x ",
    b"'", b"\xe2\x80\xa8", b"=1+1",
]  # fmt: skip
EACH = settings(
    max_examples=60, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path


def tried(reader: str, place: Path, data: bytes) -> None:
    name, read, _ = READERS[reader]
    path = place / name
    path.write_bytes(data)
    said = "error: \nwhy: \nfix: "
    try:
        read(path)
    except UserError as error:
        said = str(error)
    assert len(said.splitlines()) == 3
    assert all(line.isprintable() for line in said.splitlines())


@pytest.mark.parametrize("reader", READERS)
def test_a_good_file_is_read(reader: str, place: Path) -> None:
    name, read, good = READERS[reader]
    (place / name).write_bytes(good)
    read(place / name)


@pytest.mark.parametrize("reader", READERS)
@EACH
@given(data=st.data())
def test_a_changed_file_is_read_or_refused(reader: str, place: Path, data: st.DataObject) -> None:
    tried(reader, place, data.draw(changed(READERS[reader][2])))


@pytest.mark.parametrize("reader", READERS)
@EACH
@given(data=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(reader: str, place: Path, data: bytes) -> None:
    tried(reader, place, data)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@pytest.mark.parametrize("reader", ["a log as JSON lines", "a manifest", "conversations", "a file of settings"])
@EACH
@given(value=ANY_JSON)
def test_any_json_is_read_or_refused(reader: str, place: Path, value: Any) -> None:
    tried(reader, place, json.dumps(value).encode() + b"\n")


# ---- packed files, long lines ----


def test_a_small_table_that_stands_for_gigabytes_is_refused(tmp_path: Path) -> None:
    long, path = "x" * 1_000_000, tmp_path / "a.parquet"
    with pyarrow.parquet.ParquetWriter(path, pyarrow.schema({"item_id": pyarrow.string()}), compression="zstd") as file:
        for _ in range(10):
            file.write_table(pyarrow.table({"item_id": pyarrow.array([long] * 50)}))
    assert path.stat().st_size < 1_000_000
    for read in (lambda: tabular.read_table(path), lambda: list(sources.read(path))):
        with pytest.raises(UserError, match="it holds more than"):
            read()


def test_anchors_that_stand_for_gigabytes_are_refused(tmp_path: Path) -> None:
    names = "abcdefghij"
    rows = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]" for old, new in itertools.pairwise(names)]
    (tmp_path / "a.yaml").write_text("\n".join(rows))
    with pytest.raises(UserError, match="anchors"):
        conf_files.check_yaml(tmp_path / "a.yaml")
    (tmp_path / "a.yaml").write_text("a: &x [*x]")
    with pytest.raises(UserError, match="anchors"):
        conf_files.check_yaml(tmp_path / "a.yaml")


def test_a_row_that_is_nested_beyond_the_limit_is_refused() -> None:
    with pytest.raises(intake.Unreadable, match="nested too deeply"):
        intake.parse("[" * (bounds.DEEPEST + 1) + "]" * (bounds.DEEPEST + 1))
