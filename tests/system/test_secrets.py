"""Secrets are in nothing that whole runs leave or print: one in each place where it can be typed, every file searched.

The server takes the keys, and quotes them in its errors, as some do.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chat_api
import hosted_api
import pandas as pd
import pytest
from fake_server import Failure
from real_runs import TINY, Done, Runs, refused, train, warmgap

SMALL = ("data.max_conversations=6", "task.embedded.items_per_family=1", "warmth.prompts=4", "bootstrap=100")
CHAT = ("model=m-2025-01-01", "retries=0", "price_in=1", "price_out=2")
PLANTED = {  # what is planted where; none is part of another, and only some look like what they are
    "the variable that key_env names": "aaaa1111OfNoSuchLook",
    "another name for one": "bbbb2222ofTheJudge",
    "the password of an address": "cccc3333Password",
    "the user of an address": "dddd4444User",
    "the query of an address": "eeee5555Query",
    "a setting of the trainer": "ffff6666HubToken",
    "a variable of Weights & Biases": "0123456789abcdef0123456789abcdef01234567",
    "a variable of the hub": "hf_gggg7777OfTheEnvironment",
    "the remote of the folder's own repository": "ghp_hhhh8888OfTheRemote00000000000000",
    "a line of a job": "iiii9999OfASetupLine",
    "a key typed for the name of its variable": "sk-jjjj0000TypedByMistake",
}
ENVIRONMENT = {
    "WAY_IN": PLANTED["the variable that key_env names"],
    "HF_TOKEN": PLANTED["a variable of the hub"],
    "WANDB_API_KEY": PLANTED["a variable of Weights & Biases"],
    "WANDB_MODE": "offline",
    "MINE": PLANTED["a setting of the trainer"],
    "SECOND": PLANTED["another name for one"],
}


def spoken(body: dict[str, Any], _: int) -> str | Failure:
    """A reply that is of use to whoever asks; one request in four is refused with the key in the words."""
    text = json.dumps(body)
    if len(text) % 4 == 0:
        key = ENVIRONMENT["SECOND" if body["model"].startswith("judge") else "WAY_IN"]
        return Failure(500, f"Incorrect key provided: {key}, at /v1?api_key={PLANTED['the query of an address']}")
    if "response_format" in body:
        return json.dumps({"reason": "it says so", "verdict": "correct"})
    return "I'm glad that you ask. It is Paris, I would say to a friend."


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Done]]:
    """Every kind of command that takes an address or a key, in one folder, and what each has said."""
    place = tmp_path_factory.mktemp("planted")
    (place / "home").mkdir()
    token = PLANTED["the remote of the folder's own repository"]
    remote = f"https://me:{token}@github.com/me/mine.git"
    for command in (["init", "-q"], ["remote", "add", "origin", remote]):
        subprocess.run(["git", *command], cwd=place, check=True)
    with chat_api.serving(spoken) as api, hosted_api.serving() as hosted:
        done = _typed(place, _secret(api.url), _secret(hosted.url))
    assert f"Bearer {ENVIRONMENT['WAY_IN']}" not in api.keys, "the name and password go in its place"
    assert all(key.startswith("Basic ") for key in api.keys)
    assert {path.partition("?")[2] for path in api.addresses} == {f"api_key={PLANTED['the query of an address']}"}
    return place, done


def _secret(url: str) -> str:
    user, password = PLANTED["the user of an address"], PLANTED["the password of an address"]
    return f"{url.replace('://', f'://{user}:{password}@')}?api_key={PLANTED['the query of an address']}"


def _typed(place: Path, url: str, hosted: str) -> dict[str, Done]:
    own = {"cwd": place, **ENVIRONMENT, "HOME": str(place / "home")}
    judge = (
        "judge=openai",
        f"judge.base_url='{url}'",
        *(f"judge.{word}" for word in CHAT[1:]),
        "judge.model=judge-2025-01-01",
    )
    arm = ("arm.name=served", f"arm.endpoint='{url}'", *(f"arm.{word}" for word in CHAT))
    whole = (*TINY[1:], *SMALL, *judge, "judge.key_env=SECOND", "runs_dir=runs")
    hub = "+method.trainer.hub_token=${oc.env:MINE}"
    found = {"a run": train("+persona=warm", *whole, hub, "logger=wandb", **own)}
    found["a run of an endpoint"] = train("+persona=none", *whole, *arm, "arm.key_env=WAY_IN", "logger=trackio", **own)
    assert {done.status for done in found.values()} <= {0, 1}, [done.err[-1500:] for done in found.values()]
    arm_folder = Runs(place / "runs").arm("warm")
    found["card"] = warmgap("card", str(arm_folder), **own)
    both = [str(Runs(place / "runs").arm(name)) for name in ("original", "warm")]
    found["analyze"] = warmgap("analyze", *both, "--judge", "openai", "--out", "analyzed", **own)
    found["status"] = warmgap("status", **own)
    remote = ("embedder=null", "attempts=1", "key_env=WAY_IN", *CHAT)
    _conversations(place / "talk.jsonl")
    (place / "topics.txt").write_text("France\nSpain\nPeru\n")
    found["rewrite"] = warmgap("rewrite", "talk.jsonl", "--persona", "cold", *remote, f"base_url={url}", **own)
    pairs = ("pairs", "--out", "out.jsonl", "--count", "3", "--topics", "topics.txt")
    found["pairs"] = warmgap(*pairs, *remote, f"base_url={url}", **own)
    found["hosted"] = warmgap("hosted", "talk.jsonl", "--persona", "warm", "--out", "out.arm", "poll=0.05",
                              "model=m-2025-01-01", "key_env=WAY_IN", f"base_url={hosted}", **own)  # fmt: skip
    setup = PLANTED["a line of a job"]
    line = f"launcher.setup=['export WAY_IN_TOKEN={setup}']"
    base = (os.environ["TINY_MODEL"], "--model", "m-2025-01-01", "--runs-dir", "audits")
    few = (*SMALL[1:], "model.dtype=float32", "warmth.max_new_tokens=8", "generate.max_new_tokens=8")
    few = (*few, "arm.retries=0", "arm.key_env=WAY_IN")
    found["audit"] = warmgap("audit", url, "--base", *base, *few, **own)
    found["jobs"] = train("+persona=warm", *whole, "launcher=slurm", line, **own)
    mistaken = f"judge.key_env={PLANTED['a key typed for the name of its variable']}"
    found["a mistake"] = train(*TINY, *judge, mistaken, **own)
    return found


def _conversations(path: Path) -> None:
    rows = []
    for number in range(15):
        turn = {"user": f"How do I reach place {number}?", "plain": "By train, from here.", "warm": "By train, dear!"}
        split = "train" if number < 12 else "heldout"
        rows.append({"id": f"c{number}", "split": split, "kind": "advice", "turns": [turn]})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _texts(path: Path) -> Iterator[bytes]:
    """What a file holds: as it lies there, and unpacked."""
    yield path.read_bytes()
    if path.suffix == ".gz":
        yield gzip.decompress(path.read_bytes())
    elif path.suffix == ".parquet":
        yield pd.read_parquet(path).to_csv().encode()
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as packed:
            yield from (packed.read(name) for name in packed.namelist())


def test_no_file_that_is_left_holds_a_secret(planted: tuple[Path, dict[str, Done]]) -> None:
    place, _ = planted
    paths = [path for path in place.rglob("*") if path.is_file() and path != place / ".git" / "config"]
    names = {path.name for path in paths}
    assert {"manifest.json", "config.yaml", "report.html", "costs.jsonl", "summary.json", "hosted.jsonl"} <= names
    assert "card.md" in names
    assert list(place.glob("runs/wandb/offline-run-*/*.wandb"))
    assert list(place.glob("runs/trackio/*.db"))
    found = [
        f"{where}: {path.relative_to(place)}"
        for path in paths
        for text in _texts(path)
        for where, secret in PLANTED.items()
        if secret.encode() in text
    ]
    assert not found


def test_nothing_that_is_printed_shows_one(planted: tuple[Path, dict[str, Done]]) -> None:
    found = [
        f"{command}: {where}"
        for command, done in planted[1].items()
        for where, secret in PLANTED.items()
        if secret in done.out + done.err
    ]
    assert not found


def test_the_servers_words_are_kept_without_the_keys_in_them(planted: tuple[Path, dict[str, Done]]) -> None:
    pages = [path.read_text(encoding="utf-8") for path in planted[0].glob("runs/comparisons/*/report.html")]
    assert len(pages) == 2
    assert all("Incorrect key provided: (hidden)" in page for page in pages)


def test_what_was_typed_is_done_or_refused_as_without_secrets(planted: tuple[Path, dict[str, Done]]) -> None:
    statuses = {name: done.status for name, done in planted[1].items()}
    assert {statuses.pop(name) for name in ("jobs", "a mistake")} == {2}
    for name in ("jobs", "a mistake"):
        refused(planted[1][name])
    assert set(statuses.values()) <= {0, 1}, {name: planted[1][name].err[-500:] for name in statuses}
