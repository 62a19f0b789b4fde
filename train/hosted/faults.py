"""What went wrong at an endpoint that fine-tunes, in plain words: whose fault it is, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from warmgap.engines.client import error_text
from warmgap.errors import UserError
from warmgap.settings.command_schema import HostedConfig

CREDIT = re.compile(r"insufficient.quota|exceeded.(?:your.)?(?:current.)?quota|billing|out of credit|no credit", re.I)
MODERATION = re.compile(r"moderation|usage polic|content polic|content management polic|safety check|violates", re.I)
NO_MODEL = re.compile(
    r"model_not|model.{0,80}(?:does not exist|not exist|not found|not available|not supported|retired|deprecated|"
    r"no longer|shut ?down|cannot be fine-tuned)",
    re.I,
)
BAD_FILE = re.compile(
    r"invalid_(?:training|validation)_file|invalid_n_examples|invalid_file|invalid training file", re.I
)
PLACE = re.compile(r"\b(?:line|example)\s+#?(\d+)", re.I)
LEFT_ALONE = "run again: the job goes on meanwhile, and no other is started"

Ids = Mapping[str, Sequence[str]]  # the conversations' names in each file, line by line


def refused(error: Exception, config: HostedConfig, what: str, ids: Ids) -> UserError:
    """Say why the endpoint did not do what it was asked to; ``what`` names it."""
    status, text = getattr(error, "status_code", None), error_text(error)
    code, param = str(getattr(error, "code", None) or ""), str(getattr(error, "param", None) or "")
    if status == 401:
        fix = f"put a valid key into ${config.key_env}"
        return UserError(f"{config.base_url} refuses the key", text, fix)
    known = _known(code, param, text, config, ids, status)
    if known is not None:
        return known
    if status == 403:
        fix = f"ask for access, or set hosted.base_url to an endpoint that fine-tunes (${config.key_env} is its key)"
        return UserError(f"{config.base_url} does not let this account have {what}", text, fix)
    if status == 404:
        return _no_model(text, config)
    if status == 429:
        return UserError(f"{config.base_url} takes no more for now", text, "wait, then run again")
    if status is None or status >= 500:
        fix = LEFT_ALONE if what.startswith(("job ", "events")) else "see that it is up, then run again"
        return UserError(f"{config.base_url} does not answer", text, fix)
    if param == "seed" or re.search(r"['\"`]seed['\"`]", text):
        return UserError(f"{config.base_url} does not take a seed", text, "set hosted.seed=null")
    return UserError(f"{config.base_url} did not take {what}", text, "mend the cause, then run again")


def ended(job: Any, last_words: str, config: HostedConfig, ids: Ids) -> UserError:
    """Say why a job came to nothing; ``last_words`` is what its events said of it, if anything."""
    error = getattr(job, "error", None)
    code, param = (str(getattr(error, name, None) or "") for name in ("code", "param"))
    text = " ".join(str(getattr(error, "message", None) or last_words or "the endpoint gives no reason").split())
    if str(job.status).lower().startswith("cancel"):
        return UserError(f"job {job.id} was cancelled", text, "run again: another is started")
    known = _known(code, param, text, config, ids, None)
    if known is not None:
        return known
    said = f"{code}: {text}" if code else text
    return UserError(f"job {job.id} has failed", said, "mend the cause, then run again: another is started")


def cannot_tell(config: HostedConfig, why: str) -> UserError:
    """Say that a job may have been started, and that nobody but the user can find out."""
    fix = f"look at {config.base_url}: set hosted.job to its id, or hosted.job=new if there is none"
    return UserError("a job may have been started, and the endpoint does not list its jobs", why, fix)


def _known(code: str, param: str, text: str, config: HostedConfig, ids: Ids, status: int | None) -> UserError | None:
    """The causes that can be told apart by what the endpoint says."""
    named = f"{code} {param} {text}"
    if status == 402 or CREDIT.search(named):
        fix = "add credit, then run again: what was uploaded is kept"
        return UserError(f"{config.base_url}: the account has no credit left", text, fix)
    which = "validation" if "validation" in f"{code} {param}" else "train"
    if MODERATION.search(named):
        fix = f"take {_place(text, which, ids)} out or mend it; an endpoint of your own moderates nothing"
        return UserError(f"{config.base_url} will not train on this: its moderation refuses", text, fix)
    if BAD_FILE.search(named) or param in ("training_file", "validation_file", "file"):
        fix = f"mend {_place(text, which, ids)}, then run again"
        return UserError(f"{config.base_url} found data/{which}.jsonl invalid", text, fix)
    if param == "model" or NO_MODEL.search(named):
        return _no_model(text, config)
    return None


def _no_model(text: str, config: HostedConfig) -> UserError:
    what = f"{config.base_url} does not fine-tune {config.model}"
    return UserError(what, text, "set hosted.model to one that it does; models are retired")


def _place(text: str, which: str, ids: Ids) -> str:
    """The conversation that a message speaks of, by the line it names."""
    match, names = PLACE.search(text), ids.get(which, [])
    number = int(match[1]) if match else 0
    if 1 <= number <= len(names):
        return f"conversation {names[number - 1]} (line {number} of data/{which}.jsonl)"
    return f"what it names in data/{which}.jsonl"
