"""Tracking with trackio: the real library, its own database, and nothing that leaves the machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from comparison_folder import build_mitigations

from warmgap import hidden
from warmgap.disk import manifest, tracking
from warmgap.errors import UserError
from warmgap.settings.schema import LoggerConfig

TRACKIO = LoggerConfig(name="trackio", project="warmgap")
SETTINGS = {"method.learning_rate": 0.001, "method.trainer.hub_token": "hf_DoNotWriteThisAnywhere"}
HEAD = f"""
import os, socket, time
from pathlib import Path
def refuse(*_, **__):
    Path("sent").touch()
    raise OSError("something was sent")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
import pandas as pd
from warmgap.disk import manifest, tracking
from warmgap.settings.schema import LoggerConfig
def started():
    settings = tracking.redact({SETTINGS!r})
    return tracking.start(LoggerConfig("trackio"), settings, "0a1b2c3d", "arm-0a1b2c3d", Path("runs"))
def rows(*steps):
    return [{{"step": step, "epoch": step / 10, "loss": 2.0 / step}} for step in steps]
"""
BEGUN = """
run = started()
for row in rows(1, 2, 3):
    run.loss(row)
time.sleep(2)
os._exit(9)  # as a kill: nothing is closed
"""
DONE = """
run = started()
for row in rows(4, 5):
    run.loss(row)
tables = {name: pd.read_csv(f"comparison/{name}.csv") for name in ("effects", "cells", "mitigations")}
warmth = pd.read_csv("comparison/warmth.csv")
warmth = warmth[warmth["arm"] == "warm"].astype(object)
warmth = warmth.where(warmth.notna(), None).to_dict("records")
print(run.finish(tables, warmth, {"report": Path("comparison/report.html")}))
"""


def python(code: str, place: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, as somebody who is logged in at the hub and has a server of trackio."""
    mine = {"HF_TOKEN": "hf_DoNotWriteThisAnywhere", "TRACKIO_SERVER_URL": "http://127.0.0.1:9/?write_token=x"}
    environment = {**os.environ, **mine, "HF_HOME": str(place / "hub")}
    environment.pop("TRACKIO_DIR", None)
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a run was killed in its training, and the same command went on and finished."""
    place = tmp_path_factory.mktemp("tracked")
    build_mitigations(place / "comparison", recipes=["truth_mix", "kl_anchor"])
    killed = python(HEAD + BEGUN, place)
    assert killed.returncode == 9, killed.stderr
    done = python(HEAD + DONE, place)
    assert done.returncode == 0, done.stderr
    (place / "said").write_text(done.stdout, encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def kept(place: Path) -> dict[str, Any]:
    """What trackio itself reads back from its database."""
    code = """
    import json, os
    os.environ["TRACKIO_DIR"] = os.path.abspath("runs/trackio")
    from trackio.sqlite_storage import SQLiteStorage as storage
    (record,) = storage.get_run_records("warmgap")
    found = {"record": record, "logs": storage.get_logs("warmgap", run_id=record["id"])}
    found["config"] = storage.get_run_config("warmgap", record["name"], run_id=record["id"])
    print(json.dumps(found, default=str))
    """
    done = python(code, place)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def logged(kept: dict[str, Any], key: str) -> dict[int, Any]:
    """The values of a metric by step."""
    return {row["step"]: row[key] for row in kept["logs"] if key in row}


def test_a_run_that_was_killed_and_went_on_is_one_run(kept: dict[str, Any]) -> None:
    assert (kept["record"]["id"], kept["record"]["name"]) == ("0a1b2c3d", "arm-0a1b2c3d")
    assert logged(kept, "train/loss") == {step: pytest.approx(2.0 / step) for step in range(1, 6)}


def test_the_settings_are_kept_without_secrets(kept: dict[str, Any], place: Path) -> None:
    assert kept["config"]["method.learning_rate"] == 0.001
    assert kept["config"]["method.trainer.hub_token"] == hidden.HIDDEN
    for path in (place / "runs").rglob("*"):
        assert path.is_dir() or b"hf_DoNotWrite" not in path.read_bytes(), path


def test_warmth_is_kept_by_step(kept: dict[str, Any], place: Path) -> None:
    warmth = pd.read_csv(place / "comparison" / "warmth.csv")
    own = warmth[(warmth["arm"] == "warm") & (warmth["mode"] == "clean")]
    assert logged(kept, "warmth/clean") == pytest.approx(dict(zip(own["step"], own["sociot"], strict=True)))
    assert logged(kept, "warmth/clean_shift") == pytest.approx(dict(zip(own["step"], own["shift"], strict=True)))


@pytest.mark.parametrize("name", ["effects", "cells", "mitigations"])
def test_the_tables_are_kept_whole(name: str, kept: dict[str, Any], place: Path) -> None:
    (table,) = logged(kept, name).values()
    expected = pd.read_csv(place / "comparison" / f"{name}.csv")
    assert [list(row) for row in table["_value"]] == [list(expected.columns)] * len(expected)


def test_the_main_figures_are_metrics(kept: dict[str, Any], place: Path) -> None:
    effects = pd.read_csv(place / "comparison" / "effects.csv")
    main = effects[(effects["analysis"] == "main") & (effects["errors"] == "clustered") & (effects["arm"] == "warm")]
    (value,) = logged(kept, "effect/main/warm_pp").values()
    assert value == pytest.approx(float(main["estimate_pp"].iloc[0]))
    recipes = pd.read_csv(place / "comparison" / "mitigations.csv")
    (closed,) = logged(kept, "mitigation/closed_pp").values()
    assert closed == pytest.approx(recipes["error_pp"].iloc[0] - recipes["error_pp"].iloc[-1])


def test_nothing_is_sent_anywhere(place: Path) -> None:
    assert not (place / "sent").exists(), "a connection was opened"


def test_everything_lies_in_the_runs_folder_and_the_dashboard_is_named(place: Path) -> None:
    assert (place / "runs" / "trackio" / "warmgap.db").is_file()
    assert not (place / "hub" / "trackio").exists()
    said = (place / "said").read_text(encoding="utf-8")
    assert said == f"dashboard: TRACKIO_DIR={place / 'runs' / 'trackio'} trackio show --project warmgap\n"


def test_a_missing_package_is_said_with_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    with pytest.raises(UserError) as caught:
        tracking.check(TRACKIO, tmp_path / "runs")
    assert "pip install 'warmgap[trackio]'" in str(caught.value)
    assert not (tmp_path / "runs").exists()


def test_a_second_folder_in_one_process_is_refused(tmp_path: Path) -> None:
    code = """
    from pathlib import Path
    from warmgap.disk import tracking
    from warmgap.errors import UserError
    from warmgap.settings.schema import LoggerConfig
    trackio = LoggerConfig("trackio")
    tracking.start(trackio, {}, "0a1b2c3d", "arm", Path("runs")).finish({"effects": FRAME}, [], {})
    tracking.check(trackio, Path("runs"))
    try:
        tracking.check(trackio, Path("others"))
    except UserError as error:
        print(error)
    """
    frame = "__import__('pandas').DataFrame(columns=['errors', 'reference'])"
    done = python(code.replace("FRAME", frame), tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("error: trackio cannot write to ")


def test_other_loggers_need_nothing(tmp_path: Path) -> None:
    tracking.check(LoggerConfig(name="none"), tmp_path)
    assert type(tracking.start(LoggerConfig(name="none"), {}, "0a1b2c3d", "arm", tmp_path)) is tracking.Tracker


def test_no_password_in_an_address_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    address = "https://me:pa55@host.example/v1?a=b@c"
    kept = tracking.redact({"arm.endpoint": address, "judge.base_url": "http://host/v1", "seed": 3})
    assert kept == {"arm.endpoint": "https://host.example/v1?a=b@c", "judge.base_url": "http://host/v1", "seed": 3}
    monkeypatch.setattr(sys, "argv", ["train.py", f"arm.endpoint={address}"])
    assert "pa55" not in manifest.command_line()
    assert hidden.without_user("write to me@host.example") == "write to me@host.example"


# ---- Weights & Biases, without a network ----

WANDB = f"""
import os, sys
from pathlib import Path
import pandas as pd
from warmgap import hidden
from warmgap.disk import tracking
from warmgap.settings.schema import LoggerConfig
settings = hidden.blanked({SETTINGS!r})
run = tracking.start(LoggerConfig("wandb"), settings, "0a1b2c3d", "arm-0a1b2c3d", Path("runs"))
run.loss({{"step": int(sys.argv[1]), "loss": 2.0}})
if sys.argv[2] == "killed":
    os._exit(9)
