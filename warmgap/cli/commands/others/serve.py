"""``warmgap serve``: an arm as an OpenAI-compatible endpoint, for checks that are run by others' tools."""

from __future__ import annotations

from typing import Any

from warmgap.cli.parser import ARM, amount, command, runs_dir
from warmgap.settings import fits


def add(commands: Any) -> None:
    """Add the command."""
    what = "an arm as an OpenAI-compatible endpoint"
    parser = command(commands, "serve", _serve, what, "warmgap serve warm --port 8000")
    parser.add_argument("arm", metavar="ARM", help=ARM)
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen at (default: this machine alone)")
    port = amount(fits.count(least=0, most=65535), int)
    parser.add_argument("--port", type=port, default=8000, help="0 takes a free one (default: 8000)")
    parser.add_argument("--device", type=amount(fits.DEVICE, str), default="auto")
    parser.add_argument("--engine", choices=["auto", "hf", "vllm"], default="auto", help="who answers (default: auto)")
    runs_dir(parser)


def _serve(options: Any) -> int:
    from warmgap import pipeline
    from warmgap.arms.opened import opened
    from warmgap.disk.arm_names import find_arm
    from warmgap.engines.calls.server import Server

    pipeline.quiet()
    found = opened(find_arm(options.runs_dir, options.arm))
    engine = found.engine(options.device, options.engine)
    server = Server(engine, [found.arm.name, options.arm], found.system, found.generate)
    try:
        server.run(options.host, options.port, lambda url: print(f"{found.arm.name}: {url}", flush=True))
    except KeyboardInterrupt:  # which is how it is ended
        print("stopped")
    return 0
