"""The command lines: ``python train.py`` and ``warmgap``; exit statuses, and what is said when something goes wrong."""

from __future__ import annotations

import errno
import logging
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmgap.cli.show import show
from warmgap.errors import UserError

if TYPE_CHECKING:
    from warmgap.settings.schema import Run

DONE, GATE_FAILED, USER_MISTAKE, FAILED = 0, 1, 2, 3


def guarded(work: Callable[[], int], log_dir: Path, again: str) -> int:
    """Run work and turn whatever ends it into an exit status: 2 for a user's mistake (three lines), 3 for the rest."""
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # on a CPU it tells of kernels that it does not need
    try:
        return work()
    except UserError as error:
        print(error, file=sys.stderr)
        return USER_MISTAKE
    except KeyboardInterrupt:
        print(f"\nstopped; everything finished so far is kept. To go on: {again}", file=sys.stderr)
        return FAILED
    except Exception as error:
        if full := _disk_full(error):
            print(full, file=sys.stderr)
            return USER_MISTAKE
        where = _log(log_dir)
        print(f"failed: {type(error).__name__}: {error}\ntraceback: {where}", file=sys.stderr)
        return FAILED


def _disk_full(error: BaseException | None) -> UserError | None:
    """The three lines for a disk that is full, whichever library met it; None for any other error."""
    while error is not None:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if full or "No space left on device" in str(error):
            why = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
            return UserError("the disk is full", why, "free some space, then run again: what was finished is kept")
        error = error.__cause__ or error.__context__
    return None


def _log(folder: Path) -> str:
    """Write the traceback to a log file, or to stderr where that cannot be done; return where it is."""
    text = traceback.format_exc()  # of the exception being handled
    path = folder / "logs" / "failed.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError:
        print(text, file=sys.stderr)
        return "above"
    return str(path)


def train() -> int:
    """Run ``python train.py``: compose the settings with Hydra, check them, run the whole job."""
    again = " ".join(["python", *sys.argv])
    runs = next((arg.split("=", 1)[1] for arg in sys.argv if arg.startswith("runs_dir=")), "runs")
    return guarded(_train, Path(runs), again)


def _train() -> int:
    import hydra
    from hydra._internal.utils import get_args_parser
    from omegaconf import DictConfig
    from omegaconf.errors import OmegaConfBaseException

    from warmgap.settings import config

    _, unknown = get_args_parser().parse_known_args(sys.argv[1:])
    if unknown:
        fix = "python train.py --hydra-help lists them"
        raise UserError(f"unknown option {unknown[0]}", "train.py takes Hydra's options", fix)
    config.refuse(sys.argv[1:])
    os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions come through to us instead of being printed

    ended: list[BaseException] = []
    points: list[Run] = []

    def job(composed: DictConfig) -> str:
        if any(isinstance(error, KeyboardInterrupt) for error in ended):
            return ""  # the other points of a sweep are not begun either
        try:
            run = config.check(composed)
            if run.dial is not None:
                from warmgap import sweep

                sweep.measure(run)
                points.append(run)
                return ""
            return str(_one(run))
        except (Exception, KeyboardInterrupt) as error:
            ended.append(error)  # raised below: raised here, Hydra would print a line of its own first
            return ""

    try:
        hydra.main(version_base="1.3", config_path=str(config.conf_dir()), config_name="config")(job)()
    except (hydra.errors.HydraException, OmegaConfBaseException) as error:
        raise config.explain(error) from error
    if points and not any(isinstance(error, KeyboardInterrupt) for error in ended):
        from warmgap import sweep

        show(sweep.conclude(points))
    if ended:
        raise ended[0]
    return DONE


def _one(run: Run) -> Path:
    """Run a job that is no point of a sweep, show what came out, and return its folder."""
    from warmgap import pipeline, search

    if run.search.trials:
        folder = search.execute(run)
        search.show(run, folder)
        return folder
    folder = pipeline.execute(run)
    show(folder)
    return folder


def main(arguments: list[str] | None = None) -> int:
    """Run ``warmgap COMMAND …``."""
    from warmgap.cli import commands

    given: Any = sys.argv[1:] if arguments is None else arguments
    return guarded(lambda: commands.run(given), Path("runs"), " ".join(["warmgap", *given]))
