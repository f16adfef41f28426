"""docs/benchmarks.md and its plots, from what the benchmarks wrote to docs/benchmarks/."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from benchmarks.plots import draw_depth, draw_throughput
from benchmarks.results import FOLDER, published
from reskeras.report.figures import save_figure

ORDER = ("throughput", "detection", "epochs", "pipeline", "depth", "accelerator")
PLOTS = {"throughput": draw_throughput, "depth": draw_depth}
DESCRIBED = {  # the plots in words
    "throughput": "Bars of images per second by network, training and inference: reskeras, stock Keras and PyTorch",
    "depth": "Lines by depth, from 20 to 1,202 layers: seconds to the first step, seconds of a later step, peak memory",
}


def table(found: dict[str, Any]) -> str:
    """A table in Markdown, with what it is and on which machine."""
    lines = [f"## {found['title']}", "", f"{found['date']}, {found['machine']}. {found['note']}", ""]
    lines += [*_lines(found["columns"], found["rows"]), ""]
    if checks := found.get("checks"):
        lines += [*_lines(("check", "figure", "bound", "result"), checks), ""]
    if skipped := found.get("skipped"):
        lines += [f"Skipped: {'; '.join(skipped)}.", ""]
    return "\n".join(lines)


def _lines(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table: numbers to the right, networks as code, which does not break at its hyphens."""
    numbers = [all(re.match(r"[-\d]|$", row[place]) for row in rows) for place in range(len(columns))]
    rules = ["---:" if right else "---" for right in numbers]
    cells = [
        [f"`{cell}`" if name == "network" else cell for name, cell in zip(columns, row, strict=True)] for row in rows
    ]
    return ["| " + " | ".join(row) + " |" for row in (columns, rules, *cells)]


def main() -> None:
    """Write the page from whatever was measured."""
    found = {name: data for name in ORDER if (data := published(name))}
    for name, draw in PLOTS.items():
        if name in found:
            save_figure(draw(found[name]), FOLDER / f"{name}.png")
    notes = FOLDER / "notes.md"  # it says how to run the accelerator's benchmark, and of what it has not measured
    parts = ["# Benchmarks", "", "Made by `make bench`; nothing here is typed by hand but the notes.", ""]
    for name, data in found.items():
        parts.append(table(data))
        if (FOLDER / f"{name}.png").exists():
            parts += [f"![{DESCRIBED[name]}](benchmarks/{name}.png)", ""]
    parts.append(notes.read_text(encoding="utf-8") if notes.exists() else "")
    (FOLDER.parent / "benchmarks.md").write_text("\n".join(parts).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
