"""The report page: self-contained and escaped; in Chromium it loads in silence, sorts, fits phones, prints."""

import base64
import json
import re
import shutil
from dataclasses import replace

import pytest
from click.testing import CliRunner

import reskeras
from reskeras.report.page import render, write_page
from reskeras.report.sections import Facts, Gallery, Image, Page, Table
from reskeras_cli.main import commands
from tests.browser import violations
from tests.report.reading import parsed_page

HOSTILE = "<script>alert(1)</script>\"'&\x1b\u202e"


@pytest.fixture(scope="module")
def pages(trained, tmp_path_factory):
    """The page of one run, with analysis and exports, and of two."""
    folder = tmp_path_factory.mktemp("pages")
    one = reskeras.Run(shutil.copytree(trained.path, folder / "one"))
    one.analyse(images=40, lesions=2)
    one.export("tflite", timing=True)
    other = reskeras.Run(shutil.copytree(trained.path, folder / "other"))
    return {"one": reskeras.write_report(one), "two": reskeras.write_report(one, other, out=folder / "two.html")}


@pytest.mark.parametrize("which", ["one", "two"])
def test_a_page_is_well_formed_and_needs_nothing_from_outside(pages, which):
    text = pages[which].read_text(encoding="utf-8")
    parser = parsed_page(text)
    assert sum(tag == "h1" for tag, _ in parser.seen) == 1
    assert len({attributes["id"] for _, attributes in parser.seen if "id" in attributes}) == sum(
        "id" in attributes for _, attributes in parser.seen
    )
    assert len(text) < 3_000_000


def test_a_page_of_one_run_has_everything(pages, trained):
    text = pages["one"].read_text(encoding="utf-8")
    titles = re.findall(r"<h2[^>]*>(.*?)</h2>", text)
    assert titles[0] == "Summary"
    assert {
        "Training and test error",
        "Layer responses",
        "Gradients",
        "Units removed and swapped",
        "Confusion matrix",
        "Exports",
        "Provenance",
        f"Network {trained.name}",
    } <= set(titles)
    assert f"{1 - trained.evaluate().top1:.2%}" in text
    assert trained.folder.provenance()["versions"]["tensorflow"] in text


def test_a_run_whose_log_lacks_a_measure_has_a_page(trained, tmp_path):
    run = reskeras.Run(shutil.copytree(trained.path, tmp_path / "run"))
    log = run.path / "metrics.jsonl"
    log.write_text(log.read_text().replace('"accuracy"', '"other"'))
    assert ">Summary</h2>" in reskeras.write_report(run).read_text(encoding="utf-8")


def test_two_runs_are_in_one_plot_and_told_apart(pages):
    text = pages["two"].read_text(encoding="utf-8")
    assert text.count(">Training and test error</h2>") == 1
    assert len(re.findall(r"<h2[^>]*>Provenance, .*?</h2>", text)) == 2
    assert len(re.findall(r"<h2[^>]*>Network .*?</h2>", text)) == 1  # equal networks are drawn once


def test_what_comes_from_outside_is_escaped():
    page = Page(
        HOSTILE,
        HOSTILE,
        [
            Facts(HOSTILE, [(HOSTILE, HOSTILE)], HOSTILE),
            Table(HOSTILE, [HOSTILE], [[HOSTILE]], HOSTILE, [HOSTILE]),
            Gallery(HOSTILE, [Image("data:,", HOSTILE, HOSTILE)], HOSTILE),
        ],
    )
    text = render(page)
    assert "<script>alert" not in text
    assert "\x1b" not in text and "\u202e" not in text and r"\x1b\u202e" in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert text.count("<script>") == 1


def test_a_run_without_its_images_says_so(copied):
    path = copied.path / "provenance.json"
    facts = json.loads(path.read_text())
    facts["data"]["name"] = "folder:/nowhere/at/all"
    path.write_text(json.dumps(facts))
    text = reskeras.write_report(copied).read_text(encoding="utf-8")
    assert "no test error (data: folder not found: /nowhere/at/all)" in text
    assert ">Training and test error</h2>" in text
    assert "Confusion matrix" not in text


def test_the_command_prints_and_writes(copied):
    done = CliRunner().invoke(commands, ["report", str(copied.path)])
    assert done.exit_code == 0, done.output
    assert str(copied.path / "report.html") in done.stdout
    assert (copied.path / "report.html").is_file()


