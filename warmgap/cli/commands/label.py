"""``warmgap label``: a sheet of answers for people to label, a page to label it on, and what their labels say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from warmgap.cli.parser import amount, command
from warmgap.errors import UserError
from warmgap.settings import fits


def add(commands: Any) -> None:
    """Add the command."""
    example = "warmgap label runs/comparisons/… --sample 200 --out sheet.csv\n  warmgap label --serve sheet.csv\n"
    example += "  warmgap label runs/comparisons/… --read sheet.csv --out labels"
    what = "blind human labels: draw a sheet, label it, see how far the judge agrees and what that changes"
    parser = command(commands, "label", _label, what, example)
    parser.add_argument("comparison", nargs="?", type=Path, help="a folder in runs/comparisons")
    parser.add_argument(
        "--sample", type=amount(fits.count(), int), metavar="N", help="draw so many answers into the sheet --out"
    )
    parser.add_argument("--serve", type=Path, metavar="SHEET", help="label a sheet on a page on this machine")
    parser.add_argument("--port", type=amount(fits.count(0, 65_535), int), default=0)
    parser.add_argument("--read", nargs="+", type=Path, metavar="SHEET", help="labelled sheets, one for each rater")
    parser.add_argument("--seed", type=amount(fits.SEED, int), default=0)
    parser.add_argument("--out", type=Path, help="the sheet, or with --read a folder for the tables")


def _label(options: Any) -> int:
    wanted = [name for name in ("sample", "serve", "read") if getattr(options, name) is not None]
    if len(wanted) != 1:
        why = "one of --sample, --serve and --read says what to do"
        raise UserError("warmgap label does not know what to do", why, "warmgap label --help shows an example of each")
    if options.serve is not None:
        return _serve(options)
    if options.comparison is None or options.out is None:
        raise UserError(f"--{wanted[0]} needs more", "it takes a comparison and --out", "warmgap label --help")
    return _sample(options) if wanted[0] == "sample" else _read(options)


def _answers(folder: Path) -> Any:
    from warmgap.disk import seals, tabular

    path = folder / "answers.parquet"
    if not path.is_file():
        raise UserError(f"{folder} is no comparison", "it has no answers.parquet", "`warmgap status` lists them")
    seals.check_file(path)
    return tabular.read_parquet(path)


def _sample(options: Any) -> int:
    from warmgap.evaluate.judges import label

    rows, key = label.sample(_answers(options.comparison), options.sample, options.seed)
    label.write(options.out, rows, key)
    print(f"{len(rows)} answers to label: {options.out} (labels: {', '.join(label.CHOICES)})")
    print(f"label them in a spreadsheet or with: warmgap label --serve {options.out}")
    return 0


def _serve(options: Any) -> int:
    from warmgap.evaluate.judges import label_page

    page = label_page.server(options.serve, options.port)
    print(
        f"open http://127.0.0.1:{page.server_address[1]}/ ; each label is saved as it is given; Ctrl-C ends", flush=True
    )
    try:
        page.serve_forever()
    except KeyboardInterrupt:
        print(f"labels are in {options.serve}")
    finally:
        page.server_close()
    return 0


def _read(options: Any) -> int:
    from warmgap.disk import tabular
    from warmgap.disk.progress import console
    from warmgap.evaluate.judges import agreement, label
    from warmgap.evaluate.stats import ppi

    table, counts, changed = label.read(options.read)
    table["label"] = label.consensus(table)
    answers, lost = label.with_labels(_answers(options.comparison), table)
    if not answers["label"].notna().any():
        why = f"{counts['unlabelled']} rows are empty, {counts['unclear']} unclear, {lost} of answers not in it"
        raise UserError("no label to compare with", why, "label some rows, or name the comparison they were drawn from")
    found = {
        "agreement": agreement.agreement(answers),
        "differences": agreement.differences(answers),
        "corrected": ppi.corrected(answers),
    }
    raters = [column for column in table.columns if column.startswith("label:")]
    out = console()
    print(f"{counts['labelled']} labels, {counts['unlabelled']} rows open, {counts['unclear']} unclear")
    if changed:
        print(f"{len(changed)} rows whose texts a spreadsheet changed, read by their ids: {'; '.join(changed)}")
    if lost:
        print(f"{lost} labels are left out: their answers are not in {options.comparison}")
    out.print(_agreement_table(found["agreement"]))
    out.print(_differences_table(found["differences"]))
    if len(raters) > 1:
        several = agreement.alpha(table[raters])
        line = f"Krippendorff's alpha of {several['raters']} raters on {several['units']} answers: "
        line += f"{several['alpha']:.2f} (95 % CI {several['low']:.2f} to {several['high']:.2f})"
        out.print(line, highlight=False)
    out.print(_corrected_table(found["corrected"]))
    for name, result in found.items():
        tabular.write_csv(options.out / f"{name}.csv", result)
    print(f"tables: {options.out}")
    return 0


def _agreement_table(rows: Any) -> Any:
    from rich.table import Table

    title = "judge against people (95 % CI); sensitivity: errors found, specificity: right answers left alone"
    columns = ("", "agree %", "n", "kappa", "sensitivity %", "n", "specificity %", "n", "no verdict")
    table = Table(*columns, title=title, title_justify="left", box=None)
    for row in rows.to_dict("records"):
        agree = _with_span(row["agreement_pct"], row["ci_low_pct"], row["ci_high_pct"], 1)
        kappa = _with_span(row["kappa"], row["kappa_low"], row["kappa_high"], 2)
        found = [_part(row, name, "pct") for name in ("sensitivity", "specificity")]
        counts = (str(row["n_errors"]), str(row["n_right"]), str(row["n_no_verdict"]))
        place = f"{row['part']}: {row['value']}"
        table.add_row(place, agree, str(row["n"]), kappa, found[0], counts[0], found[1], *counts[1:])
    return table


def _differences_table(rows: Any) -> Any:
    from rich.table import Table

    title = "does the judge err alike? difference in pp (95 % CI); a bias is added to the gap"
    columns = ("", "against", "mistakes %", "against %", "difference", "bias", "n", "n against")
    table = Table(*columns, title=title, title_justify="left", box=None)
    for row in rows.to_dict("records"):
        wrong = (_number(row["mistakes_pct"], 1), _number(row["reference_mistakes_pct"], 1))
        spans = [_part(row, name, "pp") for name in ("mistakes", "bias")]
        place = f"{row['part']}: {row['value']}"
        table.add_row(place, row["reference"], *wrong, *spans, str(row["n"]), str(row["n_reference"]))
    return table


def _corrected_table(rows: Any) -> Any:
    from rich.table import Table

    title = "error %, gap in pp: by the judge, and corrected by the labels (PPI++)"
    columns = ("", "judge", "corrected (95 % CI)", "labels", "answers", "")
    table = Table(*columns, title=title, title_justify="left", box=None)
    for row in rows.to_dict("records"):
        model = f"{row['model']} " if rows["model"].nunique() > 1 else ""
        better = _with_span(row["corrected_pct"], row["ci_low_pct"], row["ci_high_pct"], 1)
        counted = (str(row["n_labels"]), str(row["n_answers"]), row["note"])
        table.add_row(f"{model}{row['arm']}: {row['figure']}", _number(row["judge_pct"], 1), better, *counted)
    return table


def _part(row: dict[str, Any], name: str, unit: str) -> str:
    return _with_span(row[f"{name}_{unit}"], row[f"{name}_low_{unit}"], row[f"{name}_high_{unit}"], 1)


def _with_span(value: float, low: float, high: float, digits: int) -> str:
    if value != value:
        return "–"
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})" if low == low else f"{value:.{digits}f} (–)"


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if value == value else "–"
