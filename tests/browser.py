"""Chromium for tests that look at pages, and what axe-core finds wrong with them."""

import json
import os
import shutil
from importlib.resources import files

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
SWITCHES = (
    "headless=new",
    "no-sandbox",
    "disable-gpu",
    "disable-quic",
    "no-first-run",
    "disable-sync",
    "disable-background-networking",
    "disable-component-update",
)


def opened(folder, width, height=900, scheme="light"):
    """A selenium driver whose window is `width` CSS pixels wide, of a phone where that is less than 500, in the colour
    `scheme`; its profile is in `folder`."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    os.environ["SE_OFFLINE"] = "true"
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for switch in (*SWITCHES, f"user-data-dir={folder}"):
        options.add_argument(f"--{switch}")
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


def violations(driver):
    """What axe-core finds on the page that is open, of all its rules but the experimental ones: a line for each rule
    broken, with its impact and the elements."""
    driver.execute_script((files("selenium_axe_python") / "axe-core" / "axe.min.js").read_text("utf-8"))
    found = driver.execute_async_script(
        "const done = arguments[arguments.length - 1];"
        "axe.run(document, {resultTypes: ['violations'], preload: false})"
        ".then(done, error => done({error: String(error)}));"
    )
    assert "error" not in found, found
    assert len(found["passes"]) > 10, json.dumps(found)[:500]  # it did look
    return [
        f"{each['impact']} {each['id']}: {'; '.join(str(node['target'][0]) for node in each['nodes'][:5])}"
        for each in found["violations"]
    ]