@pytest.mark.slow
def test_a_suites_page_sets_published_beside_measured(tmp_path):
    reskeras.reproduce("v1-figure-7", "smoke", rows=["plain-20", "resnet-20"], out=tmp_path)
    folder = tmp_path / "v1-figure-7" / "smoke"
    made = (folder / "report.html").read_text(encoding="utf-8")
    (folder / "report.html").unlink()
    done = CliRunner().invoke(commands, ["report", str(folder)])
    assert done.exit_code == 0, done.output
    again = (folder / "report.html").read_text(encoding="utf-8")
    assert re.sub(r'src="[^"]*"', "", again) == re.sub(r'src="[^"]*"', "", made)
    assert "digits instead of cifar10" in made
    assert ">Layer responses</h2>" in made
    (folder / "results.json").write_text("{}")
    broken = CliRunner().invoke(commands, ["report", str(folder)])
    assert (broken.exit_code, "is broken" in broken.stderr) == (1, True)


VIEWS = [(1280, "light"), (768, "light"), (390, "light"), (1280, "dark"), (390, "dark")]


@pytest.fixture(scope="module", params=VIEWS, ids=str)
def opened(request, pages, chromium):
    driver = chromium(request.param[0], scheme=request.param[1])
    driver.get(pages["one"].as_uri())
    yield driver
    driver.quit()


def test_it_loads_in_silence_and_asks_the_network_for_nothing(opened, pages):
    assert opened.get_log("browser") == []
    asked = [
        message["params"]["request"]["url"]
        for entry in opened.get_log("performance")
        if (message := json.loads(entry["message"])["message"])["method"] == "Network.requestWillBeSent"
    ]
    assert pages["one"].as_uri() in asked
    assert all(url.startswith(("data:", pages["one"].as_uri(), "chrome", "about:")) for url in asked)


def test_every_picture_is_there_and_nothing_is_wider_than_the_screen(opened):
    sizes = opened.execute_script("return [...document.images].map(each => each.complete && each.naturalWidth)")
    assert len(sizes) >= 6
    assert all(sizes)
    assert opened.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")


def test_tables_sort_by_click_and_by_keyboard(opened):
    from selenium.webdriver.common.keys import Keys

    table = "document.querySelector('section[aria-labelledby] table')"
    opened.execute_script(f"""
        const body = {table}.tBodies[0];
        for (const number of ['9', '1,000', '20']) {{
          const row = body.rows[0].cloneNode(true);
          row.cells[2].textContent = number;
          body.append(row);
        }}
        body.rows[0].remove();""")
    column = f"return [...{table}.tBodies[0].rows].map(row => row.cells[2].textContent)"
    button = opened.execute_script(f"return {table}.tHead.rows[0].cells[2].querySelector('button')")
    button.click()
    assert opened.execute_script(column) == ["9", "20", "1,000"]
    button.send_keys(Keys.ENTER)
    assert opened.execute_script(column) == ["1,000", "20", "9"]
    assert opened.execute_script(f"return {table}.tHead.rows[0].cells[2].ariaSort") == "descending"


def test_text_stands_out_from_what_is_behind_it(opened):
    pairs = opened.execute_script("""
        const behind = each => { for (; each; each = each.parentElement) {
          const colour = getComputedStyle(each).backgroundColor;
          if (!/, 0\\)$/.test(colour)) return colour; } return 'rgb(255, 255, 255)'; };
        return [...document.querySelectorAll('h1,h2,p,a,dt,dd,th,td,caption,figcaption,button')].map(
          each => [getComputedStyle(each).color, behind(each)]);""")
    assert len(pairs) > 50
    assert min(contrast(*pair) for pair in pairs) >= 4.5


def contrast(one, other):
    """WCAG 2.1, contrast ratio of two CSS colours."""

    def luminance(colour):
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_axe_finds_nothing(opened):
    assert violations(opened) == []


def test_headings_are_in_order_and_all_is_in_landmarks(opened):
    levels = opened.execute_script("return [...document.querySelectorAll('h1,h2,h3,h4')].map(each => each.tagName)")
    assert levels[0] == "H1" and set(levels[1:]) == {"H2"}
    parts = opened.execute_script("return [...document.body.children].map(each => each.tagName)")
    assert set(parts) <= {"A", "HEADER", "MAIN", "FOOTER", "SCRIPT"}


