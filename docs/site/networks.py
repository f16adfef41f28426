"""The catalogue of named networks as a page with a sortable table."""

from __future__ import annotations

from functools import partial

from docs.site.page import Page, address, block, code, prose, table
from reskeras.networks.catalog import catalog
from reskeras.quantities import short
from reskeras_cli.list import described_rows
from reskeras_cli.output import shape_text

PATH = "catalogue.md"
PAPERS = "v1 is [arXiv:1512.03385](https://arxiv.org/abs/1512.03385), v2 [arXiv:1603.05027](https://arxiv.org/abs/1603.05027)."
EXAMPLES = "reskeras list --filter preact\nreskeras show resnet-50\nreskeras build --depth 152 --preact"
HEAD = ["name", "layers", "block", "shortcut", "skip", "order", "input", "parameters", "multiply-adds", "source"]


def pages() -> list[Page]:
    """The page of the catalogue."""
    rows = [
        [
            f'<span id="{row["name"]}">{code(row["name"])}</span>',
            f"{row['layers']:,}" if isinstance(row["layers"], int) else str(row["layers"]),
            *(prose(str(row[name])) for name in ("block", "shortcut", "skip", "order")),
            shape_text(row["input_shape"]),
            short(row["parameters"]),
            short(row["multiply_adds"]),
            prose(row["source"]),
        ]
        for row in described_rows()
    ]
    to = partial(address, PATH)
    flags, files = to("commands/show.md", "set"), to("reference/network.md")
    text = "\n\n".join(
        [
            "# Networks by name",
            f"The {len(catalog())} networks of the catalogue, with costs counted before they are built; multiply-adds"
            f" are those of one image in the input shape given. {PAPERS}",
            block(EXAMPLES, "shell"),
            f"Every name is a starting point: flags and [`--set`]({flags}) change any of its fields, and a"
            f" [network file]({files}) describes a network that has no name.",
            table(HEAD, rows, right=["layers", "parameters", "multiply-adds"], kind="sortable"),
        ]
    )
    summary = "All named networks with their fields and costs."
    return [Page(PATH, "Networks", text, "reskeras/networks/catalog.py", summary, wide=True)]
