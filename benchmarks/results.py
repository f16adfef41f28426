"""What benchmarks write down and show: a table on the terminal, a JSON file in docs/benchmarks/, the machine's name."""

from __future__ import annotations

import json
import os
import platform
from argparse import ArgumentParser
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "benchmarks"


def add_data_options(parser: ArgumentParser) -> None:
    """Which images to use: digits come with reskeras, others with --data and --data-dir."""
    parser.add_argument("--data", default="digits")
    parser.add_argument("--data-dir")
    parser.add_argument("--batch", type=int, default=64)


def machine() -> str:
    """Processor, cores, Python and the versions of what is timed."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    words = set(" ".join(lines).split())
    flags = [flag for flag in ("avx512_bf16", "amx_bf16") if flag in words]
    libraries = ", ".join(f"{name} {version(name)}" for name in ("tensorflow", "keras", "torch") if find_spec(name))
    units = ", ".join(flags) or "no bf16 units"
    return f"{next(names, platform.processor() or '?')}, {os.cpu_count()} cores ({units}), {libraries}"


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], caption: str = "") -> None:
    """Print a table."""
    table = Table(*columns, title=title, caption=caption)
    for row in rows:
        table.add_row(*map(str, row))
    Console(width=140).print(table)


KEPT = Path()  # stands for docs/benchmarks/NAME.json


def publish(
    name: str,
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    note: str = "",
    file: Path | None = KEPT,
    **data: Any,
) -> None:
    """Print a table and keep it, with `data` for plots, as docs/benchmarks/NAME.json, in another file, or not at
    all (None)."""
    show(title, columns, rows, machine())
    if file is None:
        return
    file = FOLDER / f"{name}.json" if file == KEPT else file
    file.parent.mkdir(parents=True, exist_ok=True)
    kept = {
        "title": title,
        "date": date.today().isoformat(),
        "machine": machine(),
        "columns": list(columns),
        "rows": [list(map(str, row)) for row in rows],
        "note": note,
        **data,
    }
    file.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def published(name: str) -> dict[str, Any] | None:
    """What `publish` kept under `name`, if anything."""
    path = FOLDER / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
