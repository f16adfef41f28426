"""The guides' Python runs, each guide as one program."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs" / "guides"
BLOCK = re.compile(r"(?<!-->\n)```python\n(.*?)```", re.DOTALL)  # those that are not marked as slow
GUIDES = {name: BLOCK.findall((DOCS / f"{name}.md").read_text("utf-8")) for name in ("python", "scaling")}


@pytest.mark.parametrize("name", GUIDES)
def test_the_python_of_a_guide_runs(name, tmp_path):
    program = "\n".join(GUIDES[name])
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    if name == "python":
        assert {path.parent.name for path in tmp_path.glob("runs/*/model.keras")} == {"arrays", "own", "taught"}
        assert len(list(tmp_path.glob("runs/seeds/seed-*/model.keras"))) == 3
        assert " ± " in done.stdout and "noisy" in (tmp_path / "runs/own/provenance.json").read_text()
