"""The report in a real browser, opened from disk: tables, figures, working filters, and nothing in the console."""

from __future__ import annotations

import runpy
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from warmgap.disk.store import arm_folder
from warmgap.evaluate.report.html.page import write_report
from warmgap.evaluate.report.write import Measured, write_comparison

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CHROMEDRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and CHROMEDRIVER), reason="chromium and chromedriver are not installed")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip
_synthetic = runpy.run_path(str(Path(__file__).parents[1] / "support" / "comparison_folder.py"))
HOSTILE: str = _synthetic["HOSTILE"]
build_comparison: Callable[..., Path] = _synthetic["build_comparison"]
build_mitigations: Callable[..., Path] = _synthetic["build_mitigations"]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A headless Chromium with a profile of its own, which keeps the page's console and requests."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(CHROMEDRIVER)))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(build_comparison(tmp_path_factory.mktemp("two_arms"), hostile=HOSTILE))


@pytest.fixture(scope="module")
def report_of_three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    arms = {"original": 0.0, "cold": -0.02, "warm": 0.1}
    return write_report(build_comparison(tmp_path_factory.mktemp("three_arms"), arms=arms))


@pytest.fixture(scope="module")
def report_of_recipes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(build_mitigations(tmp_path_factory.mktemp("recipes")))


def show(browser: Any, report: Path, fragment: str = "") -> None:
    """Open the file afresh, with this fragment of the address."""
    browser.get("about:blank")
    browser.get(report.as_uri() + fragment)


def script(browser: Any, text: str) -> Any:
    """What a piece of script returns in the page."""
    return browser.execute_script(f"return ({text})")


def choose(browser: Any, name: str, value: str) -> None:
    """Set a control as a user would, and wait for the page to answer."""
    done = "const done = arguments[arguments.length - 1];"
    change = f"const form = document.getElementById('filters'); form.elements['{name}'].value = '{value}';"
    tell = "form.dispatchEvent(new Event('input', {bubbles: true})); setTimeout(done, 250);"
    browser.execute_async_script(done + change + tell)


def hits(browser: Any) -> int:
    """The count of prompts that the page names."""
    return int(str(script(browser, "document.getElementById('hits').textContent")).split()[0].replace(",", ""))


def console(browser: Any) -> list[str]:
    return [entry["message"] for entry in browser.get_log("browser")]


def test_it_opens_from_disk_with_tables_and_figures_and_a_silent_console(browser: Any, report: Path) -> None:
    show(browser, report)
    assert script(browser, "document.querySelectorAll('table').length") >= 5
    assert script(browser, "document.querySelectorAll('figure').length") == 5
    drawn = "[...document.querySelectorAll('figure svg')].filter(svg => svg.getBoundingClientRect().height > 80).length"
    assert script(browser, drawn) == 5
    assert script(browser, "document.querySelectorAll('#pairs .pair').length") == 20
    assert script(browser, "document.title").startswith("Warmth and error of a 135M model")
    assert console(browser) == []


def test_hostile_text_is_shown_and_not_run(browser: Any, report: Path) -> None:
    show(browser, report, "#answers&q=" + "onerror")
    assert hits(browser) == 1
    assert HOSTILE in script(browser, "document.querySelector('#pairs').textContent")
    assert script(browser, "document.title") != "owned"
    assert script(browser, "document.querySelectorAll('#pairs img, #pairs script').length") == 0
    assert console(browser) == []


def test_filters_narrow_the_list_and_counts_agree(browser: Any, report: Path) -> None:
    show(browser, report)
    every = hits(browser)
    counts = script(browser, "[...document.querySelectorAll('.outcome .count')].map(node => Number(node.textContent))")
    assert counts[0] == every == sum(counts[1:])
    choose(browser, "outcome", "worse")
    assert hits(browser) == counts[1]
    outcomes = script(browser, "[...document.querySelectorAll('.pair .where b')].map(node => node.textContent)")
    assert set(outcomes) == {"got worse"}
    second = "[...document.querySelectorAll('.pair .side:last-child .verdict')].map(node => node.className)"
    assert set(script(browser, second)) == {"verdict wrong"}
    choose(browser, "belief", "false_claim")
    assert 0 < hits(browser) < counts[1]
    assert "belief=false_claim" in script(browser, "location.hash")
    assert script(browser, "document.querySelectorAll('.pair .claimed').length") > 0
    choose(browser, "q", "no such words anywhere")
    assert hits(browser) == 0
    assert "No prompt fits" in script(browser, "document.getElementById('pairs').textContent")
    browser.execute_script("document.querySelector('#filters [type=reset]').click()")
    assert hits(browser) == every
    assert console(browser) == []


