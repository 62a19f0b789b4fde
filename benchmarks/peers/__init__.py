"""Environments for the peers, and contestants of the answering benchmark, each a process of its own.

A peer's environment lies in ``~/.cache/warmgap/peers/NAME``. It sees the packages of the environment that asks for it,
so that torch is not installed a second time, and adds what the peer wants, by exact versions. The scripts beside this
file know nothing of warmgap, but for ``ours``: they read a job file, do it, and print one line of JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path
from typing import Any

from warmgap.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
PINNED: dict[str, tuple[str, ...]] = {
    "inspect_ai": ("inspect-ai==0.3.285",),
    "lm_eval": ("lm-eval==0.4.13",),
    "openvino": ("openvino-genai==2026.4.1.0",),
}
OTHER = {"vllm": "vllm-env"}  # made elsewhere: its torch is its own (make test-vllm)


def python(name: str) -> Path:
    """Return the interpreter of a peer's environment, made first if need be. Raises UserError where that fails."""
    from warmgap.disk.contents import cache_dir

    if name in OTHER:
        found = cache_dir() / OTHER[name] / "bin" / "python"
        if not found.exists():
            fix = "make test-vllm makes one"
            raise UserError(f"no environment for {name}", f"{found} is not there", fix)
        return found
    folder = cache_dir() / "peers" / name
    found, done = folder / "bin" / "python", folder / "pinned.txt"
    wanted = "\n".join(PINNED[name])
    if done.exists() and done.read_text(encoding="utf-8") == wanted:
        return found
    print(f"making an environment for {name} in {folder}", file=sys.stderr, flush=True)
    venv.create(folder, with_pip=True, clear=True)
    place = subprocess.run([found, "-c", _WHERE], capture_output=True, text=True, check=True).stdout.strip()
    Path(place, "warmgap_peers.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    command = [str(found), "-m", "pip", "install", "--quiet", "--no-compile", *PINNED[name]]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        why = " ".join(made.stderr.split())[-300:]
        raise UserError(f"{name} cannot be installed", why, f"leave it out, or try: {' '.join(command)}")
    done.write_text(wanted, encoding="utf-8")
    return found


_WHERE = "import sysconfig; print(sysconfig.get_path('purelib'))"


def run(name: str, job: dict[str, Any], limit: float = 3600) -> dict[str, Any]:
    """Let a contestant do a job in a process of its own and return what it says. Raises UserError where it fails."""
    script = Path(__file__).with_name(f"{name}.py")
    own = name in ("ours", "plain")
    command = [sys.executable if own else str(python(_environment(name)))]
    environment = {key: value for key, value in os.environ.items() if own or key != "PYTHONPATH"}
    environment |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TQDM_DISABLE": "1"}
    # -P: the checkout's folders train and evaluate would else hide a peer's libraries of these names
    command += ["-m", "benchmarks.peers.ours"] if name == "ours" else ["-P", str(script)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "job.json"
        path.write_text(json.dumps(job), encoding="utf-8")
        where = ROOT if name == "ours" else Path(folder)
        done = subprocess.run(
            [*command, str(path)], cwd=where, env=environment, capture_output=True, text=True, check=False,
            timeout=limit,
        )  # fmt: skip
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        why = " ".join(done.stderr.split())[-400:]
        raise UserError(f"the contestant {name} has failed", why, f"leave it out: --peers without {name}")
    said: dict[str, Any] = json.loads(lines[-1])
    return said


def _environment(name: str) -> str:
    return {"inspect_hf": "inspect_ai", "inspect_mock": "inspect_ai", "lm_eval_hf": "lm_eval"}.get(name, name)
