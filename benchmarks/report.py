"""docs/benchmarks.md and its plots, from what the benchmarks wrote to docs/benchmarks/."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib

from benchmarks.results import FOLDER, published

matplotlib.use("Agg")
import matplotlib.pyplot as plt

ORDER = ("throughput", "detection", "epochs", "pipeline", "depth", "accelerator")
COLOURS = {"reskeras": "#0b6e4f", "stock": "#b0b0b0", "PyTorch": "#d1603d", "keras": "#7a7a7a"}


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
    return ["| " + " | ".join(row) + " |" for row in (columns, ["---"] * len(columns), *rows)]


def plot_throughput(found: dict[str, Any]) -> None:
    """Times stock Keras float32, one group of bars for each network and task."""
    groups = list(dict.fromkeys((row[0], row[1]) for row in found["rows"]))
    names = list(dict.fromkeys(row[3] for row in sorted(found["rows"], key=lambda row: "applications" in row[3])))[::-1]
    figure, axes = plt.subplots(1, len(groups), figsize=(2.6 * len(groups), 3.4))
    for axis, group in zip(axes, groups, strict=True):
        rows = [row for row in found["rows"] if (row[0], row[1]) == group]
        for row in rows:
            place, colour = names.index(row[3]), COLOURS[row[3].split()[0].split(".")[0]]
            axis.barh(place, float(row[6]), color=colour, alpha=1.0 if "bfloat16" in row[3] else 0.6)
            axis.text(float(row[6]) + 0.03, place, f"{float(row[4]):,.0f}/s", va="center", fontsize=7)
        axis.set_yticks(range(len(names)), names if axis is axes[0] else [""] * len(names), fontsize=8)
        axis.tick_params(axis="y", length=0)
        axis.set_ylim(-0.6, len(names) - 0.4)
        axis.set_title(f"{group[0]}\n{group[1]}, batch {rows[0][2]}", fontsize=8)
        axis.set_xlim(0, max(float(row[6]) for row in found["rows"]) * 1.35)
        axis.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("times as fast as stock Keras float32; images per second beside the bars", fontsize=8)
    figure.tight_layout()
    figure.savefig(FOLDER / "throughput.png", dpi=130)


def plot_depth(found: dict[str, Any]) -> None:
    """Start-up and memory against depth, a line for each form."""
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.4))
    wanted = {
        "seconds to build and for the first step": lambda point: point["build"] + point["first"],
        "seconds for a later step": lambda point: point["later"],
        "peak memory, GB": lambda point: point["memory"],
    }
    for axis, (title, value) in zip(axes, wanted.items(), strict=True):
        for form, colour in zip(
            dict.fromkeys(point["form"] for point in found["points"]), ("#b0b0b0", "#2b7bba", "#0b6e4f"), strict=False
        ):
            points = [point for point in found["points"] if point["form"] == form]
            axis.plot(
                [point["depth"] for point in points],
                [value(point) for point in points],
                "o-",
                color=colour,
                label=form,
                markersize=4,
            )
        axis.set(xscale="log", yscale="log", xlabel="layers", title=title)
        axis.title.set_fontsize(9)
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(FOLDER / "depth.png", dpi=130)


def main() -> None:
    """Write the page from whatever was measured."""
    found = {name: data for name in ORDER if (data := published(name))}
    if "throughput" in found:
        plot_throughput(found["throughput"])
    if "depth" in found:
        plot_depth(found["depth"])
    notes = FOLDER / "notes.md"  # it says how to run the accelerator's benchmark, and of what it has not measured
    parts = ["# Benchmarks", "", "Made by `make bench`; nothing here is typed by hand but the notes.", ""]
    for name, data in found.items():
        parts.append(table(data))
        if (FOLDER / f"{name}.png").exists():
            parts += [f"![{data['title']}](benchmarks/{name}.png)", ""]
    parts.append(notes.read_text(encoding="utf-8") if notes.exists() else "")
    (FOLDER.parent / "benchmarks.md").write_text("\n".join(parts).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
