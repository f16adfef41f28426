"""Pages with commands and what they print: `python -m benchmarks.pages docs/guides/scaling.md` runs them again."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

CONSOLE = re.compile(r"(```console\n\$ )(reskeras [^\n]*\n)(.*?)(```)", re.DOTALL)
COLUMNS = 112  # of the terminal that a page shows


def refreshed(page: str, folder: Path | None = None) -> str:
    """`page` with what its commands print now, run in `folder`: those of console blocks, one command in each."""
    return CONSOLE.sub(lambda block: f"{block[1]}{block[2]}{_printed(block[2], folder)}{block[4]}", page)


def _printed(command: str, folder: Path | None) -> str:
    words = [sys.executable, "-m", *shlex.split(command)]
    wide = os.environ | {"COLUMNS": str(COLUMNS)}  # a page does not depend on the terminal
    return subprocess.run(words, cwd=folder, env=wide, capture_output=True, text=True, check=True).stdout


def main() -> None:
    """Rewrite the pages given."""
    for path in map(Path, sys.argv[1:]):
        path.write_text(refreshed(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
