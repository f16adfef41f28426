"""Pages as tests read them."""

from html.parser import HTMLParser

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
