"""What others add: modules, packages and folders, how each is told apart, and what is said where one is at fault."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from warmgap import cli, jobs
from warmgap.disk import store
from warmgap.errors import UserError
from warmgap.evaluate import judges, tasks
from warmgap.evaluate.judges.base import Answer
from warmgap.evaluate.judges.grade import grade
from warmgap.evaluate.suites.base import Prompt
from warmgap.settings import conf_files, config, plugins
from warmgap.settings.identity import identity
from warmgap.settings.schema import JudgeConfig, TaskConfig
from warmgap.train import stage

OUTSIDE = Path(__file__).resolve().parents[2] / "support" / "outside_package"
MINE = OUTSIDE / "mine"
JUDGE = """
from warmgap.evaluate.judges.base import Judge, Verdict

class Own(Judge):
    name = "{name}"
    short_facts = True
    def grade(self, answers):
        return [Verdict(answer.key, "{word}", "so it is") for answer in answers{some}]

JUDGES = {{"{name}": Own}}
"""


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Each test in a folder of its own, with nothing at work before and after."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield
    plugins.use((), ())
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def judge(name: str, word: str = "correct", some: str = "") -> None:
    """Write a module of the current directory that offers a judge of its own name, with its settings in mine/."""
    Path(f"{name}.py").write_text(JUDGE.format(name=name, word=word, some=some), encoding="utf-8")
    Path("mine/judge").mkdir(parents=True, exist_ok=True)
    Path(f"mine/judge/{name}.yaml").write_text(f"name: {name}\n", encoding="utf-8")


def package(folder: Path, name: str, points: str, **files: str) -> None:
    """Lay out an installed package: its modules, and the metadata that name its entry points."""
    (folder / f"{name}-2.1.dist-info").mkdir(parents=True)
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.1\n"
    (folder / f"{name}-2.1.dist-info" / "METADATA").write_text(metadata, encoding="utf-8")
    (folder / f"{name}-2.1.dist-info" / "entry_points.txt").write_text(points, encoding="utf-8")
    for module, text in files.items():
        (folder / f"{module}.py").write_text(text, encoding="utf-8")


# ---- tables ----


def test_without_plug_ins_the_tables_are_ours() -> None:
    assert judges.table() == judges.JUDGES
    assert tasks.table() == tasks.TASKS
    assert plugins.owed("judges", list(judges.JUDGES)) == {}
    assert plugins.folders() == []


def test_a_module_of_the_current_directory_adds_a_judge() -> None:
    judge("mine_first")
    plugins.use(["mine_first"])
    assert [*judges.table()] == [*judges.JUDGES, "mine_first"]
    origin = plugins.origin("judges", "mine_first")
    assert origin is not None
    assert (origin["name"], origin["from"], origin["version"]) == ("mine_first", "module mine_first", None)
    assert len(origin["sha256"]) == 64
    assert plugins.origin("judges", "match") is None


def test_an_installed_package_needs_no_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = "[warmgap.judges]\nmine_installed = mine_installed:Own\n"
    package(tmp_path / "site", "mine-installed", points, mine_installed=JUDGE.format(name="x", word="correct", some=""))
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert "mine_installed" in judges.table()
    origin = plugins.origin("judges", "mine_installed")
    assert origin is not None
    assert (origin["from"], origin["version"]) == ("package mine-installed", "2.1")


def test_two_that_define_a_name_are_named_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judge("mine_twice")
    points = "[warmgap.judges]\nmine_twice = mine_other:Own\n"
    package(tmp_path / "site", "mine-other", points, mine_other=JUDGE.format(name="x", word="correct", some=""))
    monkeypatch.syspath_prepend(tmp_path / "site")
    plugins.use(["mine_twice"])
    with pytest.raises(UserError, match="package mine-other and module mine_twice define it"):
        judges.table()


def test_a_name_of_ours_is_not_taken() -> None:
    Path("mine_match.py").write_text(JUDGE.format(name="match", word="correct", some=""), encoding="utf-8")
    plugins.use(["mine_match"])
    with pytest.raises(UserError, match="warmgap and module mine_match define it"):
        judges.table()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "there is no such module"),
        ("import surely_not_there", "surely_not_there"),
        ("1 / 0", "ZeroDivisionError"),
        ("def (", "SyntaxError"),
    ],
)
def test_a_module_that_cannot_be_imported_is_the_users_to_mend(text: str | None, said: str, tmp_path: Path) -> None:
    name = f"mine_broken_{abs(hash(said))}"
    if text is not None:
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=f"plug-in {name} cannot be imported") as caught:
        plugins.use([name])
    assert said in caught.value.why


def test_an_entry_point_that_fails_says_which_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path / "site", "mine-failing", "[warmgap.tasks]\nlakes = mine_failing:LAKES\n", mine_failing="LAKE = 1")
    monkeypatch.syspath_prepend(tmp_path / "site")
    with pytest.raises(UserError, match="task 'lakes' of mine-failing fails") as caught:
        tasks.table()
    assert "LAKES" in caught.value.why
    assert judges.table() == judges.JUDGES, "who needs no task is not held up"


@pytest.mark.parametrize(("text", "said"), [("JUDGES = [1]", "JUDGES"), ("JUDGES = {'own': 1}", "no subclass of")])
def test_what_is_no_judge_is_refused(text: str, said: str) -> None:
    name = f"mine_strange_{len(text)}"
    Path(f"{name}.py").write_text(text, encoding="utf-8")
    plugins.use([name])
    with pytest.raises(UserError) as caught:
        judges.table()
    assert said in str(caught.value)


def test_what_is_no_task_is_refused() -> None:
    Path("mine_no_task.py").write_text("TASKS = {'lakes': lambda config: []}", encoding="utf-8")
    plugins.use(["mine_no_task"])
    with pytest.raises(UserError, match="task 'lakes' cannot be used"):
        tasks.load_items({"lakes": TaskConfig()})


# ---- folders ----


def test_a_folder_stands_beside_ours() -> None:
    run = config.compose(["--config-dir", str(MINE), "+persona=pirate", "context=[hurried,sad]", "model=mine"])
    assert run.persona is not None
    assert run.persona.name == "pirate"
    assert list(run.context) == ["hurried", "sad"]
    assert run.config_dirs == [str(MINE)]
    assert "pirate" in conf_files.choices("persona")
    assert "warm" in conf_files.choices("persona")
    assert conf_files.choice("persona", "mild")["strength"] == 0.5
    assert conf_files.read_prompt("pirate.txt") == "You are a pirate, and answer as pirates do."
    assert conf_files.read_prompt("warm_prompt.txt")
    assert config.compose(["+persona=pirate"]).config_dirs == [str(MINE)], "until others are put to work"


def test_several_folders_stand_beside_one_another(tmp_path: Path) -> None:
    (tmp_path / "more" / "persona").mkdir(parents=True)
    (tmp_path / "more" / "persona" / "gruff.yaml").write_text("name: gruff\nsystem_prompt: pirate.txt\n", "utf-8")
    run = config.compose([f"--config-dir={MINE}", "--config-dir", "more", "+persona=gruff"])
    assert run.config_dirs == [str(MINE), str(tmp_path / "more")]


def test_a_package_brings_its_settings_along(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(OUTSIDE)
    points = "[warmgap.tasks]\nrivers = rivers.task:RIVERS\n[warmgap.judges]\nopening = rivers.judge:Opening\n"
    package(tmp_path / "site", "rivers", points)
    monkeypatch.syspath_prepend(tmp_path / "site")
    run = config.compose(["+persona=none", "task=rivers", "judge=opening", "task.rivers.options.continent=europe"])
    loaded = tasks.load_items(run.task)
    assert [(item.task, item.item_id) for item in loaded.items] == [("rivers", "river-2"), ("rivers", "river-3")]
    assert loaded.notes == ["rivers: only those of europe."]
    assert set(jobs.owed_by(run)) == {"tasks.rivers", "judges.opening"}
    asia = config.compose(["+persona=none", "task=rivers", "judge=opening", "task.rivers.options.continent=asia"])
    six = config.compose(["+persona=none", "task=rivers", "judge=opening", "judge.options.words=6"])
    assert len({str(identity(one, "measure")) for one in (run, asia, six)}) == 3, "options are part of what is measured"
    judges.check(run.judge, run.task)


@pytest.mark.parametrize("name", ["persona/warm.yaml", "prompts/warm_prompt.txt", "config.yaml"])
def test_a_file_of_a_name_of_ours_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "mine" / name).write_text("name: warm\n", encoding="utf-8")
    with pytest.raises(UserError, match=f"two files are called {name}") as caught:
        config.compose(["--config-dir", "mine", "+persona=warm"])
    assert str(conf_files.conf_dir().resolve() / name) in caught.value.why
    assert str(tmp_path / "mine" / name) in caught.value.why


@pytest.mark.parametrize("given", [["--config-dir", "nowhere"], ["--config-dir"], ["--config-dir="]])
def test_a_folder_that_is_none_is_refused(given: list[str]) -> None:
    with pytest.raises(UserError, match="--config-dir"):
        config.compose(["+persona=warm", *given])


def test_hydras_own_search_path_is_not_read_by_half() -> None:
    with pytest.raises(UserError, match="--config-dir DIR"):
        config.compose(["+persona=warm", "hydra.searchpath=[file:///tmp]"])


def test_what_a_command_puts_to_work_ends_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["prompts", "--config-dir", str(MINE), "--out", "p.csv", "context=[hurried]", "task.embedded.level=easy"]
    assert cli.main(words) == 0, capsys.readouterr().err
    assert "My train leaves in two minutes." in Path("p.csv").read_text(encoding="utf-8")
    assert plugins.folders() == []


def test_warmgap_train_is_train(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "--config-dir", str(MINE), "--cfg", "job", "+persona=pirate"]) == 0
    assert "system_prompt: pirate.txt" in capfd.readouterr().out
    assert cli.main(["--config-dir", str(MINE), "train", "--cfg", "job", "+persona=pirate"]) == 0
    assert cli.main(["train", "--frob"]) == 2
    assert "warmgap train takes Hydra's options" in capfd.readouterr().err
    assert cli.main(["train"]) == 2
    assert "no persona given" in capfd.readouterr().err


def test_another_process_finds_what_its_run_has(tmp_path: Path) -> None:
    judge("mine_frozen")
    Path("mine/prompts").mkdir()
    Path("mine/prompts/frozen.txt").write_text("Be still.", encoding="utf-8")
    run = config.compose(["--config-dir", "mine", "plugins=[mine_frozen]", "judge=mine_frozen", "+persona=warm"])
    arm = store.arm_folder(str(tmp_path / "runs"), "m", "warm", 0, "0" * 8)
    frozen = stage.freeze(stage.Stage(run, arm, "warm"))
    plugins.use((), ())
    with pytest.raises(UserError, match="no prompt"):
        conf_files.read_prompt("frozen.txt")
    assert stage.thaw(frozen).run == run
    assert conf_files.read_prompt("frozen.txt") == "Be still."
    assert "mine_frozen" in judges.table()


# ---- what is owed ----


def test_what_a_measurement_owes_is_in_its_hash() -> None:
    judge("mine_hashed")
    given = ["--config-dir", "mine", "+persona=none", "task.embedded.items_per_family=1"]
    plain = config.compose(given)
    beside = config.compose([*given, "plugins=[mine_hashed]"])
    used = config.compose([*given, "plugins=[mine_hashed]", "judge=mine_hashed"])
    names = [jobs.prepare(run).folder.name for run in (plain, beside, used)]
    assert names[0] == names[1], "a plug-in that is not asked for changes nothing"
    assert "plugins" not in jobs.measured_by(plain, [])
    plugins.use(used.plugins, used.config_dirs)
    owed = jobs.measured_by(used, [])["plugins"]
    assert list(owed) == ["judges.mine_hashed"]
    one = judges.Judges(used.judge, "cpu", Path("batches.jsonl")).build("mine_hashed").params
    del sys.modules["mine_hashed"]
    with Path("mine_hashed.py").open("a", encoding="utf-8") as file:
        file.write("# another\n")
    assert jobs.prepare(used).folder.name not in names, "other files are another judge"
    assert judges.Judges(used.judge, "cpu", Path("batches.jsonl")).build("mine_hashed").params != one


def test_options_that_nobody_takes_are_refused() -> None:
    with pytest.raises(UserError, match=r"judge\.options has 'words'"):
        judges.check(JudgeConfig(name="match", options={"words": 3}))
    with pytest.raises(UserError, match=r"task\.embedded\.options has 'continent'"):
        tasks.load_items({"embedded": TaskConfig(options={"continent": "europe"})})


# ---- a judge that is at fault ----


@pytest.mark.parametrize(
    ("word", "some", "said"),
    [("right", "", "has said 'right'"), ("correct", " if answer.key is None", "has said nothing of it")],
)
def test_a_judge_that_fails_has_given_no_verdict(word: str, some: str, said: str, tmp_path: Path) -> None:
    name = f"mine_wrong_{len(said)}"
    judge(name, word, some)
    plugins.use([name], ["mine"])
    made = judges.Judges(JudgeConfig(name=name), "cpu", tmp_path / "batches.jsonl").build(name)
    item = tasks.load_items({"embedded": TaskConfig()}).items[0]
    prompt = Prompt("embedded", item.item_id, item.family, "none", "", "none", item.question)
    rows = [{"key": "a", "answer": item.correct, "finish_reason": "stop"}]
    items = {("embedded", item.item_id): item}
    (row,) = grade(made, rows, [prompt], items, {"embedded": tmp_path / "verdicts.jsonl"}, "verdicts")
    assert row["verdict"] == "error"
    assert said in row["reason"]
    assert not (tmp_path / "verdicts.jsonl").exists(), "it is asked for again"


def test_a_judge_of_another_name_is_refused() -> None:
    Path("mine_alias.py").write_text(JUDGE.format(name="x", word="correct", some="") + "JUDGES['y'] = Own", "utf-8")
    plugins.use(["mine_alias"])
    with pytest.raises(UserError, match="judge 'y' calls itself 'x'"):
        judges.Judges(JudgeConfig(name="y"), "cpu", Path("batches.jsonl")).build("y")


def test_items_from_outside_must_be_gradable() -> None:
    text = "from warmgap.evaluate.tasks.item import Item, Loaded, Task\n"
    text += "item = Item('', '1', 'f', 'Is it?', 'yes', 'Yes', (), (), 's')\n"
    text += "TASKS = {'lakes': Task(lambda config: Loaded([item], []))}"
    Path("mine_items.py").write_text(text, encoding="utf-8")
    plugins.use(["mine_items"])
    with pytest.raises(UserError, match="stands on both sides"):
        tasks.load_items({"lakes": TaskConfig()})


def test_a_judge_reads_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(OUTSIDE)
    Path("mine_opening.py").write_text(
        "from rivers.judge import Opening\nJUDGES = {'opening': Opening}\n", encoding="utf-8"
    )
    plugins.use(["mine_opening"])
    item = tasks.load_items({"embedded": TaskConfig()}).items[0]
    prompt = Prompt("embedded", item.item_id, item.family, "none", "", "none", item.question)
    answer = Answer("k", f"one two {item.correct}", "stop", prompt, item)
    for words, expected in ((2, "incorrect"), (9, "correct")):
        settings = JudgeConfig(name="opening", options={"words": words})
        made = judges.Judges(settings, "cpu", Path("batches.jsonl")).build("opening")
        assert [verdict.verdict for verdict in made.grade([answer])] == [expected]
