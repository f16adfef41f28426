"""A built page as tests read it: what it links to, what it loads, what can be linked to in it."""

import re
from functools import cache
from html.parser import HTMLParser

LOADED = {("script", "src"), ("img", "src"), ("source", "src"), ("iframe", "src"), ("object", "data"), ("use", "href")}
LOADING_LINKS = {"stylesheet", "icon", "preload", "modulepreload", "prefetch", "preconnect", "manifest"}


class Read(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.loaded, self.texts, self.described = [], [], [], [], []
        self.cell, self.rows, self.title, self.titled = None, [], "", False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "link" and LOADING_LINKS & set(given.get("rel", "").split()):
            self.loaded.append(given["href"])
        self.loaded += [given[name] for of, name in LOADED if of == tag and name in given]
        self.loaded += [part.split()[0] for part in given.get("srcset", "").split(",") if part.strip()]
        self.loaded += re.findall(r"url\(([^)]*)\)", given.get("style", "") or "")
        if tag == "img":
            self.described.append(given.get("alt", ""))
        if tag == "title":
            self.titled = not self.title  # pictures may have titles too
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.cell = len(self.rows[-1]) - 1

    def handle_endtag(self, tag):
        if tag == "title":
            self.titled = False
        if tag in ("td", "th"):
            self.cell = None

    def handle_data(self, data):
        self.texts.append(data)
        if self.titled:
            self.title += data
        if self.cell is not None:
            self.rows[-1][self.cell] += data

    @property
    def text(self):
        return "".join(self.texts)


@cache
def read(path):
    return Read(path.read_text(encoding="utf-8"))
