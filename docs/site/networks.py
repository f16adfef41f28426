"""The catalogue of named networks as a page with a sortable table."""

from __future__ import annotations

from docs.site.page import Page, block, code, prose, table
from reskeras.networks.catalog import catalog
from reskeras_cli.list import described_rows
from reskeras_cli.output import shape_text, short

PATH = "catalogue.md"
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
    here = Page(PATH, "", "", "")
    text = "\n\n".join(
        [
            "# Networks by name",
            f"The {len(catalog())} networks of the catalogue, with costs counted from their plans before anything is built"
            " (multiply-adds of one image in the input shape given). v1 is [arXiv:1512.03385](https://arxiv.org/abs/1512.03385),"
            " v2 [arXiv:1603.05027](https://arxiv.org/abs/1603.05027).",
            block("reskeras list --filter preact\nreskeras show resnet-50\nreskeras build --depth 152 --preact", "shell"),
            f"Every name is a starting point: flags and [`--set`]({here.to('commands/show.md', 'set')}) change any of its"
            f" fields, and a [network file]({here.to('reference/network.md')}) describes one that has no name.",
            table(HEAD, rows, right=["layers", "parameters", "multiply-adds"], sortable=True),
        ]
    )
    return [Page(PATH, "Networks", text, "reskeras/networks/catalog.py", "All named networks with their fields and costs.")]
