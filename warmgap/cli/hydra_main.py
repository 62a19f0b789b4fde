"""``python train.py``: settings composed by Hydra, checked, and the whole job run; a sweep's points one by one."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from warmgap.cli.guard import DONE
from warmgap.cli.show import show
from warmgap.errors import UserError

if TYPE_CHECKING:
    from warmgap.settings.schema import Run


def run() -> int:
    """Do what ``sys.argv`` asks for; return the exit status. Raises UserError for settings that cannot be used."""
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
            checked = config.check(composed)
            if checked.dial is not None:
                from warmgap import sweep

                sweep.measure(checked)
                points.append(checked)
                return ""
            return str(_one(checked))
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
