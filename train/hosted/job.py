"""A persona trained in by an endpoint: files handed in, one job started and watched to its end, its models noted.

Each step is in ``hosted.jsonl`` before and after it is done, and a job carries a label made from the settings and the
data: a run that is stopped anywhere goes on with what was paid for. No job is ever started twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from warmgap.disk import manifest, store
from warmgap.disk.progress import say
from warmgap.engines import client
from warmgap.errors import UserError
from warmgap.hidden import without_user
from warmgap.settings.identity import identity
from warmgap.train.hosted.calls import ENDED, Absent, Calls, Unclear, hyperparameters, number, status_of
from warmgap.train.hosted.data import TrainingFile
from warmgap.train.hosted.faults import cannot_tell, ended
from warmgap.train.hosted.order import FIX, Journal, Order, price
from warmgap.train.hosted.watch import Watch

LOOKS = 3  # for a job that may have been started a moment ago
MOST_TOKENS = 10**12  # of a job; more are a mistake of the endpoint's
CLOCKS = 300.0  # seconds by which the endpoint's clock may be behind ours


def train(asked: Order) -> dict[str, Any]:
    """Have the endpoint train and return what came of it, as in ``model.json``; what is done is not done again.

    Raises UserError for what the user can mend: a file, an account, a model, a cap, a server that is down.
    """
    again = "delete it: the job is looked at again, and none is started"
    made: dict[str, Any] | None = store.read_sealed(asked.folder / "model.json", again)
    if made is not None and made.get("label") == asked.label and Journal(asked).last("done") is not None:
        say(f"already done: {asked.folder}")
        return made
    store.check_writable(str(asked.folder))
    client.check_key(asked.config)
    with _alone(asked.folder):
        journal = Journal(asked)
        _freeze(asked)
        calls = Calls(asked.config, {which: file.ids for which, file in asked.files.items()})
        try:
            name = _job(asked, calls, journal)
            return _finish(asked, calls, journal, *_watched(asked, calls, journal, name))
        finally:
            calls.close()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder: two runs at once could each start a job."""
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".hosted.lock").acquire(timeout=0):
            yield
    except Timeout as error:
        raise UserError(f"another run is at work in {folder}", "it holds the lock", "wait for it to end") from error


def _freeze(asked: Order) -> None:
    """Write the files as they will be handed in, and what makes the arm."""
    path = asked.folder / "manifest.json"
    kept = store.read_sealed(path)
    store.check_format(asked.folder, kept)
    if kept is not None and kept.get("hash") != asked.label[:8] and not _abandoned(asked.folder, kept):
        why = f"it was made by other settings or data ({kept.get('hash')}, not {asked.label[:8]})"
        raise UserError(f"{asked.folder} holds another arm", why, "name another folder with --out")
    for which, file in asked.files.items():
        store.write_text(asked.folder / "data" / f"{which}.jsonl", file.text)
    if kept is None or kept.get("hash") != asked.label[:8]:
        arm = asked.arm
        files = {
            which: {"sha256": file.sha256, "conversations": len(file.ids), "tokens_at_most": file.tokens}
            for which, file in asked.files.items()
        }
        made = {
            "base_url": without_user(asked.config.base_url),
            "settings": identity(asked.config, "arm"),
            "files": files,
        }
        made["hyperparameters"] = asked.hyperparameters
        hash8 = asked.label[:8]
        record = manifest.record(model=arm.model, arm=arm.arm, seed=arm.seed, hash=hash8, method="hosted", **made)
        store.write_json(path, record)


def _abandoned(folder: Path, kept: dict[str, Any]) -> bool:
    """Whether the folder is that of an order of which nothing came."""
    steps = [str(row.get("step")) for row in store.read_journal(folder / "hosted.jsonl", FIX)]
    jobs = [step for step in steps if step in ("create", "created", "refused", "ended", "done")]
    return kept.get("method") == "hosted" and (not jobs or jobs[-1] in ("refused", "ended"))


