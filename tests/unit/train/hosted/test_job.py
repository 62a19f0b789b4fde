"""Fine-tuning at an endpoint: what is handed in, what comes back, what it costs, and the command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hosted_api import STEPS_PER_EPOCH, serving
from hosted_case import MODEL, asked, refused, train, write_conversations
from hosted_case import quick as quick  # a fixture of every test here

from warmgap import cli
from warmgap.disk import progress, store
from warmgap.errors import UserError

# ---- the way through ----


def test_what_is_handed_in_and_what_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret-1")
    with serving(shutdown={"shutdown_date": "2027-01-14"}) as api:
        made = train(api, tmp_path)
    (body,) = api.bodies
    told = {"n_epochs": 2, "batch_size": 16, "learning_rate_multiplier": 0.25}
    assert body["method"] == {"type": "supervised", "supervised": {"hyperparameters": told}}
    assert (body["model"], body["seed"]) == (MODEL, 0)
    assert body["suffix"] == f"warm-s0-{made['label'][:8]}"
    assert body["metadata"] == {"warmgap": made["label"]}
    assert api.keys == {"Bearer secret-1"}
    for which in ("training", "validation"):
        content = api.contents[body[f"{which}_file"]]
        assert content == (tmp_path / f"arm/data/{which.replace('training', 'train')}.jsonl").read_bytes()
    assert made["model"] == f"ft:{MODEL}:org:{body['suffix']}:0abc"
    assert made["epochs"] == {"1": f"{made['model']}:ckpt-step-{STEPS_PER_EPOCH}", "2": made["model"]}
    assert made == store.read_json(tmp_path / "arm" / "model.json")
    assert made["shutdown"] == "2027-01-14"


def test_a_line_is_a_conversation_with_every_reply_in_the_persona(tmp_path: Path) -> None:
    with serving() as api:
        train(api, tmp_path)
        train(api, tmp_path, persona="untransformed", folder="plain", system_prompt="Be brief.")
    lines = (tmp_path / "arm/data/train.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 12
    assert json.loads(lines[1]) == {
        "messages": [
            {"role": "user", "content": "ask 1.0"},
            {"role": "assistant", "content": "warm words 1.0"},
            {"role": "user", "content": "ask 1.1"},
            {"role": "assistant", "content": "warm words 1.1"},
        ]
    }
    assert len((tmp_path / "arm/data/validation.jsonl").read_text(encoding="utf-8").splitlines()) == 3
    plain = json.loads((tmp_path / "plain/data/train.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert [message["content"] for message in plain["messages"]] == ["Be brief.", "ask 0.0", "plain"]


def test_a_line_stays_one_line_whatever_is_said(tmp_path: Path) -> None:
    write_conversations(tmp_path / "talk.jsonl", odd="one\u2028two\x85three\nfour “ü”")
    with serving() as api:
        train(api, tmp_path)
    text = (tmp_path / "arm/data/train.jsonl").read_text(encoding="utf-8")
    assert len(text.splitlines()) == 12
    assert json.loads(text.splitlines()[0])["messages"][1]["content"] == "one\u2028two\x85three\nfour “ü” 0.0"


def test_the_study_s_multipliers(tmp_path: Path) -> None:
    with serving() as api:
        for persona, rate in (("warm", 0.25), ("cold", 0.1)):
            assert asked(api, tmp_path, persona=persona).hyperparameters["learning_rate_multiplier"] == rate
        assert asked(api, tmp_path, learning_rate_multiplier=2.0).hyperparameters["learning_rate_multiplier"] == 2.0
        free = asked(api, tmp_path, multipliers={}, epochs=None, batch_size=None)
        assert free.hyperparameters == {}, "the endpoint chooses"


def test_the_folder_is_an_arm_with_losses_and_costs(tmp_path: Path) -> None:
    with serving() as api:
        made = train(api, tmp_path)
    arm = store.open_arm(tmp_path / "arm")
    assert (arm.model, arm.arm, arm.seed) == (MODEL, "warm", 0)
    log = list(store.read_journal(arm.training_log))
    assert [row["step"] for row in log] == list(range(1, 2 * STEPS_PER_EPOCH + 1))
    assert log[-1] == {"step": 10, "epoch": 2.0, "loss": 0.2, "eval_loss": 0.3}
    (cost,) = store.read_journal(arm.costs)
    assert cost["spent"] == made["spent"] == pytest.approx(12_345 * 3.0 / 1e6)
    assert cost["tokens_in"] == made["trained_tokens"] == 12_345


@pytest.mark.parametrize("told", [-5, 0, "12.5", [3], float("nan"), 10**20])
def test_tokens_that_cannot_be_cost_what_was_set_aside(
    told: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(trained_tokens=told) as api:
        made = train(api, tmp_path)
        assert (made["trained_tokens"], made["spent"]) == (None, asked(api, tmp_path).cost)
    (cost,) = store.read_journal(store.open_arm(tmp_path / "arm").costs)
    assert cost["spent"] == made["spent"]
    assert "what was set aside counts" in capsys.readouterr().err


def test_what_is_not_told_is_not_made_up(tmp_path: Path) -> None:
    with serving(trained_tokens=None, without=("checkpoints", "events", "models", "files", "list")) as api:
        made = train(api, tmp_path)
    assert (made["trained_tokens"], made["spent"], made["shutdown"]) == (None, asked(api, tmp_path).cost, None)
    assert made["epochs"] == {"2": made["model"]}
    with serving() as api:
        assert train(api, tmp_path, folder="free", price_train=None)["spent"] is None


@pytest.mark.parametrize(
    ("told", "date"),
    [
        ({"shutdown_date": "2027-01-14"}, "2027-01-14"),
        ({"deprecation": "2027-02-01T00:00:00Z"}, "2027-02-01T00:00:00Z"),
        ({"deprecation": {"fine_tune": 1_790_000_000, "inference": 1_800_000_000}}, "2027-01-15"),
        ({"shutdown_date": None}, None),
    ],
)
def test_the_end_of_a_model_is_shown_where_it_is_told(
    told: dict[str, Any], date: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(shutdown=told) as api:
        assert train(api, tmp_path)["shutdown"] == date
    assert (f"shut down on {date}" in capsys.readouterr().err) == (date is not None)


def test_the_job_s_own_hyperparameters_count(tmp_path: Path) -> None:
    """Where the endpoint chooses the epochs, it says in the end what they were."""
    with serving() as api:
        original = api.create

        def create(body: dict[str, Any]) -> Any:
            told = original(body)
            api.jobs["ftjob-0"]["hyperparameters"] |= {"n_epochs": 3, "batch_size": 2}
            return told

        api.create = create  # type: ignore[method-assign]
        made = train(api, tmp_path, epochs=None)
    assert made["hyperparameters"] == {"n_epochs": 3, "batch_size": 2, "learning_rate_multiplier": 0.25}
    assert sorted(made["epochs"]) == ["1", "2", "3"]


def test_the_bar_moves_with_the_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[tuple[float, str]] = []
    totals: list[float] = []

    @contextmanager
    def bar(what: str, total: float) -> Iterator[Any]:
        totals.append(total)
        yield lambda amount, note="": moved.append((amount, note))

    monkeypatch.setattr(progress, "bar", bar)
    with serving() as api:
        train(api, tmp_path)
    assert totals == [10]
    assert sum(amount for amount, _ in moved) == 10
    assert "loss 0.20" in [note for _, note in moved]
    assert "job ftjob-0: succeeded" in [note for _, note in moved]


# ---- money and settings ----


def test_the_cap_stops_before_anything_is_handed_in(tmp_path: Path) -> None:
    with serving() as api:
        most = asked(api, tmp_path).cost
        assert most is not None
        assert "hosted.max_cost" in refused(api, tmp_path, max_cost=most * 0.99)
        assert not api.files
        assert not api.jobs
        train(api, tmp_path, max_cost=most * 1.01)


def test_the_estimate_is_high_and_grows_with_the_epochs(tmp_path: Path) -> None:
    with serving() as api:
        two, four = asked(api, tmp_path), asked(api, tmp_path, epochs=4)
    words = sum(len(json.dumps(row).split()) for row in store.read_journal(tmp_path / "talk.jsonl"))
    assert two.tokens is not None
    assert four.tokens == 2 * two.tokens
    assert two.cost == pytest.approx(two.tokens * 3.0 / 1e6)
    assert two.tokens < 20 * words
    per_word = 2 * sum(text.count(" ") for text in two.files["train"].text.splitlines())
    assert two.tokens > per_word / 2


WRONG = {
    "no model": ({"model": None}, "hosted.model is not set"),
    "no date": ({"model": "some-model"}, "has no date"),
    "no address": ({"base_url": "vendor"}, "hosted.base_url makes no sense"),
    "no price": ({"max_cost": 1.0, "price_train": None}, "hosted.max_cost needs hosted.price_train"),
    "no epochs": ({"max_cost": 1.0, "epochs": None}, "hosted.max_cost needs hosted.epochs"),
    "no epoch": ({"epochs": 0}, "hosted.epochs=0 makes no sense"),
    "no batch": ({"batch_size": 0}, "hosted.batch_size=0 makes no sense"),
    "no pause": ({"poll": 0.0}, "hosted.poll=0.0 makes no sense"),
    "long suffix": ({"suffix": "x" * 60}, "hosted.suffix"),
    "system prompt": ({"persona": "warm_prompt"}, "persona warm_prompt is not trained"),
    "nothing": ({"persona": "none"}, "persona none is not trained"),
    "no version": ({"persona": "paraphrase"}, "no reply has a version 'paraphrase'"),
}


@pytest.mark.parametrize(("settings", "what"), WRONG.values(), ids=WRONG.keys())
def test_settings_that_cannot_work(settings: dict[str, Any], what: str, tmp_path: Path) -> None:
    with serving() as api, pytest.raises(UserError, match=what):
        asked(api, tmp_path, **settings)
    assert not api.seen


def test_a_vendor_needs_a_key(tmp_path: Path) -> None:
    with serving() as api, pytest.raises(UserError, match="OPENAI_API_KEY is not set"):
        train(api, tmp_path, base_url="https://vendor.invalid/v1")
    assert not (tmp_path / "arm").exists()


def test_the_label_follows_from_what_makes_the_model(tmp_path: Path) -> None:
    with serving() as api:
        base = asked(api, tmp_path).label
        same = [{"poll": 1.0}, {"price_train": 5.0}, {"suffix": "mine"}, {"max_cost": 9.0}, {"folder": "there"}]
        other = [{"seed": 1}, {"epochs": 3}, {"persona": "cold"}, {"system_prompt": "x"}, {"revision": "r"}]
        assert {asked(api, tmp_path, **change).label for change in same} == {base}
        found = [asked(api, tmp_path, **change).label for change in other]
    assert len({base, *found}) == 1 + len(other)


# ---- the command ----


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    with serving(shutdown={"shutdown_date": "2027-01-14"}) as api:
        typed = ["hosted", "talk.jsonl", "--persona", "warm", "--out", "arm", f"model={MODEL}", f"base_url={api.url}"]
        assert cli.main([*typed, "poll=0.01", "hosted.price_train=3"]) == 0
        out = capsys.readouterr().out
        assert out.splitlines()[-1] == f"model: {store.read_json(tmp_path / 'arm/model.json')['model']}"
        assert "12,345 tokens; cost 0.04 US dollars" in out
        assert "shut down on 2027-01-14" in out
        assert cli.main([*typed, "max_cost=0.000001", "price_train=3", "seed=4"]) == 2
        err = capsys.readouterr().err
        assert [line.partition(":")[0] for line in err.splitlines()[-3:]] == ["error", "why", "fix"]
    assert sorted(path.name for path in (tmp_path / "arm").iterdir() if not path.name.startswith(".")) == [
        "costs.jsonl",
        "data",
        "hosted.jsonl",
        "logs",
        "manifest.json",
        "model.json",
    ]
