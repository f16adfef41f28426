"""The site in Chromium, opened from file://: it loads in silence, searches, sorts, copies, leads on, fits, prints."""

import base64
import json
import re
import time

import pytest

from docs.site.redirects import OLD_ANCHORS
from tests.browser import violations

LOOKED_AT = [  # at all widths and in all colours; all pages are slow to look at, and so at one
    "index.html",
    "commands/index.html",
    "commands/train.html",
    "catalogue.html",
    "reference/recipe.html",
    "reference/suites.html",
    "api/training.html",
    "results/index.html",
    "results/files.html",
    "gallery.html",
    "benchmarks.html",
    "contributing.html",
]


@pytest.fixture(scope="module")
def wide(chromium):
    return chromium(1280)


def eventually(found, seconds=10):
    """What `found()` returns, once that is true."""
    until = time.monotonic() + seconds
    while not (value := found()) and time.monotonic() < until:
        time.sleep(0.05)
    assert value
    return value


def requested(driver):
    """Addresses that pages asked for since the last call."""
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
    return [each["request"]["url"] for each in asked if each["documentURL"].startswith("file:")]


@pytest.mark.parametrize(
    ("width", "scheme", "whole"),
    [
        (390, "dark", False),
        (1280, "light", False),
        pytest.param(390, "light", False, marks=pytest.mark.slow),
        pytest.param(1280, "dark", False, marks=pytest.mark.slow),
        pytest.param(1280, "light", True, marks=pytest.mark.slow),
    ],
)
def test_axe_finds_no_error_and_no_page_is_wider_than_its_window(site, chromium, width, scheme, whole):
    driver = chromium(width, scheme=scheme)
    everything = [path.relative_to(site).as_posix() for path in site.rglob("*.html")]
    pages = [path for path in everything if path != "404.html" and not re.match(r"results/.*/report\.html", path)]
    assert len(pages) > 70 and set(LOOKED_AT) <= set(pages)
    for page in pages if whole else LOOKED_AT:
        driver.get((site / page).as_uri())
        needed, window = driver.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
        assert needed <= window, page
        assert violations(driver) == [], page
    assert driver.get_log("browser") == []
    asked = requested(driver)
    assert len(asked) > len(LOOKED_AT)
    assert [address for address in asked if not address.startswith(("file:", "data:", "about:"))] == []


@pytest.mark.parametrize("width", [390, 768])
def test_no_option_is_broken_and_no_heading_ends_in_an_empty_line(site, chromium, width):
    driver = chromium(width)
    seen = 0
    for page in ("guides/train.html", "guides/localise.html", "guides/fine-tune.html"):
        driver.get((site / page).as_uri())
        broken, options, empty = driver.execute_script(LINES)
        assert broken == [] and empty == [], page
        seen += options
    assert seen > 30


# options that are in more than one line, how many there are in code, headings that the mark of a link makes higher
LINES = """
const broken = [], empty = [];
let options = 0;
for (const code of document.querySelectorAll(".md-typeset :not(pre) > code")) {
  const texts = document.createTreeWalker(code, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) for (const found of texts.currentNode.data.matchAll(/--[a-z-]+/g)) {
    const range = document.createRange();
    range.setStart(texts.currentNode, found.index);
    range.setEnd(texts.currentNode, found.index + found[0].length);
    options += 1;
    if (new Set([...range.getClientRects()].map((box) => Math.round(box.top))).size > 1) broken.push(found[0]);
  }
}
for (const mark of document.querySelectorAll(".headerlink")) {
  const heading = mark.parentElement, before = heading.offsetHeight;
  mark.remove();
  if (heading.offsetHeight < before) empty.push(heading.innerText);
}
return [broken, options, empty];
"""


def test_axe_sees_a_picture_without_a_description(site, wide):
    wide.get((site / "index.html").as_uri())
    wide.execute_script("for (const each of document.images) each.removeAttribute('alt')")
    assert [found.split()[1] for found in violations(wide)] == ["image-alt:", "link-name:"]  # pictures are links, too


def test_search_finds_pages_though_opened_from_a_file(site, wide):
    from selenium.webdriver.common.by import By

    wide.get((site / "index.html").as_uri())
    wide.find_element(By.TAG_NAME, "body").send_keys("/")
    eventually(lambda: wide.execute_script("return Boolean(document.activeElement.shadowRoot?.activeElement)"))
    wide.switch_to.active_element.send_keys("squeeze")
    links = eventually(lambda: wide.execute_script(SEARCHED))
    assert any("reference/network.html" in link for link in links)
    assert wide.get_log("browser") == []


