"""The built site: every link leads somewhere, nothing is loaded from elsewhere, each page says what it is made of."""

import json
import re
from urllib.parse import unquote, urlsplit

import pytest

import reskeras
from docs.site.build import build
from docs.site.redirects import OLD_ANCHORS
from tests.docs.conftest import REPOSITORY
from tests.docs.reading import Read, read

STYLED = re.compile(r"""url\(\s*['"]?([^'")]+)|@import\s+['"]([^'"]+)""")
FOREIGN = re.compile(r"[a-z][a-z0-9+.-]*:|//")
# where a visitor is led by a link that is clicked; nothing of these is loaded
PLACES = {"arxiv.org", "example.org", "filesystem-spec.readthedocs.io", "github.com"}


@pytest.fixture(scope="module")
def pages(site):
    found = {path.relative_to(site).as_posix(): read(path) for path in site.rglob("*.html")}
    return {
        name: page for name, page in found.items() if not re.match(r"results/.*/report\.html", name)
    }  # see tests/report


def test_every_link_leads_to_a_page_or_file_and_to_an_anchor_in_it(site, pages):
    seen = 0
    for name, page in pages.items():
        if name == "404.html":  # its addresses are those of the server's root
            continue
        for link in page.links:
            address = urlsplit(link)
            if address.scheme or address.netloc:
                assert (address.scheme, address.hostname) in {("https", place) for place in PLACES}, (name, link)
                continue
            target = (site / name).parent / unquote(address.path) if address.path else site / name
            assert target.resolve().is_file(), (name, link)
            if address.fragment and target.suffix == ".html":
                assert unquote(address.fragment) in read(target.resolve()).ids, (name, link)
            seen += 1
    assert seen > 5000


def test_nothing_is_loaded_from_elsewhere(site, pages):
    for name, page in pages.items():
        assert page.loaded
        for address in page.loaded:
            if name != "404.html" and not address.startswith("data:"):
                assert not FOREIGN.match(address), (name, address)
                assert ((site / name).parent / urlsplit(address).path).resolve().is_file(), (name, address)
    for style in site.rglob("*.css"):
        for one, other in STYLED.findall(style.read_text(encoding="utf-8")):
            assert not FOREIGN.match(one or other) or one.startswith("data:"), (style, one or other)


def test_a_foreign_asset_would_be_seen():
    page = Read(
        '<link rel="stylesheet" href="https://cdn/a.css"><script src="//cdn/b.js"></script><img srcset="c.png 2x">'
    )
    assert [bool(FOREIGN.match(address)) for address in page.loaded] == [True, True, False]


def test_anchors_are_unique(pages):
    for name, page in pages.items():
        assert len(page.ids) == len(set(page.ids)), (name, [each for each in page.ids if page.ids.count(each) > 1])


def test_titles_tell_pages_apart(pages):
    titles = {name: re.sub(r"\s+", " ", page.title) for name, page in pages.items() if name != "404.html"}
    assert titles["index.html"] == f"reskeras {reskeras.__version__}"
    assert titles["commands/data.html"] == f"reskeras data - reskeras {reskeras.__version__}"
    assert len(set(titles.values())) == len(titles)


def test_every_picture_leads_to_itself(site, pages):
    shown = {
        (name, address) for name, page in pages.items() for address in page.loaded if address.endswith((".png", ".jpg"))
    }
    assert len(shown) > 30
    assert [(name, address) for name, address in shown if address not in pages[name].links] == []


def test_every_picture_is_described(pages):
    described = {path: [words for words in page.described if words != "logo"] for path, page in pages.items()}
    assert len(described["gallery.html"]) > 15
    assert [(path, words) for path, each in described.items() for words in each if len(words) < 5] == []


def test_every_page_says_what_it_is_made_of_and_links_to_it(pages, navigation):
    for path, page in navigation.pages.items():
        built = pages[path.replace(".md", ".html")]
        assert f"{REPOSITORY}/edit/main/{page.source}" in built.links, path
        assert f"Made from {page.source} of reskeras" in " ".join(built.text.split()), path


def test_sources_of_pages_exist(navigation, request):
    for page in navigation.pages.values():
        assert (request.config.rootpath / page.source).exists(), page


def test_the_version_is_shown(pages):
    assert all(f"reskeras {reskeras.__version__}" in page.text for page in pages.values())


def test_old_links_to_the_readme_lead_to_pages(site):
    moved = json.loads(re.sub(r"^var moved = |;\s*$", "", (site / "assets/moved.js").read_text()))
    assert moved.keys() == OLD_ANCHORS.keys()
    for target in moved.values():
        path, _, anchor = target.partition("#")
        assert not anchor or anchor in read(site / path).ids
        assert (site / path).is_file()


def test_programs_get_every_page_as_markdown(site, navigation):
    listed = (site / "llms.txt").read_text(encoding="utf-8")
    assert listed.startswith("# reskeras")
    links = re.findall(r"^- \[[^\]]+\]\(([^)]+)\)", listed, flags=re.MULTILINE)
    assert sorted(links) == sorted(navigation.pages)
    whole = (site / "llms-full.txt").read_text(encoding="utf-8")
    for path in links:
        text = (site / path).read_text(encoding="utf-8").strip()
        assert text.startswith(("# ", "<!--")) and text in whole


def test_the_404_page_works_below_any_address(tmp_path):
    build(tmp_path, url="https://example.org/below/")
    page = Read((tmp_path / "site/404.html").read_text(encoding="utf-8"))
    assert "There is no such page" in page.text
    inner = [address for address in page.loaded if not address.startswith("data:")]
    assert inner and all(address.startswith("/below/") for address in inner)


def test_a_broken_link_ends_the_build(tmp_path, request, monkeypatch):
    from docs.site import gallery
    from docs.site.page import Page

    good = gallery.pages(request.config.rootpath)
    bad = [Page(page.path, page.title, f"{page.text}\n\n[nowhere](index.md#nowhere)", page.source) for page in good]
    monkeypatch.setattr(gallery, "pages", lambda root: bad)
    with pytest.raises(SystemExit, match="anchor does not exist"):
        build(tmp_path)