def test_the_address_brings_a_view_back(browser: Any, report: Path) -> None:
    show(browser, report, "#answers&outcome=better&context=none&belief=none")
    assert script(browser, "document.getElementById('filters').elements.outcome.value") == "better"
    found = hits(browser)
    assert found > 0
    show(browser, report, "#answers&outcome=nonsense&context=nonsense&page=-3&a=nobody&q=%3Cb%3E")
    assert hits(browser) == 0
    assert console(browser) == []


def test_pages_turn(browser: Any, report: Path) -> None:
    show(browser, report)
    first = script(browser, "document.querySelector('.pair').textContent")
    browser.execute_script("document.querySelector('#pager button:last-child').click()")
    assert script(browser, "document.querySelector('.pair').textContent") != first
    assert script(browser, "document.activeElement.textContent") == "Next"
    assert "page=2" in script(browser, "location.hash")


def test_cells_sort_by_number_both_ways_with_empty_fields_last(browser: Any, report: Path) -> None:
    show(browser, report)
    place = script(
        browser, "[...document.querySelectorAll('#cell-table th')].findIndex(h => h.textContent === 'Gap pp')"
    )
    column = f"[...document.querySelectorAll('#cell-table tbody tr')].map(row => row.cells[{place}].dataset.v)"
    for direction, sign in (("ascending", 1), ("descending", -1)):
        browser.execute_script(f"document.querySelectorAll('#cell-table th button')[{place}].click()")
        values = script(browser, column)
        numbers = [sign * float(value) for value in values if value]
        assert numbers == sorted(numbers)
        assert values[: len(numbers)].count("") == 0
        sort = script(browser, f"document.querySelectorAll('#cell-table th')[{place}].getAttribute('aria-sort')")
        assert sort == direction


def test_three_arms_let_the_reader_choose_two(browser: Any, report_of_three: Path) -> None:
    show(browser, report_of_three)
    heads = "[...document.querySelector('.pair').querySelectorAll('h3 span:first-child')].map(node => node.textContent)"
    assert script(browser, heads) == ["original", "warm"]
    choose(browser, "b", "cold")
    assert script(browser, heads) == ["original", "cold"]
    assert script(browser, "location.hash") == "#answers&b=cold"
    assert console(browser) == []


def test_a_recipe_stands_beside_original_and_warm(browser: Any, report_of_recipes: Path) -> None:
    show(browser, report_of_recipes)
    heads = "[...document.querySelector('.pair').querySelectorAll('h3 span:first-child')].map(node => node.textContent)"
    assert script(browser, heads) == ["original", "warm", "truth_mix+anti_sycophancy"]
    every = hits(browser)
    choose(browser, "outcome", "worse")
    worse = hits(browser)
    choose(browser, "then", "better")
    mended = hits(browser)
    assert 0 < mended < worse < every
    assert "outcome=worse&then=better" in script(browser, "location.hash")
    each = "[...document.querySelectorAll('{}')].map(one => [...one.querySelectorAll('{}')].map(node => node.{}))"
    badges = script(browser, each.format(".pair .sides", ".verdict", "className"))
    assert all(row[1] == "verdict wrong" for row in badges)
    assert not any("verdict wrong" in (row[0], row[2]) for row in badges)  # right, or a hedge
    counts = script(browser, each.format(".outcome", ".count", "textContent"))
    assert all(int(row[0]) == sum(map(int, row[1:])) for row in counts)
    choose(browser, "seed", "1")
    assert 0 < hits(browser) < mended
    choose(browser, "c", "")
    assert script(browser, heads) == ["original", "warm"]
    assert script(browser, "document.querySelectorAll('.outcome')[1].hidden")
    show(browser, report_of_recipes, "#answers&c=&outcome=worse")
    assert script(browser, heads) == ["original", "warm"]
    assert hits(browser) == worse
    show(browser, report_of_recipes, "#answers&b=honest_prompt&c=truth_mix")
    assert script(browser, heads) == ["original", "honest_prompt", "truth_mix"]
    assert console(browser) == []


