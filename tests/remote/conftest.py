"""Stores for tests: fsspec's memory, and an S3 server on loopback in a process of its own."""

import contextlib
import os
import subprocess
import sys
import uuid

import pytest

SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
"""


@pytest.fixture(scope="session")
def s3_server():
    """The address of an S3 server, http://127.0.0.1:PORT; it ends with the tests."""
    pytest.importorskip("moto")
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as server:
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        server.stdin.close()


@pytest.fixture
def s3(s3_server, monkeypatch):
    """The address of an empty bucket, s3://NAME, which this process and those that it starts can write."""
    import fsspec

    account = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in {**account, "AWS_ENDPOINT_URL": s3_server}.items():
        monkeypatch.setenv(name, value)
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    bucket = f"bucket-{uuid.uuid4().hex[:12]}"
    fsspec.filesystem("s3", use_listings_cache=False).mkdir(bucket)
    return f"s3://{bucket}"


@pytest.fixture(params=["s3", "memory"])
def bucket(request):
    """The address of an empty bucket of each kind of store."""
    if request.param == "s3":
        return request.getfixturevalue("s3")
    return f"memory://bucket-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def another_machine(tmp_path, monkeypatch):
    """A function that makes this process forget every copy, and begin with an empty cache, as on another machine."""
    from reskeras import addresses
    from reskeras.files import copies

    def moved(name="other"):
        for mirror in copies._mirrors.values():
            with contextlib.suppress(OSError, AttributeError):
                os.close(mirror._in_use)
        copies._mirrors.clear()
        addresses._addresses.clear()
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / f"cache-{name}"))

    moved("first")
    return moved


@pytest.fixture
def objects():
    """A function from an address to what is below it: the bytes of each object, by name."""
    import fsspec

    def read(address):
        files, root = fsspec.url_to_fs(address, use_listings_cache=False)
        return {path.removeprefix(root).strip("/"): files.cat_file(path) for path in files.find(root)}

    return read
