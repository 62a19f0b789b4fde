"""warmgap in a notebook: what the commands do, as functions with data frames in and out.

``import warmgap`` offers everything here under its own name; nothing is loaded before it is used.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmgap.errors import UserError
from warmgap.settings import config
from warmgap.settings.schema import Run

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from warmgap.evaluate.stats import Analysis


@dataclass(frozen=True)
class Plot:
    """A figure of a comparison: shown by a notebook, saved by ``save``; ``figure`` is matplotlib's."""

    name: str
    figure: Figure

    def save(self, path: str | Path) -> Path:
        """Write the figure as .svg or .png, by the file's ending."""
        from warmgap.evaluate.report.figures.style import save

        path = Path(path)
        if path.suffix not in (".svg", ".png"):
            raise UserError(f"{path} is no figure's name", "figures end in .svg or .png", "rename it")
        save(self.figure, path)
        return path

    def _repr_png_(self) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            return self.save(Path(folder) / f"{self.name}.png").read_bytes()


@dataclass(frozen=True)
class Result:
    """A comparison on disk: its tables as data frames (columns as in ``docs/files.md``), figures and page."""

    folder: Path

    def __post_init__(self) -> None:
        if not (self.folder / "summary.json").is_file():
            fix = "make one with warmgap.run or warmgap.compare"
            raise UserError(f"{self.folder} is not a comparison", "it has no summary.json", fix)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """What the comparison is of: arms, settings, notes, timings."""
        from warmgap.disk import seals, store

        path = self.folder / "summary.json"
        seals.check_file(path)
        found: dict[str, Any] = store.read_sealed(path)
        return found

    @cached_property
    def answers(self) -> pd.DataFrame:
        """A row for each answer, with its verdict."""
        from warmgap.disk import seals, tabular

        seals.check_file(self.folder / "answers.parquet")
        return tabular.read_parquet(self.folder / "answers.parquet")

    @cached_property
    def effects(self) -> pd.DataFrame:
        """A row for each effect: estimate and interval in percentage points, p, n."""
        return self.table("effects")

    @cached_property
    def cells(self) -> pd.DataFrame:
        """A row for each arm, task, context and belief: n, error, refusals."""
        return self.table("cells")

    @cached_property
    def warmth(self) -> pd.DataFrame:
        """A row for each arm, training step and mode: SocioT and its shift from the original."""
        return self.table("warmth")

    @property
    def report(self) -> Path:
        """The page that tells all of it."""
        return self.folder / "report.html"

    def table(self, name: str) -> pd.DataFrame:
        """Return a csv table of the comparison, such as ``mitigations``. Raises UserError where it has none."""
        import pandas as pd

        from warmgap.disk import seals

        path = self.folder / f"{name}.csv"
        if not path.is_file():
            known = ", ".join(sorted(item.stem for item in self.folder.glob("*.csv")))
            raise UserError(f"no table {name!r} in {self.folder}", f"it has {known}", "name one of them")
        seals.check_file(path)
        return pd.read_csv(path, keep_default_na=False, na_values=["", "nan", "NaN"])  # "none" is a context

    def plot(self, name: str | None = None) -> Plot:
        """Draw a figure by its name, such as ``error_by_cell``; without one, the comparison's main figure."""
        from warmgap.evaluate.report.figures import draw
        from warmgap.evaluate.report.figures.dose_figure import figure_of

        swept = (self.folder / "dose.csv").is_file()
        figures = {"dose": figure_of(self.folder)} if swept else draw(self.folder)
        there = {key: figure for key, figure in figures.items() if figure is not None}
        first = "mitigation_plane" if "mitigation_plane" in there else next(iter(there), None)
        chosen = name or first
        if chosen is None or chosen not in there:
            known = ", ".join(there) or "none: there is no second arm"
            raise UserError(f"no figure {chosen!r} of {self.folder}", f"it has {known}", "name one of them")
        return Plot(chosen, there[chosen])

    def show(self) -> None:
        """Print the tables as the command line does."""
        from warmgap.cli.show import show

        show(self.folder)

    def _repr_html_(self) -> str:
        from html import escape

        import pandas as pd

        from warmgap.evaluate.report.comparison import effects_of, interval, load_comparison, number, whole
        from warmgap.evaluate.report.findings import findings_of

        comparison = load_comparison(self.folder)
        lines = [
            {
                "error, pp": f"{arm} − {comparison.reference}: {one.label}",
                "gap": number(one.ours.estimate, signed=True),
                "95 % CI": interval(one.ours.low, one.ours.high),
                "n": whole(one.ours.n),
            }
            for arm in comparison.others
            for one in findings_of(effects_of(comparison), arm)
        ]
        rows = pd.DataFrame(lines).to_html(index=False)
        title = escape(str(self.summary.get("title") or self.folder.name))
        return f"<h4>{title}</h4>{rows}<p>report: {escape(str(self.report))}</p>"