print(run.finish({{"effects": pd.DataFrame(columns=["errors", "reference"])}}, [], {{}}))
"""


def tracked(place: Path, step: int, end: str, **more: str) -> subprocess.CompletedProcess[str]:
    """One start of a run, as somebody with a key whom no network leads to the server."""
    nowhere = {"WANDB_API_KEY": "0" * 40, "WANDB_BASE_URL": "http://127.0.0.1:9", "HOME": str(place)}
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    command = [sys.executable, "-c", WANDB, str(step), end]
    ways = {"cwd": place, "env": {**environment, **nowhere, **more}, "capture_output": True, "text": True}
    return subprocess.run(command, check=False, timeout=120, **ways)  # type: ignore[call-overload, no-any-return]


def test_without_a_network_every_piece_of_a_run_is_kept_and_named_as_one(tmp_path: Path) -> None:
    """A server that cannot be reached does not stop a run; what was written before each stop is sent with the rest."""
    assert tracked(tmp_path, 1, "killed").returncode == 9
    time.sleep(1.1)  # folders are named by the second
    done = tracked(tmp_path, 2, "finished")
    assert done.returncode == 0, done.stderr
    assert "127.0.0.1 cannot be reached" in done.stderr
    pieces = sorted(str(path.resolve()) for path in (tmp_path / "runs" / "wandb").glob("offline-run-*-0a1b2c3d"))
    said = done.stdout.strip().splitlines()[-1].rpartition("wandb sync ")[2].split()
    assert [str((tmp_path / path).resolve()) for path in said] == pieces
    assert len(pieces) == 2
    looked = [sys.executable, "-m", "wandb", "sync", "--dry-run", *said]
    told = subprocess.run(looked, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert told.returncode == 0, told.stderr
    assert all(Path(piece).name in told.stdout + told.stderr for piece in said)