@pytest.mark.parametrize("width", [1280, 400])
def test_mitigations_fit_the_screen(browser: Any, report_of_recipes: Path, width: int) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    show(browser, report_of_recipes)
    assert script(browser, "document.documentElement.scrollWidth") <= width
    drawn = "[...document.querySelectorAll('#mitigations figure svg')].map(svg => svg.getBoundingClientRect().height)"
    assert sum(height > 80 for height in script(browser, drawn)) == 2
    assert script(browser, "document.querySelectorAll('.mitigations tbody tr').length") == 10
    assert script(browser, "document.querySelectorAll('#cell-table tbody tr').length") < 400
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("width", [1280, 420])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_the_screen_in_both_schemes(browser: Any, report_of_three: Path, width: int, scheme: str) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    show(browser, report_of_three)
    assert script(browser, "document.documentElement.scrollWidth") <= width
    paper = script(browser, "getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, paper[4:-1].split(","))) > 384) == (scheme == "light")
    ink = script(browser, "getComputedStyle(document.querySelector('figure svg text')).fill")
    assert (sum(map(int, ink[4:-1].split(","))) > 384) == (scheme == "dark")


def test_it_asks_for_nothing_but_itself(browser: Any, report: Path) -> None:
    browser.get_log("performance")
    show(browser, report)
    sent = [entry["message"] for entry in browser.get_log("performance")]
    asked = [line for line in sent if '"Network.requestWillBeSent"' in line]
    assert any(report.as_uri() in line for line in asked)
    assert all(report.as_uri() in line or "about:blank" in line for line in asked)
    assert not any('"url":"http' in line for line in asked)


PAYLOADS = (
    "<script>document.title='owned'</script>",
    "</script><script>document.title='owned'</script>",
    "<img src=x onerror=document.title='owned'>",
    "<svg onload=document.title='owned'>",
    "<svg><script>document.title='owned'</script></svg>",
    "<iframe srcdoc=\"<script>parent.document.title='owned'</script>\">",
    "<a href=javascript:document.title='owned'>here</a>",
    "\" onmouseover=document.title='owned' autofocus onfocus=document.title='owned' x=\"",
    "' onpointerenter=document.title='owned' '",
    "--><script>document.title='owned'</script><!--",
    "]]><script>document.title='owned'</script>",
    "</title></style></textarea><script>document.title='owned'</script>",
    "<math><mi xlink:href=\"javascript:document.title='owned'\">x</mi></math>",
    "<meta http-equiv=refresh content=\"0;url=javascript:document.title='owned'\">",
    "\u2028</script\n><object data=javascript:document.title='owned'>",
    "{{ ''.__class__ }}{% raw %}${document.title='owned'}`",
)
EVERYTHING = " ".join(PAYLOADS)


def of_payloads(folder: Path) -> Path:
    """A comparison in which every text that somebody, a model or a plug-in wrote is made of all payloads."""
    fixed = {"task": "embedded", "family": EVERYTHING, "context": "none", "statement_id": "", "belief": "none"}
    fixed |= dict.fromkeys(("prompt", "answer", "question", "correct", "incorrect", "reason", "grader"), EVERYTHING)
    fixed |= {"n_chars": 9, "finish_reason": "stop"}
    measured = []
    for arm in ("original", "warm"):
        wrong = {"original": 3, "warm": 2}[arm]
        answers = [
            {**fixed, "item_id": f"i{item}", "verdict": "correct" if item % wrong else "incorrect"}
            for item in range(30)
        ]
        found = {"suite": "theirs", "measure": "theirs", "condition": EVERYTHING, "why": EVERYTHING}
        readings = [{**found, "item_id": f"i{item}", "value": float(item % wrong == 0)} for item in range(30)]
        measured.append(Measured(arm_folder("runs", "m", arm, 0, "0" * 8), answers, readings=readings))
    measure = {"title": EVERYTHING, "unit": "%", "sense": "more is worse", "by": EVERYTHING}
    about = dict.fromkeys(("title", "question", "source", "reader", "harm"), EVERYTHING)
    summary = {
        "title": EVERYTHING, "reference": "original", "grader": EVERYTHING, "notes": [EVERYTHING],
        "settings": {EVERYTHING: EVERYTHING}, "suites": {"theirs": {**about, "measures": {"theirs": measure}}},
        "worth_trying": {EVERYTHING: {"recipe": EVERYTHING, "why": EVERYTHING}},
    }  # fmt: skip
    write_comparison(folder, measured, summary, second=None, bootstrap=0)
    return write_report(folder)


@pytest.mark.parametrize("name", ["report.html", "page.html"])
def test_nothing_of_sixteen_payloads_runs(browser: Any, tmp_path: Path, name: str) -> None:
    """The console would tell of what the page's own policy stops: nothing may come so far."""
    console(browser)
    show(browser, of_payloads(tmp_path / "comparison").with_name(name))
    assert "onerror=document.title" in script(browser, "document.body.textContent"), "they are shown as they are"
    places = "document.querySelectorAll('a, td, th, p, li, summary, button, input, select')"
    script(browser, f"[...{places}].forEach(node => {{ node.dispatchEvent(new Event('mouseover')); node.focus(); }})")
    assert script(browser, "document.title") != "owned"
    foreign = "img, iframe, object, math, svg script, meta[http-equiv=refresh], [onerror], [onload], [onmouseover]"
    assert script(browser, f"document.querySelectorAll('{foreign}').length") == 0
    assert console(browser) == []
