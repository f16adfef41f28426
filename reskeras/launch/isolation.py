"""Network isolation of workers on one machine: a Linux network namespace with loopback only.

TensorFlow's servers listen on every interface and execute what anyone sends them, and cannot be bound to one address,
so the workers are started in a network namespace, which users without privileges create inside a user namespace.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1
WAITING = "import sys; sys.stdin.read()"
LONGEST = 10.0  # seconds

Enter = Callable[[], None]


@contextmanager
def loopback() -> Iterator[Enter]:
    """A function that a new process calls before exec to enter a network namespace with loopback only.

    The namespace lives as long as the block and the processes in it. Root creates it directly; in a user namespace it
    would lose its rights over other users' files. Raises OSError where the system does not permit it.
    """
    kinds = ("net",) if os.geteuid() == 0 else ("user", "net")
    handles = _made(kinds)
    try:
        libc = ctypes.CDLL(None, use_errno=True)

        def enter() -> None:
            for handle in handles:
                _checked(libc.setns, handle, 0)

        yield enter
    finally:
        for handle in handles:
            os.close(handle)


def exposed() -> bool:
    """Whether this process' network has more interfaces than loopback."""
    return any(name != "lo" for _, name in socket.if_nameindex())


def _made(kinds: tuple[str, ...]) -> list[int]:
    """File descriptors of new namespaces, created by a short-lived process."""
    if sys.platform != "linux":
        raise OSError("this system has no network namespaces")
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.geteuid(), os.getegid()

    def unshare() -> None:
        _checked(libc.unshare, CLONE_NEWNET | (CLONE_NEWUSER if "user" in kinds else 0))
        if "user" in kinds:  # map user and group to themselves
            maps = {"setgroups": "deny", "uid_map": f"{user} {user} 1", "gid_map": f"{group} {group} 1"}
            for name, text in maps.items():
                handle = os.open(f"/proc/self/{name}", os.O_WRONLY)
                os.write(handle, text.encode())
                os.close(handle)
        _bring_up_loopback()

    try:
        maker = subprocess.Popen([sys.executable, "-I", "-S", "-c", WAITING], stdin=subprocess.PIPE, preexec_fn=unshare)
    except subprocess.SubprocessError as error:
        raise OSError("network namespaces are not permitted") from error
    try:
        place = Path(f"/proc/{maker.pid}/ns")
        handles: list[int] = []
        for kind in kinds:
            handles.append(os.open(place / kind, os.O_RDONLY))
        return handles
    except OSError:
        for handle in handles:
            os.close(handle)
        raise
    finally:
        if maker.stdin:  # closing it ends the process
            maker.stdin.close()
        try:
            maker.wait(LONGEST)
        except subprocess.TimeoutExpired:
            maker.kill()
            maker.wait()


def _bring_up_loopback() -> None:
    from fcntl import ioctl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        ioctl(asked, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))


def _checked(function: Callable[..., int], *arguments: int) -> None:
    """Call a function of libc; OSError where it fails."""
    if function(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