def compose(*overrides: str) -> Run:
    """Return checked settings, from overrides as they stand on the command line: ``"+persona=warm", "seed=1"``."""
    return config.compose(list(overrides))


def compare(
    *arms: str | Path,
    runs_dir: str | Path = "runs",
    grader: str | None = None,
    margin_pp: float = 2.0,
    keep_warmth_pct: float = 80.0,
) -> Result:
    """Put arms on disk side by side; nothing is made again.

    Arms are named as on the command line: ``warm``, ``warm@1`` (seed 1), or by their folders in ``runs/arms``; the
    original of the same model is added where none is named. Verdicts on recipes go by ``margin_pp`` and
    ``keep_warmth_pct`` (see ``CompareConfig``).
    """
    from warmgap.disk.arm_names import find_arms
    from warmgap.evaluate.report import arms as side_by_side
    from warmgap.settings.mitigation_schema import CompareConfig

    folders, _ = find_arms(Path(runs_dir), [str(arm) for arm in arms])
    asked = CompareConfig(margin_pp=margin_pp, keep_warmth_pct=keep_warmth_pct)
    return Result(side_by_side.compare(folders, grader, Path(runs_dir), asked))


def run(settings: Run | str, *overrides: str) -> Result:
    """Make what the settings ask for, arms and comparison; what is on disk already is not made again.

    ``settings`` come from ``compose``, or are overrides themselves. A search or a sweep is a matter of ``train.py``.
    """
    from warmgap import pipeline

    made = compose(settings, *overrides) if isinstance(settings, str) else settings
    if made.search.trials or made.dial is not None:
        raise UserError("a search or a sweep is no single run", "it makes many", "python train.py -m …")
    return Result(pipeline.execute(made))


@dataclass(frozen=True)
class Audit(Result):
    """An audit's comparison; ``failed`` says why it did not pass the gate, empty where it did or none was asked for."""

    failed: tuple[str, ...] = ()


def audit(
    thing: str | Path,
    base: str | Path | None,
    *settings: str,
    model: str | None = None,
    gate: float | None = None,
    runs_dir: str | Path = "runs",
) -> Audit:
    """Measure somebody's own model against its base, as ``warmgap audit`` does.

    ``thing`` is a LoRA folder, a whole model's folder, a hub id with its commit, or an endpoint's address with the name
    of a ``model`` there; ``base`` is a model of ``conf/model``, a folder or a hub id. With a ``gate`` (in pp) its error
    has to be shown to be within so much of the base's.
    """
    from warmgap import pipeline
    from warmgap.arms import given
    from warmgap.evaluate.report import gate as gates

    gates.check([], gate, None)
    named = None if base is None else str(base)
    folder = pipeline.execute(config.compose(given.audited(str(thing), named, settings, model, runs_dir)))
    return Audit(folder, () if gate is None else tuple(gates.accuracy(folder, gate)))


def prompts(settings: Run | str, *overrides: str) -> pd.DataFrame:
    """Return the prompts of the settings' grid, a row each: task, item_id, context, belief, prompt, messages."""
    import pandas as pd

    from warmgap.evaluate import suites
    from warmgap.evaluate.tasks import load_items

    made = compose(settings, *overrides) if isinstance(settings, str) else settings
    built = suites.make(made).dialogues(load_items(made.task).items)
    return pd.DataFrame([prompt.row() for prompt in built])


def warmth(
    texts: Iterable[str], *, scorer: str = "smollm2_135m", dtype: str = "float32", device: str = "auto"
) -> pd.DataFrame:
    """Return SocioT warmth (nats per token) of each text in the modes ``released`` and ``clean``; NaN for empty ones.

    ``scorer`` is a model of ``conf/model``. A series keeps its index.
    """
    import pandas as pd

    from warmgap.evaluate.warmth import score_texts
    from warmgap.pipeline import quiet

    quiet()
    series = texts if isinstance(texts, pd.Series) else pd.Series(list(texts), dtype=object)
    made = compose("+persona=none", f"model@warmth.scorer={scorer}")
    found = score_texts([str(text) for text in series.fillna("")], made.warmth.scorer, dtype, device)
    rows = [{"released": one.released, "clean": one.clean} for one in found]
    return pd.DataFrame(rows, index=series.index, columns=["released", "clean"])


