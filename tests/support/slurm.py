"""A real SLURM on this machine, in a folder and on ports of its own: munged, slurmctld, slurmd; no systemd, no cgroups.

Debian's ``slurm-wlm`` will do. It keeps no accounts, and a job that goes again waits for seconds, not for minutes.
"""

from __future__ import annotations

import getpass
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

CONFIG = """
ClusterName=warmgap
SlurmctldHost={host}
SlurmctldPort={controller}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
SlurmUser={user}
SlurmdUser={user}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
AccountingStoreFlags=job_comment
JobCompType=jobcomp/none
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2,requeue_setup_env_fail
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
KillWait=2
MinJobAge=300
SlurmdParameters=config_overrides
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
NODE = "NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} RealMemory=1000 State=UNKNOWN\n"


def missing() -> str:
    """Why no SLURM can be started here; empty where it can."""
    for name in ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue"):
        if shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
            return f"there is no {name}: apt-get install slurm-wlm munge"
    return "" if os.geteuid() == 0 else "its daemons are started as root"


class Slurm:
    """A SLURM that runs; ``environment`` is what its commands, and those that call them, need."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf")}

    def ask(self, *command: str) -> str:
        """Run one of its commands; return what it says."""
        done = subprocess.run(
            command, env={**os.environ, **self.environment}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
        return done.stdout

    def jobs(self) -> list[str]:
        """What is in the queue: id, state, reason and comment of each job."""
        return self.ask("squeue", "--array", "--noheader", "--format=%i|%T|%r|%k").splitlines()

    def kill(self, job: str) -> None:
        """Kill the process of a running job's first task, as a machine that runs out of memory does."""
        number = self.ask("squeue", "--noheader", "--format=%A", f"--jobs={job}").strip()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                given = (folder / "environ").read_bytes().split(b"\0")
                typed = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if (
                f"SLURM_JOB_ID={number}".encode() in given
                and b"submitit.core._submit" in typed
                and b"python" in typed[0]
            ):
                os.kill(int(folder.name), signal.SIGKILL)

    def wait(self, seconds: float) -> None:
        """Return when no job is left. Raises TimeoutError."""
        until = time.monotonic() + seconds
        while left := self.jobs():
            if time.monotonic() > until:
                raise TimeoutError("\n".join(left))
            time.sleep(0.5)


@contextmanager
def running(folder: Path, cpus: int, nodes: Sequence[str] = ("one",)) -> Iterator[Slurm]:
    """A SLURM whose nodes, all on this machine, take so many jobs of one processor each, whatever processors it has."""
    host = socket.gethostname()
    (folder / "state").mkdir(parents=True)
    for path in (folder, *folder.parents):
        if path != Path("/tmp") and len(path.parts) > 2:
            path.chmod(path.stat().st_mode | 0o111)
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    settings = CONFIG.format(host=host, folder=folder, user=getpass.getuser(), controller=_port())
    settings += "".join(NODE.format(node=node, host=host, port=_port(), cpus=cpus) for node in nodes)
    (folder / "slurm.conf").write_text(settings, encoding="utf-8")
    slurm = Slurm(folder)
    munge = ["munged", "--foreground", "--force", f"--socket={folder}/munge.socket", f"--key-file={key}"]
    munge += [f"--{name}-file={folder}/munge.{name}" for name in ("log", "pid", "seed")]
    daemons = [munge, ["slurmctld", "-D", "-c"], *(["slurmd", "-D", "-N", node] for node in nodes)]
    started: list[subprocess.Popen[bytes]] = []
    try:
        for command in daemons:
            started.append(_start(command, slurm, folder))
            time.sleep(0.5)
        _until_idle(slurm, started, len(nodes))
        yield slurm
    finally:
        subprocess.run(["scancel", "--user", getpass.getuser()], env={**os.environ, **slurm.environment}, check=False)
        for process in reversed(started):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def _start(command: list[str], slurm: Slurm, folder: Path) -> subprocess.Popen[bytes]:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    with (folder / f"{command[0]}.out").open("wb") as out:
        return subprocess.Popen(
            command,
            env={**os.environ, **slurm.environment, "PATH": path},
            stdout=out,
            stderr=out,
            start_new_session=True,
        )


def _until_idle(slurm: Slurm, started: list[subprocess.Popen[bytes]], nodes: int) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            if slurm.ask("sinfo", "--noheader", "--Node", "--format=%T").split() == ["idle"] * nodes:
                return
        except RuntimeError:
            pass
        gone = [process.args for process in started if process.poll() is not None]
        if gone or time.monotonic() > until:
            said = "\n".join(path.read_text(errors="replace")[-2000:] for path in slurm.folder.glob("*.[lo][ou][gt]"))
            raise RuntimeError(f"SLURM does not start ({gone}):\n{said}")
        time.sleep(0.3)


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def submits() -> bool:
    """Whether the package that hands jobs in is here."""
    return importlib.util.find_spec("submitit") is not None
