"""Pages as tests read them: as HTML, and in Chromium."""

import shutil
from html.parser import HTMLParser

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
VOID = {"meta", "link", "img", "br"}


class Balanced(HTMLParser):
    """Knows the open elements; fails when one is closed that is not open."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.headings, self.images = [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def browser(folder, width, height=900, scheme="light"):
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for word in (
        "headless=new",
        "no-sandbox",
        "disable-gpu",
        "disable-quic",
        "no-first-run",
        "disable-sync",
        "disable-background-networking",
        "disable-component-update",
        f"user-data-dir={folder}",
    ):
        options.add_argument(f"--{word}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    return driver


def parsed_page(text):
    """The page as `Balanced` reads it: well formed, its pictures in it and described, no address from outside."""
    parser = Balanced()
    parser.feed(text)
    assert parser.open == []
    for tag, attributes in parser.seen:
        if tag == "img":
            assert attributes["src"].startswith("data:image/")
            assert len(attributes["alt"]) > 10
        assert not attributes.get("href", "#").startswith(("http", "//"))
    return parser
