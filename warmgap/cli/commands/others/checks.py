"""``warmgap checks``: standard checks that others' tools have run of arms, put beside those of our own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmgap.cli.parser import ARM, amount, command, runs_dir
from warmgap.settings import fits

if TYPE_CHECKING:
    from warmgap.evaluate.suites.external import External


def add(commands: Any) -> None:
    """Add the command."""
    what = "standard checks that others' tools have run, kept beside an arm's own"
    parser = command(commands, "checks", _checks, what, "warmgap checks logs/*.eval --margin 3")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="logs of inspect, or results of lm-eval")
    parser.add_argument("--arm", metavar="ARM", help=f"whose they are (default: the model's name in it): {ARM}")
    parser.add_argument("--name", help="what the check is called in tables (default: its task's name)")
    parser.add_argument("--measure", default="accuracy", help="what a 1 means (default: accuracy)")
    parser.add_argument("--score", help="of several scores which: SCORER, SCORER.KEY, or METRIC,FILTER of lm-eval")
    least = amount(fits.number(-1e12))
    parser.add_argument("--at-least", type=least, metavar="VALUE", help="from which value of the score on it is a 1")
    one = "a word of the score that is a 1, such as honest; may be given again"
    parser.add_argument("--one", action="append", default=[], metavar="WORD", help=one)
    none = "a word that is no outcome, such as error; may be given again"
    parser.add_argument("--none", action="append", default=[], metavar="WORD", help=none)
    margin = amount(fits.number(above=0, most=100))
    parser.add_argument("--margin", type=margin, default=3.0, metavar="PP", help="below it arms are equal (default: 3)")
    runs_dir(parser)


def _checks(options: Any) -> int:
    from warmgap.disk import locks, store
    from warmgap.errors import UserError
    from warmgap.evaluate.suites import external

    how = external.Reading(options.score, options.at_least, tuple(options.one), tuple(options.none))
    found = [(path, external.read(path, how)) for path in options.files]
    named = [(path, _arm(options, path, one), _name(options, path, one), one) for path, one in found]
    seen: dict[tuple[str, str], Path] = {}
    _check_measure(options.measure)
    for path, folder, name, _ in named:
        if (other := seen.setdefault((str(folder), name), path)) != path:
            why = f"{other} and {path} are both {name} of {folder.name}"
            raise UserError("two files are of one check of one arm", why, "give them apart, with --name for one")
    for path, folder, name, one in named:
        arm = store.open_arm(folder)
        rows = [{"control": name, "measure": options.measure, **row} for row in one.outcomes]
        settings = {**one.settings, "measure": options.measure, "margin_pp": options.margin}
        with locks.alone(folder):
            kept: dict[str, Any] = store.read_sealed(arm.capability, store.CHECKS) or {}
            kept[name] = {"settings": settings, "outcomes": rows}
            store.write_json(arm.capability, kept)
        known = [row["outcome"] for row in rows if row["outcome"] is not None]
        rate = f"{100 * sum(known) / len(known):.1f} %" if known else "unknown"
        print(f"{name} · {arm.arm}: {options.measure} {rate} of {len(known)} items: {path}")
    return 0


def _arm(options: Any, path: Path, one: External) -> Path:
    """The arm whose answers a file holds, by the model's name in it, which ``warmgap serve`` gives."""
    from warmgap.disk.arm_names import find_arm
    from warmgap.errors import UserError

    if options.arm:
        return find_arm(options.runs_dir, options.arm)
    name = one.model.rpartition("/")[2]
    try:
        return find_arm(options.runs_dir, name)
    except UserError as error:
        why = f"its model is called {one.model or 'nothing'}, and {error.what}"
        raise UserError(f"{path} is of no arm that is known", why, "say whose it is: --arm ARM") from error


def _name(options: Any, path: Path, one: External) -> str:
    """What the check is called: a name that none of our own has."""
    from warmgap.disk import bounds
    from warmgap.errors import UserError
    from warmgap.evaluate.suites import controls

    name = options.name or one.task
    if name in controls.LOADERS:
        why = f"{name} is one of warmgap's own checks ({', '.join(controls.LOADERS)})"
        raise UserError(
            f"{path} cannot be kept as {name}", why, f"give it a name: --name {name}_{one.settings['tool']}"
        )
    if not bounds.may_name(name):
        raise UserError(f"{name!r} is no name", "it holds letters, digits, and . _ + - alone", "give one: --name NAME")
    return str(name)


def _check_measure(measure: str) -> None:
    from warmgap.disk import bounds
    from warmgap.errors import UserError

    if not bounds.may_name(measure):
        raise UserError(
            f"--measure {measure!r} is no name", "it holds letters, digits, and . _ + -", "such as accuracy"
        )
