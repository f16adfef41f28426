"""A process that runs the commands and the Python of examples on request, with TensorFlow imported once.

Started by `terminal.py`, with -P. It reads a request in JSON from each line of stdin and answers it on stdout with the
exit status. A command runs in a fork, a process of its own that need not import TensorFlow, of which nothing runs
before the fork. Python runs in this process, in one namespace.
"""

from __future__ import annotations

import ast
import io
import json
import linecache
import os
import sys
import tokenize
import traceback
from typing import Any


def main() -> None:
    """Answer requests until stdin ends."""
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    import reskeras.engine  # noqa: F401

    names: dict[str, Any] = {"__name__": "__main__"}
    for line in requests:
        request = json.loads(line)
        status = python(request, names) if "code" in request else command(request)
        print(status, file=answers, flush=True)


def command(request: dict[str, Any]) -> int:
    """Run `reskeras` with the request's `words` in its `folder`, output to the file `printed`; the exit status."""
    if process := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    from reskeras_cli.main import main as run

    os.chdir(request["folder"])
    _to(request["printed"])
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)  # by lines, as on a terminal
    sys.argv = ["reskeras", *request["words"]]
    run()
    sys.exit()


def python(request: dict[str, Any], names: dict[str, Any]) -> int:
    """Execute the request's `code` in the namespace `names`; 1 if it raised."""
    os.chdir(request["folder"])
    kept = os.dup(1), os.dup(2)
    _to(request["printed"])
    try:
        execute(request["code"], request["name"], names)
        return 0
    except BaseException:  # noqa: BLE001
        traceback.print_exc(limit=-3)
        return 1
    finally:
        sys.stdout.flush()
        for target, descriptor in enumerate(kept, 1):
            os.dup2(descriptor, target)
            os.close(descriptor)


def execute(code: str, name: str, names: dict[str, Any]) -> None:
    """Execute statements; an expression followed by a comment `# 123` must have that value, or AssertionError."""
    linecache.cache[name] = len(code), None, code.splitlines(keepends=True), name  # for inspect, which TensorFlow uses
    values = {}
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type == tokenize.COMMENT:
            word = token.string[1:].split()[:1]
            values[token.start[0]] = word[0].rstrip(",.;:") if word else ""
    for node in ast.parse(code, name).body:
        if not isinstance(node, ast.Expr):
            exec(compile(ast.Module([node], []), name, "exec"), names)
            continue
        value = eval(compile(ast.Expression(node.value), name, "eval"), names)
        shown = values.get(node.end_lineno or 0, "")
        if shown[:1].isdigit() and value != ast.literal_eval(shown):
            raise AssertionError(f"{name}, line {node.end_lineno}: {value!r}, not {shown}")


def _to(path: str) -> None:
    """Let descriptors 1 and 2 write to the file `path`."""
    opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(opened, 1)
    os.dup2(opened, 2)
    os.close(opened)


if __name__ == "__main__":
    main()