# the search is drawn in a shadow root
SEARCHED = """
const roots = [...document.querySelectorAll("*")].map((each) => each.shadowRoot).filter(Boolean);
return roots.flatMap((root) => [...root.querySelectorAll("a")]).map((each) => each.href);
"""
SHOWN = """
const rows = [...document.querySelectorAll(".sortable tbody tr")].filter((row) => !row.hidden);
return rows.map((row) => row.cells[arguments[0]].innerText);
"""


def column(driver, number):
    return driver.execute_script(SHOWN, number)


def test_the_catalogue_sorts_by_number_and_by_text_and_filters(site, wide):
    from selenium.webdriver.common.by import By

    wide.get((site / "catalogue.html").as_uri())
    button = wide.find_elements(By.CSS_SELECTOR, ".sortable th button")
    before = column(wide, 0)
    button[1].click()
    layers = [int(text.replace(",", "")) for text in column(wide, 1)]
    assert layers == sorted(layers) and max(layers) > 1000
    button[7].click()
    button[7].click()
    sizes = [float(text.split()[0]) * {"k": 1e3, "M": 1e6}[text.split()[1]] for text in column(wide, 7)]
    assert sizes == sorted(sizes, reverse=True)
    assert wide.find_elements(By.CSS_SELECTOR, ".sortable th")[7].get_attribute("aria-sort") == "descending"
    button[0].click()
    assert sorted(before) == sorted(column(wide, 0)) and column(wide, 0) != before
    wide.find_element(By.CSS_SELECTOR, ".filter input").send_keys("preact 152")
    assert column(wide, 0) == ["preact-152"]
    assert wide.find_element(By.CSS_SELECTOR, ".filter-line [role=status]").text == f"1 of {len(before)}"


@pytest.mark.parametrize(
    "page, commands",
    [
        ("catalogue.html", ["reskeras list --filter preact", "reskeras show resnet-50"]),
        ("results/index.html", ["reskeras reproduce all --scale budget --data-dir DIR"]),
    ],
)
def test_a_copy_button_copies_the_commands(site, wide, page, commands):
    copied = copied_from(site / page, wide, 0)
    assert copied.splitlines()[: len(commands)] == commands


@pytest.mark.parametrize(
    "command", ["reskeras report docs/results/v1-figure-6", "reskeras report docs/results/v1-figure-7"]
)
def test_of_a_console_only_the_commands_are_copied(site, wide, command):
    [number] = [
        number
        for number, text in enumerate(
            re.findall(r"```.*?```", (site / "results/index.md").read_text("utf-8"), re.DOTALL)
        )
        if f"$ {command}\n" in text
    ]
    assert copied_from(site / "results/index.html", wide, number) == command


def copied_from(page, driver, number):
    """What the copy button of a block of code, by its number in the page, puts on the clipboard."""
    from selenium.webdriver.common.by import By

    driver.get(page.as_uri())
    block = driver.find_elements(By.CSS_SELECTOR, ".md-typeset .highlight")[number]
    driver.execute_script("arguments[0].scrollIntoView({ block: 'center' })", block)
    [button] = eventually(lambda: block.find_elements(By.CSS_SELECTOR, "button[title*=Copy]"))
    driver.execute_script(RECORDED)
    button.click()
    [copied] = eventually(lambda: driver.execute_script("return copied.length ? copied : null"))
    return copied.strip()


# the button selects a text field that it hides, and copies that
RECORDED = """
window.copied = [];
document.addEventListener("copy", () => copied.push(document.activeElement.value ?? String(getSelection())), true);
"""


@pytest.mark.parametrize("anchor", ["fine-tune", "detect-objects", "differences-from-other-resnets"])
def test_links_to_the_old_readme_lead_on(site, wide, anchor):
    wide.get(f"{(site / 'index.html').as_uri()}#{anchor}")
    target = OLD_ANCHORS[anchor].replace(".md", ".html")
    eventually(lambda: wide.current_url.endswith(target))


def test_other_anchors_of_the_first_page_stay(site, wide):
    wide.get(f"{(site / 'index.html').as_uri()}#reskeras")
    time.sleep(0.3)
    assert wide.current_url.endswith("index.html#reskeras")


def test_the_colours_can_be_chosen(site, wide):
    from selenium.webdriver.common.by import By

    wide.get((site / "index.html").as_uri())
    seen = set()
    for _ in range(3):
        [label] = [
            each for each in wide.find_elements(By.CSS_SELECTOR, "form label[for^=__palette]") if each.is_displayed()
        ]
        label.click()
        seen.add(wide.execute_script("return document.body.dataset.mdColorScheme"))
    assert seen == {"default", "slate"}


def test_a_page_prints_with_all_of_its_tables(site, wide):
    wide.get((site / "catalogue.html").as_uri())
    printed = base64.b64decode(wide.execute_cdp_cmd("Page.printToPDF", {"landscape": True})["data"])
    assert printed.startswith(b"%PDF") and printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page ") > 2
