"""What a job does: one piece of a programme, or for a training of several machines this machine's part of it."""

from __future__ import annotations

import dataclasses
import os
import shlex
import sys
from pathlib import Path
from typing import Any

from warmgap.disk import store
from warmgap.disk.progress import say
from warmgap.errors import UserError


class Work:
    """One piece, as submitit puts it to work on a machine; what is interrupted is begun again, and goes on."""

    def __init__(self, programme: Path, piece: str) -> None:
        self.programme, self.piece = programme, piece

    def __call__(self) -> None:
        """Do the piece; ends the process with 2 for what is a user's to mend, so that it is not tried again."""
        from warmgap.train import launch

        job, tries = os.environ.get("SLURM_JOB_ID", "0"), os.environ.get("SLURM_RESTART_COUNT", "0")
        meeting = self.programme.parent / "meetings" / f"{job}-{tries}.json"
        if int(os.environ.get("SLURM_PROCID", "0")):
            launch.join(meeting)
            return
        alone = int(os.environ.get("SLURM_NTASKS", "1")) < 2
        os.environ[launch.MEETING] = str(meeting)
        try:
            do(self.programme, self.piece)
        except UserError as error:
            print(error, file=sys.stderr)
            sys.exit(2)
        finally:
            if not alone:
                store.write_json(meeting, {"ended": True})

    def checkpoint(self) -> Any:
        """What is to be done when the time is up: the same, which goes on from what is on disk."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def do(path: Path, key: str) -> None:
    """Do a piece of the programme in a file. Raises UserError as a run does."""
    from warmgap import pipeline
    from warmgap.cluster import programme
    from warmgap.engines import cores

    cores.share()
    whole = programme.thaw(path)
    piece = next(piece for piece in whole.pieces if piece.key == key)
    sys.argv = whole.argv  # which manifests and errors tell
    say(f"{piece.short} {piece.shard}: {shlex.join(whole.argv)}")
    only = [] if piece.arm == programme.TOGETHER else [piece.arm]
    run = dataclasses.replace(whole.run, shard=piece.shard, only=only)
    own = run.launcher
    nodes = own.nodes if piece.trains else 1
    mode = dataclasses.replace(own, name=own.mode, nodes=nodes)
    run = dataclasses.replace(run, launcher=mode)
    if only:
        pipeline.part(run)
        return
    folder = pipeline.execute(run)
    if not whole.done(piece):
        why = "some answers, or verdicts on them, did not come"
        raise UserError(f"{folder.name} is not whole", why, "the same command again asks for them once more")
    say(f"report: {folder / 'report.html'}")