def _job(asked: Order, calls: Calls, journal: Journal) -> str:
    """Return the job of this order: the one that is known, one that is found again, else a new one."""
    config = asked.config
    if config.job not in (None, "new", journal.job):
        journal.note("created", job=config.job, given=True)
    if journal.job is not None:
        return journal.job
    try:
        found = _look(asked, calls, journal)
    except Absent as error:
        if journal.announced is not None and config.job != "new":
            raise cannot_tell(config, str(error)) from error
        found = None
    if found is not None:
        say(f"job {found.id} was started before with these settings and data; going on with it")
        journal.note("created", job=str(found.id), found=True)
        return str(found.id)
    _afford(asked)
    if date := calls.shutdown(str(config.model)):
        say(f"{config.model} and what is trained on it will be shut down on {date}")
    return _create(asked, calls, journal, {which: _upload(file, calls, journal) for which, file in asked.files.items()})


def _look(asked: Order, calls: Calls, journal: Journal) -> Any:
    """Look for the order's job at the endpoint; more than once if it was asked for and its answer never came."""
    sent = journal.announced
    known: dict[str, Any] = {"body": sent["body"], "since": sent["started"] - CLOCKS} if sent else {}
    for look in range(LOOKS if sent else 1):
        if look:
            time.sleep(min(asked.config.poll, 5.0))
        found = calls.find(asked.label, asked.suffix, **known)
        if found is not None:
            return found
    return None


def _afford(asked: Order) -> None:
    """Say what the job may cost. Raises UserError where that is more than may be spent."""
    tokens, cost, cap = asked.tokens, asked.cost, asked.config.max_cost
    said = f"{len(asked.files['train'].ids):,} conversations"
    said += "" if tokens is None else f", at most {tokens:,} tokens in {asked.config.epochs} epochs"
    say(said + ("" if cost is None else f": at most {cost:.2f} US dollars"))
    if cap is not None and cost is not None and cost > cap:
        what = f"the job could cost {cost:.2f} US dollars, hosted.max_cost is {cap:g}"
        why = f"{tokens:,} tokens at most, {asked.config.price_train:g} US dollars per million; nothing was handed in"
        raise UserError(what, why, "raise hosted.max_cost, or train on less")


def _upload(file: TrainingFile, calls: Calls, journal: Journal) -> str:
    """Hand in a file, unless the endpoint has it already."""
    for row in reversed(journal.rows):
        if row["step"] == "uploaded" and row["sha256"] == file.sha256:
            try:
                return str(calls.file(row["file"]).id)
            except Absent:
                say(f"data/{file.which}.jsonl is no longer at the endpoint; it is handed in again")
                break
    journal.note("upload", which=file.which, sha256=file.sha256, name=file.name)
    name = calls.upload(file)
    journal.note("uploaded", which=file.which, sha256=file.sha256, file=name)
    return name


def _create(asked: Order, calls: Calls, journal: Journal, ids: dict[str, str]) -> str:
    """Start the job. Where no clear answer comes, it is looked for before it is asked for again."""
    unclear = ""
    asked.arm.training_log.unlink(missing_ok=True)  # of a job that came to nothing
    journal.note("create", started=time.time(), body=asked.body(ids))
    for _ in range(asked.config.retries + 1):
        try:
            job = calls.create(asked.body(ids))
        except Unclear as error:
            unclear = str(error)
            try:
                job = _look(asked, calls, journal)
            except Absent:
                raise cannot_tell(asked.config, unclear) from error
            if job is None:
                continue
        except UserError:
            if not unclear:  # else an earlier request may have started it all the same
                journal.note("refused")
            raise
        journal.note("created", job=str(job.id))
        say(f"job {job.id} is started; it is safe to stop and run again later")
        return str(job.id)
    fix = "see that it is up, then run again: a job that it has started is found"
    raise UserError(f"{asked.config.base_url} does not answer", unclear, fix)


