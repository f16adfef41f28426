"""Objects of a remote folder, through fsspec; what its libraries refuse becomes an OSError in a few words."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from reskeras.addresses import SCHEME, masked
from reskeras.errors import ReskerasError, failure

WAITS = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds before each further try of what failed for the moment
MOST_OBJECTS = 2_000_000  # of a listing, which takes about 1 kB each
LONGEST_REASON = 150
S3 = ("s3", "s3a")
OURS = ("gs", "gcs", *S3)  # schemes whose libraries the extra `remote` installs
# schemes that are no folders, or those of this machine, or answer whatever an address says
REFUSED = {"http", "https", "data", "local", "dir", "zip", "tar", "libarchive", "git", "github", "jupyter", "reference"}
REFUSED |= {"generic", "cached", "blockcache", "filecache", "simplecache", "async_wrapper"}
# errors of botocore, aiohttp, requests and Google's libraries, by the names of their classes
NO_CREDENTIALS = {
    "NoCredentialsError",
    "PartialCredentialsError",
    "CredentialRetrievalError",
    "DefaultCredentialsError",
}
UNREACHABLE = {"ConnectionError", "EndpointConnectionError", "ConnectTimeoutError", "ClientConnectionError"}
UNREACHABLE |= {"ConnectionClosedError", "HTTPClientError", "TimeoutError", "Timeout", "TransportError", "gaierror"}
FULL = ("no space left", "quota", "storagefull", "insufficientstorage", "minimum free", "not enough space")
FOR_THE_MOMENT = (errno.EBUSY, errno.EREMOTEIO)
NO_BUCKET = "there is no such bucket"
# s3fs tries five times; botocore's five for each would make a server that does not answer one of seven minutes
ONE_TRY = {"retries": {"total_max_attempts": 1, "mode": "standard"}}
TAGS = ("ETag", "etag", "md5Hash", "generation", "LastModified", "updated", "mtime", "modified", "created")

Result = TypeVar("Result")


@dataclass(frozen=True)
class Stored:
    """An object's size in bytes, and what changes with its content: its ETag, hash or time."""

    size: int
    tag: str


class Store:
    """The objects below an address, by their names relative to it; the name of the object that has the very address
    is empty. Methods raise OSError, with the reason in its `strerror`."""

    def __init__(self, address: str):
        self.address = address
        self._files, self._root = _filesystem(address)

    def read(self, name: str, largest: int) -> bytes | None:
        """The bytes of an object; None where there is none. OSError if it has more than `largest`."""
        try:
            size = _tried(lambda: self._files.info(self._path(name))["size"], self.address)
            if size > largest:
                raise OSError(errno.EFBIG, f"{name} is larger than {largest:,} bytes")
            return _tried(lambda: self._files.cat_file(self._path(name)), self.address)
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes, create: bool = False) -> None:
        """Put a small object; with `create` FileExistsError where it exists, as far as the store can tell."""
        path = self._path(name)
        if not create:
            _tried(lambda: self._files.pipe_file(path, data), self.address)
            return
        try:
            _tried(lambda: self._files.pipe_file(path, data, mode="create"), self.address)
        except OSError as error:
            if error.errno != errno.ENOSYS:
                raise
            if self.read(name, len(data) + (1 << 20)) is not None:
                raise FileExistsError(errno.EEXIST, "") from None
            self.write(name, data)

    def put(self, file: Path, name: str) -> None:
        """Put the content of a file."""
        _tried(lambda: self._files.put_file(str(file), self._path(name)), self.address)

    def delete(self, name: str) -> None:
        """Delete an object, if it is there."""
        with suppress(FileNotFoundError):
            _tried(lambda: self._files.rm_file(self._path(name)), self.address)

    def listing(self, below: str = "") -> dict[str, Stored]:
        """All objects whose names begin with the folder `below`; empty where there are none."""
        try:
            return _tried(lambda: self._listing(below), self.address)
        except FileNotFoundError as error:
            if error.strerror == NO_BUCKET:
                raise
            return {}

    def get(self, names: Sequence[str], files: Sequence[Path]) -> None:
        """Write objects to files."""
        paths, places = [self._path(name) for name in names], [str(file) for file in files]
        _tried(lambda: self._files.get(paths, places), self.address)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def _listing(self, below: str) -> dict[str, Stored]:
        found: dict[str, Stored] = {}
        root = self._root if not below else f"{self._root}/{below}"
        if not below and (own := self._own()):
            return {"": own}
        for _, _, files in self._files.walk(root, detail=True, on_error="raise"):
            for info in files.values():
                path = str(info["name"]).rstrip("\0")
                if path.rstrip("/") != path or not path.startswith(f"{self._root}/"):
                    continue  # what some programs put for an empty folder
                found[path.removeprefix(f"{self._root}/")] = _stored(info)
                if len(found) > MOST_OBJECTS:
                    raise failure(f"{self.address} has more than {MOST_OBJECTS:,} objects; pack them into fewer files")
        return found

    def _own(self) -> Stored | None:
        """The object with the very address, if there is one."""
        if "/" not in self._root.strip("/") and not self._root.startswith("/"):
            return None  # a bucket
        info = self._files.info(self._root)
        return _stored(info) if info["type"] == "file" and not str(info["name"]).endswith("/") else None