def test_what_is_wider_than_the_page_scrolls_by_keyboard_and_nothing_else_is_stopped_at(opened):
    wide = opened.execute_script("""
        return [...document.querySelectorAll('.wide')].map(
          each => [each.scrollWidth > each.clientWidth, each.tabIndex])""")
    assert all(stop == (0 if scrolls else -1) for scrolls, stop in wide)
    width = opened.execute_script("return window.innerWidth")
    assert any(scrolls for scrolls, _ in wide) or width > 1000
    clipped = opened.execute_script("""
        return [...document.querySelectorAll('td, th, caption, dd, figcaption')].filter(
          each => each.scrollWidth > each.clientWidth + 1).map(each => each.textContent)""")
    assert clipped == []


def test_the_first_column_stays_while_a_table_scrolls(opened):
    places = opened.execute_script("""
        const wide = [...document.querySelectorAll('.wide')].find(
          each => each.querySelector('table') && each.scrollWidth > each.clientWidth);
        if (!wide) return null;
        const cell = wide.querySelector('tbody th');
        const before = cell.getBoundingClientRect().left;
        wide.scrollLeft = 80;
        const after = cell.getBoundingClientRect().left;
        wide.scrollLeft = 0;
        return [before, after];""")
    assert places is None or abs(places[0] - places[1]) < 8


def test_plots_are_dark_on_a_light_card_and_as_wide_as_a_phone(opened):
    plots = opened.execute_script("""
        return [...document.querySelectorAll('.plot:not(.large) img')].map(each => {
          const place = each.getBoundingClientRect();
          return [getComputedStyle(each).backgroundColor, place.right, place.left]; })""")
    width = opened.execute_script("return document.documentElement.clientWidth")
    assert len(plots) >= 5
    assert all(colour == "rgb(255, 255, 255)" and left >= 0 and right <= width for colour, right, left in plots)


def test_focus_is_seen(opened):
    from selenium.webdriver.common.keys import Keys

    opened.get(opened.current_url)
    page = opened.switch_to.active_element
    for _ in range(4):
        page.send_keys(Keys.TAB)
        page = opened.switch_to.active_element
        style = opened.execute_script(
            "const style = getComputedStyle(document.activeElement);"
            "return [style.outlineStyle, parseFloat(style.outlineWidth)]"
        )
        assert style[0] == "solid" and style[1] >= 2, page.get_attribute("outerHTML")[:200]


def test_on_paper_nothing_is_cut_off_and_all_is_dark_on_white(pages, chromium, tmp_path):
    columns = [f"heading number {place}" for place in range(13)]
    row = ["a_name_without_spaces" * 3, *["12.34% ± 0.56%"] * 11, "a sentence " * 20]
    wide = write_page(
        Page("wide", "", [Table("t", columns, [row], "caption", sentences=columns[-1:])]), tmp_path / "wide.html"
    )
    driver = chromium(718, 1000)  # A4 with margins of 1 cm
    media = {"media": "print", "features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    for page in (wide, pages["two"]):
        driver.get(page.as_uri())
        cut = driver.execute_script("""
            return [...document.querySelectorAll('table, img, dl, p')].filter(
              each => each.getBoundingClientRect().right > window.innerWidth + 1).map(
              each => [each.getBoundingClientRect().right, each.outerHTML.slice(0, 200)])""")
        assert cut == []
    colours = driver.execute_script(
        "const style = getComputedStyle(document.body); return [style.color, style.backgroundColor]"
    )
    assert colours == ["rgb(0, 0, 0)", "rgb(255, 255, 255)"]


def test_it_prints(opened):
    printed = base64.b64decode(opened.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"])
    assert printed.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b(?!s)", printed)) >= 2


def test_a_page_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    page = Page("x", "y", [Facts("z", [("a", "b")])])
    path = write_page(page, tmp_path / "new" / "page.html")
    before = path.read_text()
    from reskeras.report import page as module

    monkeypatch.setattr(module, "render", lambda page: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_page(replace(page, title="other"), path)
    assert path.read_text() == before