def _watched(asked: Order, calls: Calls, journal: Journal, name: str) -> tuple[Any, Watch]:
    """Watch a job to its end. Raises UserError where that is no success."""
    said = journal.last("status")
    status = said["status"] if said is not None and said["job"] == name else ""
    nameless = 0
    with Watch(asked.arm, asked.config.epochs) as watch:
        while True:
            try:
                job = calls.job(name)
            except Absent as error:
                fix = "use the key of the account that started it, or set hosted.job to another job's id"
                raise UserError(f"{asked.config.base_url} does not know job {name}", str(error), fix) from error
            if status_of(job) != status:
                status = status_of(job)
                journal.note("status", job=name, status=status)
                watch.say(f"job {name}: {status.replace('_', ' ')}")
            watch.show(calls.events(name, watch.seen))
            if status == "succeeded" and not _model(job) and nameless < LOOKS:
                nameless += 1  # the name may come a moment after the status
            elif status in ENDED:
                break
            time.sleep(asked.config.poll)
    if status == "succeeded" and _model(job):
        return job, watch
    failure = ended(job, watch.last_words, asked.config, calls.ids)
    journal.note("ended", job=name, status=status, why=failure.why)
    raise failure


def _finish(asked: Order, calls: Calls, journal: Journal, job: Any, watch: Watch) -> dict[str, Any]:
    """Note the models, what they cost, and when they will be shut down."""
    config, name, model = asked.config, str(job.id), _model(job)
    used = {**asked.hyperparameters, **hyperparameters(job)}
    epochs = float(used.get("n_epochs") or 0)
    points = _points(calls.checkpoints(name), epochs, watch.total)
    by_epoch = {f"{point['epoch']:g}": point["model"] for point in points if point["epoch"] is not None}
    if epochs:
        by_epoch[f"{epochs:g}"] = model
    trained, spent = _paid(asked, getattr(job, "trained_tokens", None))
    made: dict[str, Any] = {"label": asked.label, "base": config.model, "revision": config.revision}
    made |= {"base_url": without_user(config.base_url), "key_env": config.key_env, "job": name, "model": model}
    made |= {"epochs": by_epoch, "checkpoints": points, "hyperparameters": used, "seed": getattr(job, "seed", None)}
    made |= {"trained_tokens": trained, "spent": spent}
    made["shutdown"] = calls.shutdown(model) or calls.shutdown(str(config.model))
    if not any(row.get("job") == name for row in store.read_journal(asked.arm.costs)):
        row: dict[str, Any] = {"stage": "training", "model": config.model, "job": name, "calls": 1}
        row |= {"tokens_in": trained or 0, "tokens_out": 0, "spent": spent, "at": manifest.now()}
        store.append(asked.arm.costs, [row])
    store.write_json(asked.folder / "model.json", made)
    journal.note("done", job=name, model=model, trained_tokens=trained, spent=spent)
    return made


def _paid(asked: Order, told: Any) -> tuple[int | None, float | None]:
    """Return the tokens that were trained on and what they cost: at most, where none that can be are told."""
    if isinstance(told, int) and not isinstance(told, bool) and 0 < told < MOST_TOKENS:
        return told, price(told, asked.config)
    if told is not None:
        say(f"{asked.config.base_url} tells of {str(told)[:40]!r} trained tokens; what was set aside counts")
    return None, asked.cost


def _points(checkpoints: list[Any], epochs: float, total: int) -> list[dict[str, Any]]:
    """The checkpoints with the epoch of each, as far as the number of steps is known."""
    steps = max([total, *(int(point.step_number) for point in checkpoints)])
    found: list[dict[str, Any]] = []
    for point in checkpoints:
        epoch = round(point.step_number / steps * epochs, 2) if epochs and steps else None
        row = {"step": int(point.step_number), "epoch": epoch, "model": str(point.fine_tuned_model_checkpoint)}
        found.append({**row, "metrics": _plain(point)})
    return found


def _plain(point: Any) -> dict[str, Any]:
    metrics: Any = getattr(point, "metrics", None)
    values = metrics.model_dump(warnings=False) if hasattr(metrics, "model_dump") else metrics
    found = values if isinstance(values, dict) else {}
    return {str(key): value for key, value in found.items() if number(value) is not None}


def _model(job: Any) -> str:
    """The name of the model that a job has made; nothing where the endpoint tells none."""
    name = getattr(job, "fine_tuned_model", None)
    return name if isinstance(name, str) else ""