def _stored(info: dict[str, Any]) -> Stored:
    return Stored(int(info["size"] or 0), next((str(info[key]) for key in TAGS if info.get(key)), ""))


def _filesystem(address: str) -> tuple[Any, str]:
    """fsspec's file system of an address, and the path that it has there."""
    scheme = SCHEME.match(address)
    kind = scheme[1] if scheme else ""
    unknown = ReskerasError(f"{address}: {kind}:// is not a kind of remote folder; use one such as s3:// or gs://")
    if kind in REFUSED or "::" in address:
        raise unknown
    try:
        import fsspec

        found = fsspec.get_filesystem_class(kind)
    except ValueError:
        raise unknown from None
    except ImportError as error:
        needed = "pip install 'reskeras[remote]'" if kind in OURS or error.name == "fsspec" else str(error)
        raise ReskerasError(f"{address}: libraries for {kind}:// are not installed; {needed}") from None
    with _translated():
        own = found._get_kwargs_from_urls(address)
        if kind in S3 and "config_kwargs" not in fsspec.config.conf.get("s3", {}):
            own["config_kwargs"] = ONE_TRY
        return fsspec.filesystem(kind, use_listings_cache=False, **own), found._strip_protocol(address)


_reached: set[str] = set()  # addresses at which a store has answered this process


def _tried(work: Callable[[], Result], address: str) -> Result:
    """The result of `work`, tried again where the store is busy, or was reached before and cannot be now."""
    for wait in (*WAITS, None):
        try:
            with _translated():
                result = work()
        except OSError as error:
            lost = error.errno == errno.EHOSTUNREACH and address in _reached
            if wait is None or not (lost or error.errno in FOR_THE_MOMENT):
                raise
            time.sleep(wait)
        else:
            _reached.add(address)
            return result
    raise AssertionError("the last try returns or raises")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (ReskerasError, FileExistsError):
        raise
    except Exception as error:  # each library has errors of its own
        raise _as_os_error(error) from error


def _as_os_error(error: Exception) -> OSError:
    """The error of a library as an OSError that tells its reason."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    answer = getattr(error.__cause__ or error, "response", None)
    code = answer.get("Error", {}).get("Code", "") if isinstance(answer, dict) else ""
    text = " ".join(str(getattr(error, "strerror", None) or error).split())
    if any(word in f"{text} {code}".lower() for word in FULL):
        return OSError(errno.ENOSPC, "")
    if kinds & NO_CREDENTIALS:
        return OSError(errno.EIO, "no credentials were found, in the environment or where the store's tools keep them")
    if isinstance(error, FileNotFoundError):
        gone = NO_BUCKET if code == "NoSuchBucket" or "bucket does not exist" in text else "not found"
        return FileNotFoundError(errno.ENOENT, gone)
    if isinstance(error, PermissionError):
        return PermissionError(errno.EACCES, "")
    if kinds & UNREACHABLE:
        return OSError(errno.EHOSTUNREACH, "the store cannot be reached")
    number = error.errno if isinstance(error, OSError) and error.errno else errno.EIO
    return OSError(number, masked(text)[:LONGEST_REASON] or type(error).__name__)
