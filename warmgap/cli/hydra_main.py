"""``python train.py`` or ``warmgap train``: settings composed by Hydra, checked, the job run; sweeps point by point."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from warmgap.cli.guard import DONE
from warmgap.cli.show import show
from warmgap.disk import shards
from warmgap.errors import UserError
from warmgap.version import train_command

if TYPE_CHECKING:
    from warmgap.settings.schema import Run


def run(program: str, arguments: Sequence[str]) -> int:
    """Do what the arguments ask for; return the exit status. Raises UserError for settings that cannot be used."""
    import hydra
    from hydra._internal.utils import get_args_parser
    from omegaconf import DictConfig
    from omegaconf.errors import OmegaConfBaseException

    from warmgap.settings import conf_files, config, explain, plugins

    given = config.outside(arguments)
    _, unknown = get_args_parser().parse_known_args(given)
    if unknown:
        fix = f"{train_command()} --hydra-help lists them"
        raise UserError(f"unknown option {unknown[0]}", f"{Path(program).name} takes Hydra's options", fix)
    config.refuse(given)
    config.look_outside()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions come through to us instead of being printed
    folders = plugins.given()

    typed = sys.argv
    ended: list[BaseException] = []
    points: list[Run] = []

    def job(composed: DictConfig) -> str:
        if any(isinstance(error, KeyboardInterrupt) for error in ended):
            return ""  # the other points of a sweep are not begun either
        try:
            with _typed(typed):  # which the manifests tell
                plugins.use(folders=folders)  # a launcher of Hydra's may have started a process of its own
                checked = config.check(composed)
                if checked.launcher.name == "slurm":
                    return str(_handed_in(checked) or "")
                if _is_part(checked):
                    from warmgap import pipeline

                    pipeline.part(checked)
                    return ""
                if checked.dial is None:
                    return str(_one(checked))
                from warmgap import sweep

                sweep.measure(checked)
                points.append(checked)
                return ""
        except (Exception, KeyboardInterrupt) as error:
            ended.append(error)  # raised below: raised here, Hydra would print a line of its own first
            return ""

    try:
        with _typed([program, *given]):
            hydra.main(version_base="1.3", config_path=str(conf_files.conf_dir()), config_name="config")(job)()
    except (hydra.errors.HydraException, OmegaConfBaseException) as error:
        raise explain.explain(error) from error
    if points and not any(isinstance(error, KeyboardInterrupt) for error in ended):
        from warmgap import sweep

        show(sweep.conclude(points))
    if ended:
        raise ended[0]
    return DONE


@contextmanager
def _typed(words: list[str]) -> Iterator[None]:
    """Have Hydra read these words, which looks at those of the process."""
    before, sys.argv = sys.argv, words
    try:
        yield
    finally:
        sys.argv = before


def _handed_in(run: Run) -> Path | None:
    """Hand a run's work in as jobs, and say how far it is; show and return its comparison where all is done."""
    from warmgap.cli.commands import status
    from warmgap.cluster import programme, slurm

    slurm.check()
    whole = programme.of(run)
    if whole.done(whole.pieces[-1]):
        show(whole.comparison)
        return whole.comparison
    if not slurm.hand_in(whole):
        print("nothing is handed in: what is not done is under way", file=sys.stderr)
    status.show_programme(whole)
    return None


def _is_part(run: Run) -> bool:
    """Whether a run is a shard of one, after which there is nothing to show yet."""
    shard = shards.parse(run.shard)
    return shard is not None and shard.number is not None


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
