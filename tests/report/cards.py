"""Model cards as tests make them, and as they read them: by huggingface_hub and by a Markdown parser."""

import re
from dataclasses import replace

from markdown_it import MarkdownIt

from reskeras.networks.request import network
from reskeras.recipes.recipe import Recipe
from reskeras.report.card import Card
from reskeras.report.card_results import CardResults, Figure
from reskeras.report.stage_table import stage_table

HOSTILE = [
    "<script>alert(1)</script>",
    "</code><img src=x onerror=alert(1)>",
    "[click](javascript:alert(1))",
    "![x](https://evil.example/x.png)",
    "https://evil.example/path",
    "www.evil.com",
    "evil.com",
    "mail@evil.com",
    "a|b",
    "a\\|b`c|",
    "`code` ``two`` ```",
    "`",
    "``` \n```html\n<b>",
    "| --- | --- |",
    "# heading",
    "- item",
    "1. item",
    "> quote",
    "***",
    "---\nlicense: mit\n---",
    "__bold__ *it* ~~gone~~",
    "$$x^2$$ \\(y\\)",
    ":smile: @user #12",
    "&lt;b&gt; &#60; &amp;",
    "<!-- comment",
    "--> <b>",
    "\x1b[31mred\x07\x00",
    "left\u202eright\u2066",
    "line\nbreak\r\n\ttab\u2028end",
    "\ud800\udc80",
    "  spaces  ",
    "{{ jinja }} ${shell} $(rm) !ruby/object",
    "café 猫 ねこ кот",
    "'\"",
    "=====",
    "x" * 5000,
]


def card(**fields):
    """A card of a small classifier with the given `fields`."""
    plan = network("cifar-resnet-20", classes=10, input_shape=[32, 32, 3]).lower()
    known = Card(
        name="cifar-resnet-20",
        noun="classifier",
        task="classification",
        program=("reskeras",),
        pipeline="image-classification",
        described="depth 20: cifar, basic units 3, 3, 3, shortcut A, order original",
        network=[stage_table({"": plan})],
        input_shape=(32, 32, 3),
        pixels="resize to cover 32x32, crop its centre",
        classes=["cat", "dog"],
        provenance={
            "made": "2026-01-01T00:00:00+00:00",
            "versions": {"reskeras": "0.1.0"},
            "data": {"name": "folder:/home/somebody/my photos", "label": "my photos", "train": 90, "test": 40},
        },
        recipe=Recipe(epochs=3),
        epochs=3,
        results=CardResults(
            "my photos",
            "test",
            40,
            "single view",
            (Figure("top-1 accuracy", "accuracy", 0.9, (0.77, 0.96)), Figure("loss", "loss", 0.5, share=False)),
        ),
        missing="",
        proofs=(),
        usage=("print(run)",),
        caveats=("It is a test.",),
        base="",
        version="0.1.0",
    )
    return replace(known, **fields)


def tokens(markdown):
    """All tokens of a card's body, nested ones too, with tables and addresses recognised as GitHub and the hub do."""
    parser = MarkdownIt("gfm-like")
    every = []
    for token in parser.parse(body(markdown)):
        every += [token, *(token.children or [])]
    return every


def body(markdown):
    """What follows the YAML."""
    return re.sub(r"\A---\n.*?\n---\n", "", markdown, flags=re.DOTALL)


def cells(markdown):
    """The cells of all tables, as their readers see them."""
    found, every = [], MarkdownIt("gfm-like").parse(body(markdown))
    for place, token in enumerate(every):
        if token.type in ("td_open", "th_open"):
            found.append("".join(seen(child) for child in every[place + 1].children))
    return found


def seen(token):
    """The text of an inline token; of HTML none."""
    return token.content if token.type in ("text", "code_inline", "text_special") else ""
