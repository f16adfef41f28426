"""A limit on the time of a block that holds Python's lock, as TensorFlow's start of a cluster does."""

from __future__ import annotations

import faulthandler
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# reads its parent's last words, or nothing where all went well
MESSENGER = "import sys; sys.stdin.buffer.read(1) and print(sys.argv[1], file=sys.stderr)"


@contextmanager
def ends_within(seconds: float, message: str) -> Iterator[None]:
    """End the process with status 1 and `message` on stderr when the block takes longer than `seconds`.

    No Python code can run then: faulthandler's thread, which needs no lock, ends the process, and a child that this
    writes to prints the message.
    """
    messenger = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", MESSENGER, f"reskeras: {message}"],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    assert messenger.stdin
    faulthandler.dump_traceback_later(seconds, exit=True, file=messenger.stdin)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        messenger.stdin.close()
        messenger.wait()