def ask(
    grid: Run | pd.DataFrame,
    answer: Callable[[list[dict[str, str]]], str | None],
    *,
    arm: str = "mine",
    model: str = "model",
    seed: int = 0,
    workers: int = 1,
    kept: str | Path | None = None,
) -> pd.DataFrame:
    """Put prompts to a function and return them with its answers, ready for ``grade`` and then ``analyze``.

    ``grid`` is what ``prompts`` returns, or settings. ``answer`` is given a prompt's messages (``role``, ``content``)
    and returns the reply as text, or None where there is none; so many calls as ``workers`` run at once, in threads.
    With ``kept``, a .jsonl file, each answer is on disk as soon as it is there, and none is asked for again when the
    call is repeated for the same ``arm``, ``model`` and ``seed``. An exception of ``answer`` ends the call and comes
    through. ``n_chars`` is the length of the reply; a missing reply stays empty and is no verdict.
    """
    from concurrent.futures import Future, ThreadPoolExecutor, as_completed

    import pandas as pd

    from warmgap.disk import store
    from warmgap.disk.progress import bar
    from warmgap.settings.identity import digest

    table = prompts(grid) if isinstance(grid, Run) else grid.copy()
    for name in ("item_id", "messages"):
        if name not in table:
            raise UserError(f"the grid has no column {name!r}", "it is not what prompts() returns", "warmgap.prompts")
    journal = Path(kept) if kept else None
    known = {key: row["answer"] for key, row in store.journal_by_key(journal).items()} if journal else {}
    messages = [[dict(message) for message in row] for row in table["messages"]]
    keys = [digest([model, arm, seed, row], 16) for row in messages]
    todo = {key: row for key, row in zip(keys, messages, strict=True) if key not in known}

    def keep(future: Future[str | None]) -> None:
        key, said = futures[future], future.result()
        known[key] = said
        if journal and said is not None:
            store.append(journal, [{"key": key, "answer": said}])
        advance(1)

    with bar(f"answers · {arm}", len(todo)) as advance, ThreadPoolExecutor(max_workers=max(workers, 1)) as pool:
        futures = {pool.submit(answer, row): key for key, row in todo.items()}
        try:
            for future in as_completed(futures):
                keep(future)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            for future, key in futures.items():
                if key not in known and not future.cancelled() and future.exception() is None:
                    keep(future)
            raise
    answers = [known[key] for key in keys]
    lengths = pd.Series(answers, index=table.index, dtype=object).str.len()
    return table.assign(model=model, arm=arm, seed=seed, answer=answers, n_chars=lengths)


def grade(
    frame: pd.DataFrame, *settings: str, task: str = "embedded", judge: str = "match", kept: str | Path | None = None
) -> pd.DataFrame:
    """Return the frame with ``verdict``, ``grader``, ``reason`` and ``error`` (0, 1, NaN without a verdict) added.

    ``frame`` has ``item_id`` and ``answer``, and where known ``task``, ``context``, ``belief``, ``prompt`` and
    ``finish_reason``. ``task`` is one of ``conf/task``, or several as ``a,b``. ``settings`` are further overrides, such
    as ``judge.model=…``. ``kept`` is a path beside which a paid judge's verdicts are kept, so that none is paid twice.
    """
    import pandas as pd

    from warmgap.evaluate.judges.rows import grade_rows
    from warmgap.pipeline import quiet

    quiet()
    missing = [name for name in ("item_id", "answer") if name not in frame]
    if missing:
        why = f"its columns are {', '.join(map(str, frame.columns))}"
        raise UserError(f"the frame has no column {missing[0]!r}", why, "rename the column that holds it")
    made = grading(task, judge, settings)
    clean = frame.astype(object).where(frame.notna(), None)
    rows = [{str(key): value for key, value in row.items()} for row in clean.to_dict("records")]
    with tempfile.TemporaryDirectory() as folder:
        grade_rows(rows, made, Path(kept) if kept else Path(folder) / "grade")
    graded = frame.copy()
    for name in ("verdict", "grader", "reason"):
        graded[name] = [row[name] for row in rows]
    graded["error"] = pd.Series([row["error"] for row in rows], index=frame.index, dtype="float64")
    return graded


def grading(task: str, judge: str, settings: Sequence[str] = ()) -> Run:
    """Return the settings with which answers to a task (or several, as ``a,b``) are graded."""
    tasks = task.split(",")
    whole = ["task.embedded.level=all"] * ("embedded" in tasks)  # the rows name their questions
    given = [f"task=[{task}]", f"judge={judge}", "++judge.second=null", *whole, *settings]
    return config.compose(config.with_persona(given))


def analyze(
    frame: pd.DataFrame | Mapping[str, pd.DataFrame], *, reference: str = "original", bootstrap: int = 2000
) -> Analysis:
    """Return ``effects``, ``cells`` and ``notes`` of a table of verdicts (see ``evaluate.stats.analyze``).

    A mapping gives each arm's table by its name; ``model`` and ``seed`` are then filled in where they lack.
    """
    import pandas as pd

    from warmgap.evaluate.stats import analyze as analyzed

    if isinstance(frame, Mapping):
        parts = [_named(table, arm) for arm, table in frame.items()]
        frame = pd.concat(parts, ignore_index=True)
    return analyzed(frame, reference=reference, bootstrap=bootstrap)


def _named(table: pd.DataFrame, arm: str) -> pd.DataFrame:
    table = table.assign(arm=arm)
    for name, value in (("model", "model"), ("seed", 0)):
        if name not in table:
            table[name] = value
    return table
