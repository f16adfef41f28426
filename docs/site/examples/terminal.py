"""Where examples run: a folder, an environment of its own, and processes that end with it."""

from __future__ import annotations

import json
import os
import re
import selectors
import shlex
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, cast

SESSION = Path(__file__).with_name("session.py")
COLUMNS = 112  # of the terminal that the pages show
LIMIT = 1800.0  # seconds for a command
SHELL_SYNTAX = re.compile(r"[|&;<>$`*?~]|^\w+=")
LOGGED = re.compile(r"[IWEF]\d{4} \d\d:\d\d:[\d.]+\s+\d+ \S+\] ")  # as native code of TensorFlow does
TIMED_OUT = 124


class Session:
    """A process that answers requests (`session.py`), started when it is first asked."""

    def __init__(self, environment: dict[str, str]):
        self.environment = environment
        self.process: subprocess.Popen[str] | None = None

    def ask(self, **request: str | list[str]) -> int:
        """The exit status of a request; TIMED_OUT after LIMIT, when everything that it started is killed."""
        if self.process is None or self.process.poll() is not None:
            self.process = subprocess.Popen(
                [sys.executable, "-P", str(SESSION)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=self.environment,
                start_new_session=True,
            )
        print(json.dumps(request), file=self.process.stdin, flush=True)
        with selectors.DefaultSelector() as selector:
            answers = cast(IO[str], self.process.stdout)  # of a pipe there is one
            selector.register(answers, selectors.EVENT_READ)
            answer = answers.readline() if selector.select(LIMIT) else ""
        if not answer:
            self.close()
        return int(answer) if answer else TIMED_OUT

    def close(self) -> None:
        """End the process and what it started."""
        if self.process:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            for stream in filter(None, (self.process.stdin, self.process.stdout)):
                stream.close()
            self.process = None


class Terminal:
    """Runs commands and Python in folders, with a home folder and caches of its own below `root`."""

    def __init__(self, root: Path):
        self.root = root
        (root / "bin").mkdir(parents=True)
        (root / "home").mkdir()
        program = root / "bin" / "reskeras"
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -P -m reskeras "$@"\n')
        program.chmod(0o755)
        paths = [str(root / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
        self.environment = os.environ | {
            "PATH": os.pathsep.join(paths),
            "HOME": str(root / "home"),
            "XDG_CACHE_HOME": str(root / "cache"),
            "COLUMNS": str(COLUMNS),
            "TERM": "dumb",
        }
        self.commands = Session(self.environment)
        self.programs: dict[Path, Session] = {}
        self.count = 0

    def run(self, command: str, folder: Path) -> tuple[int, list[str]]:
        """The exit status of a command line in `folder`, and the lines that it printed."""
        printed = self._new_file()
        words = _words(command)
        if words[:1] == ["reskeras"]:
            status = self.commands.ask(words=words[1:], folder=str(folder), printed=str(printed))
        else:
            status = self._shell(command, folder, printed)
        return status, _lines(printed)

    def python(self, code: str, name: str, folder: Path) -> tuple[int, list[str]]:
        """As `run` for Python: all of the same `folder` shares its names."""
        printed = self._new_file()
        session = self.programs.setdefault(folder, Session(self.environment))
        return session.ask(code=code, name=name, folder=str(folder), printed=str(printed)), _lines(printed)

    def close(self, folder: Path | None = None) -> None:
        """End the Python of `folder`, or everything."""
        for session in [self.programs.pop(folder, None)] if folder else [self.commands, *self.programs.values()]:
            if session:
                session.close()

    def _shell(self, command: str, folder: Path, printed: Path) -> int:
        with printed.open("wb") as output:
            process = subprocess.Popen(
                ["bash", "-e", "-o", "pipefail", "-c", command],
                cwd=folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                return process.wait(LIMIT)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return TIMED_OUT

    def _new_file(self) -> Path:
        self.count += 1
        return self.root / f"printed-{self.count}"


def _words(command: str) -> list[str]:
    """Words of a command line; none of one that only a shell understands."""
    try:
        return [] if SHELL_SYNTAX.search(command) else shlex.split(command, comments=True)
    except ValueError:  # no closing quotation
        return []


def _lines(path: Path) -> list[str]:
    """Lines of a file without trailing spaces, empty lines at the end, and TensorFlow's log, which has times and
    depends on the processor."""
    text = path.read_text(encoding="utf-8", errors="backslashreplace") if path.exists() else ""
    return [line.rstrip() for line in text.rstrip().splitlines() if not LOGGED.match(line)]
