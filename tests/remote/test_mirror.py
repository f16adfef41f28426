"""Remote folders: what a writer leaves at any moment is whole, and what a reader is given is what is there."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from reskeras.errors import ReskerasError
from reskeras.files import (
    LAUNCHED,
    STUCK,
    InUse,
    atomic_folder,
    copies,
    lease,
    local_path,
    mirror_of,
    only_writer,
    place_of,
    publish,
    remove,
    store,
    write_json,
    write_text,
)
from reskeras.files.manifest import MANIFEST, Manifest, entry_of
from reskeras.files.store import Store
from tests.cli.running import refused

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def own_copies(another_machine, monkeypatch):
    monkeypatch.setattr(store, "WAITS", ())


def new_folder(address, **texts):
    """Make a folder of files at an address; the path that stands for it."""
    path = place_of(address, "out")
    with atomic_folder(path) as beside:
        for name, text in texts.items():
            (beside / name).write_text(text)
    return path


def seen(address, **part):
    """The texts that a reader of an address is given, by name."""
    path = local_path(address, "run", **part)
    if path.is_file():
        return path.read_text()
    return {file.relative_to(path).as_posix(): file.read_text() for file in path.rglob("*") if file.is_file()}


class Killed(BaseException):
    """Stands for kill -9 where the store is in this process' memory: nothing below handles it."""


def test_a_folder_is_read_elsewhere_as_it_was_written(bucket, another_machine, objects):
    path = new_folder(f"{bucket}/run", a="first", b="unchanged")
    write_text(path / "a", "second")
    write_text(path / "below" / "c", "third")
    remove(path / "b")
    expected = {"a": "second", "below/c": "third"}
    there = {name: data.decode() for name, data in objects(f"{bucket}/run").items() if name != MANIFEST}
    assert there == expected  # under their own names: other programs read them too
    another_machine()
    assert seen(f"{bucket}/run") == expected
    assert not mirror_of(Path("/elsewhere/run"))


def test_each_write_is_there_before_the_next_begins(bucket, another_machine):
    path = new_folder(f"{bucket}/run", a="0")
    for number in range(1, 4):
        write_text(path / "a", str(number))
        another_machine(str(number))
        assert seen(f"{bucket}/run") == {"a": str(number)}
        path = place_of(f"{bucket}/run", "out")


@pytest.mark.parametrize("half", [False, True])
def test_a_new_folder_that_was_put_in_part_is_not_there(bucket, another_machine, monkeypatch, half, objects):
    put, count = Store.put, [0]

    def dying(self, file, name):
        count[0] += 1
        if count[0] == 2:
            if half:
                self.write(name, file.read_bytes()[:2])
            raise Killed
        put(self, file, name)

    monkeypatch.setattr(Store, "put", dying)
    with pytest.raises(Killed):
        new_folder(f"{bucket}/run", a="first", b="second", c="third")
    monkeypatch.undo()
    assert "a" in objects(f"{bucket}/run")
    another_machine()
    path = local_path(f"{bucket}/run", "run")
    assert not path.exists()
    assert not copies.is_there(path, "out")
    new_folder(f"{bucket}/run", a="again")
    assert seen(f"{bucket}/run") == {"a": "again"}


@pytest.mark.parametrize("moment", ["before", "half", "after"])
def test_a_file_that_is_being_replaced_is_the_old_one_or_the_new_one(bucket, another_machine, monkeypatch, moment):
    path = new_folder(f"{bucket}/run", a="first", b="other")
    put = Store.put

    def dying(self, file, name):
        if moment == "half":  # stores whose objects are not whole or absent
            self.write(name, file.read_bytes()[:3])
        if moment == "after":
            put(self, file, name)
        raise Killed

    monkeypatch.setattr(Store, "put", dying)
    with pytest.raises(Killed):
        write_text(path / "a", "second")
    monkeypatch.undo()
    another_machine()
    told = []
    monkeypatch.setattr(copies.Transfers, "tell", staticmethod(told.append))
    monkeypatch.setattr("reskeras.files.mirror.ROUNDS", 1)
    read = seen(f"{bucket}/run")
    expected = {"before": {"a": "first"}, "half": {}, "after": {"a": "second"}}[moment]
    assert read == {**expected, "b": "other"}
    assert bool(told) == (moment == "half")  # never half of it without a word


def test_a_state_is_named_only_when_it_is_whole(bucket, another_machine, monkeypatch):
    """The marker is written last: with the name of a new file it must not come before its content."""
    path = new_folder(f"{bucket}/run", a="first")
    order = []
    put, write = Store.put, Store.write

    def noted_put(self, file, name):
        order.append(name)
        put(self, file, name)

    def noted_write(self, name, data, create=False):
        order.append(("names", *Manifest.read(data, "").files) if name == MANIFEST else name)
        write(self, name, data, create)

    monkeypatch.setattr(Store, "put", noted_put)
    monkeypatch.setattr(Store, "write", noted_write)
    write_text(path / "state-1", "state")
    assert order == ["state-1", ("names", "a", "state-1")]
    remove(path / "state-1")
    assert order[2:] == [("names", "a")]


def test_a_full_store_is_told_in_a_line_and_nothing_that_was_there_is_lost(bucket, another_machine, monkeypatch):
    path = new_folder(f"{bucket}/run", a="first")

    def full(self, file, name):
        raise OSError(errno.ENOSPC, "")

    monkeypatch.setattr(Store, "put", full)
    with pytest.raises(ReskerasError) as told:
        write_text(path / "a", "second")
    assert str(told.value) == f"{bucket}/run/a cannot be written: there is no space left; make room"
    assert told.value.status == 1
    monkeypatch.undo()
    another_machine()
    assert seen(f"{bucket}/run") == {"a": "first"}


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError("Access Denied"), "permission denied"),
        (OSError(5, "Storage backend has reached its minimum free drive threshold."), "there is no space left"),
        (OSError(5, "An error occurred (QuotaExceeded) when calling PutObject"), "there is no space left"),
        (type("EndpointConnectionError", (Exception,), {})("http://x/?X-Amz-Signature=abc"), "cannot be reached"),
        (type("NoCredentialsError", (Exception,), {})("Unable to locate credentials"), "no credentials were found"),
        (FileNotFoundError("The specified bucket does not exist"), "there is no such bucket"),
        (RuntimeError("strange: https://user:secret@host/?sig=abc \n more"), "strange: https://***@host/?*** more"),
    ],
)
def test_what_a_store_refuses_is_told_in_a_line_without_secrets(another_machine, monkeypatch, error, said):
    import fsspec

    path = new_folder("memory://refused/run", a="first")
    memory = fsspec.get_filesystem_class("memory")

    def refused(self, *arguments, **options):
        raise error

    monkeypatch.setattr(memory, "put_file", refused)
    with pytest.raises(ReskerasError) as told:
        write_text(path / "b", "second")
    message = str(told.value)
    assert message.startswith("memory://refused/run/b cannot be written: ")
    assert said in message
    assert told.value.status == 1
    assert not {"\n", "secret", "abc"} & {*message.split(), *message}
    assert "secret" not in message


def test_a_store_that_is_busy_for_a_moment_is_asked_again(another_machine, monkeypatch):
    import fsspec

    path = new_folder("memory://busy/run", a="first")
    memory, left = fsspec.get_filesystem_class("memory"), [2]
    put = memory.put_file

    def busy(self, *arguments, **options):
        if left[0]:
            left[0] -= 1
            raise OSError(errno.EBUSY, "SlowDown")
        return put(self, *arguments, **options)

    monkeypatch.setattr(memory, "put_file", busy)
    monkeypatch.setattr(store, "WAITS", (0.0, 0.0))
    write_text(path / "b", "second")
    assert left == [0]
    assert seen("memory://busy/run") == {"a": "first", "b": "second"}


def test_a_bucket_that_is_not_there_is_named_before_any_work(s3):
    for address in ("s3://no-such-bucket-at-all/run", "s3://no-such-bucket-at-all/run/file.csv"):
        with pytest.raises(ReskerasError, match=r"no-such-bucket-at-all.*: there is no such bucket") as told:
            local_path(address, "run")
        assert told.value.status == 1


def test_a_host_that_is_not_there_is_named(s3, monkeypatch):
    import fsspec

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    said = "network: s3://other/run cannot be read: the store cannot be reached"
    assert refused("show", "s3://other/run", status=1) == f"reskeras: {said}\n"
    monkeypatch.setenv(LAUNCHED, "1")  # whoever restarts workers that fail is told that it is of no use
    assert refused("show", "s3://other/run", status=STUCK).startswith(f"reskeras: {said}; workers of")
    fsspec.get_filesystem_class("s3").clear_instance_cache()


MISSING = """
import sys
class None_:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1].split(","):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, None_())
from reskeras_cli.main import commands
commands.main(["show", sys.argv[2]])
"""


@pytest.mark.parametrize(
    ("missing", "address"), [("s3fs", "s3://bucket/run"), ("gcsfs", "gs://bucket/run"), ("fsspec", "s3://bucket/run")]
)
def test_a_missing_library_is_named_with_what_installs_it(missing, address):
    done = subprocess.run([sys.executable, "-c", MISSING, missing, address], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines() == [
        f"reskeras: {address}: libraries for {address[:2]}:// are not installed; pip install 'reskeras[remote]'"
    ]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("sftp://user:secret@host/run", r"run: sftp://\*\*\*@host/run: .* must not contain a password or token"),
        ("s3://bucket/run?versionId=secret", r"run: s3://bucket/run\?\*\*\*: .* must not contain a password or token"),
        ("s3://bucket/../run", "is not the address of a folder"),
        ("s3://", "is not the address of a folder"),
        ("http://host/run", "is not a kind of remote folder"),
        ("nosuch://host/run", "is not a kind of remote folder"),
        ("zip://file::s3://bucket/run", "is not a kind of remote folder|is not the address"),
        ("file:///tmp/run", "use the path without file://"),
    ],
)
def test_what_is_no_address_of_a_folder_is_refused_without_secrets(address, said):
    with pytest.raises(ReskerasError, match=said) as told:
        local_path(address, "run")
    assert told.value.status == 2
    assert "secret" not in str(told.value)


def test_a_folder_that_another_program_put_there_is_read_as_it_is_listed(bucket, another_machine):
    files = Store(bucket)
    files.write("data/cats/1.txt", b"one")
    files.write("data/dogs/2.txt", b"two")
    if bucket.startswith("s3"):
        files.write("data/birds", b"")  # what some programs put for a folder
    files.write("data/birds/3.txt", b"three")
    expected = {"cats/1.txt": "one", "dogs/2.txt": "two", "birds/3.txt": "three"}
    assert seen(f"{bucket}/data") == expected
    assert seen(f"{bucket}/data/cats") == {"1.txt": "one"}
    assert seen(f"{bucket}/data/cats/1.txt") == "one"
    another_machine()
    assert seen(f"{bucket}/data", only="dogs") == {"dogs/2.txt": "two"}


def test_only_what_changed_there_is_read_again(bucket, monkeypatch, another_machine):
    monkeypatch.setattr("reskeras.files.mirror.LISTED", 0.0)
    files, read = Store(bucket), []
    get = Store.get

    def noted(self, names, places):
        read.extend(names)
        get(self, names, places)

    monkeypatch.setattr(Store, "get", noted)
    for name in "abc":
        files.write(f"data/{name}", name.encode())
    assert seen(f"{bucket}/data") == {"a": "a", "b": "b", "c": "c"}
    files.write("data/b", b"B")
    files.delete("data/c")
    files.write("data/d", b"d")
    assert seen(f"{bucket}/data") == {"a": "a", "b": "B", "d": "d"}
    assert read == ["a", "b", "c", "b", "d"]


def test_a_file_of_the_copy_that_was_changed_here_is_read_again(bucket, another_machine):
    path = new_folder(f"{bucket}/run", a="first")
    (path / "a").write_text("spoiled")
    assert seen(f"{bucket}/run") == {"a": "first"}


def test_what_is_gone_there_is_gone_here(bucket, another_machine):
    new_folder(f"{bucket}/run", a="first")
    files = Store(f"{bucket}/run")
    for name in files.listing():
        files.delete(name)
    path = place_of(f"{bucket}/run", "out")
    assert path.exists()
    assert not copies.is_there(path, "out")
    assert not path.exists()


def test_a_run_copied_there_by_hand_keeps_its_files_when_one_is_added(bucket, another_machine):
    files = Store(f"{bucket}/run")
    files.write("a", b"first")
    files.write("checkpoints/state.npz", b"state")
    write_text(local_path(f"{bucket}/run", "run") / "b", "second")
    another_machine()
    assert seen(f"{bucket}/run", whole=True) == {"a": "first", "b": "second", "checkpoints/state.npz": "state"}


def test_of_a_run_the_states_are_read_only_where_they_are_needed(bucket, another_machine):
    path = new_folder(f"{bucket}/run", a="first", model="model")
    write_text(path / "checkpoints" / "state.npz", "state")
    write_text(path / "checkpoints" / "last.keras", "last")
    another_machine()
    small = {"a": "first", "model": "model", "checkpoints/last.keras": "last"}
    assert seen(f"{bucket}/run") == small
    path = place_of(f"{bucket}/run", "run")
    local_path(path / "model", "model")  # as whatever reads a file of a run that is open
    assert seen(path) == small
    assert seen(path, whole=True) == {**small, "checkpoints/state.npz": "state"}
    another_machine("third")
    assert seen(f"{bucket}/run", only="checkpoints") == {"checkpoints/last.keras": "last"}


def test_a_single_file_is_one_object_without_a_manifest(bucket, objects):
    write_text(f"{bucket}/figures.csv", "a,b\n")
    assert objects(bucket) == {"figures.csv": b"a,b\n"}
    assert seen(f"{bucket}/figures.csv") == "a,b\n"


def test_what_another_library_wrote_is_put_when_it_is_published(bucket, another_machine):
    path = new_folder(f"{bucket}/run", a="first")
    (path / "logs").mkdir()
    (path / "logs" / "events").write_text("1")
    publish(path / "logs")
    (path / "logs" / "events").write_text("1 2")
    publish(path / "logs")
    another_machine()
    assert seen(f"{bucket}/run", whole=True) == {"a": "first", "logs/events": "1 2"}


@pytest.mark.parametrize("name", ["../outside", "a/../../outside", "/etc/outside", "a//b", "a\\b"])
def test_an_object_whose_name_leads_elsewhere_is_refused(another_machine, monkeypatch, tmp_path, name):
    Store("memory://hostile").write("data/fine", b"")
    listing = Store.listing
    monkeypatch.setattr(Store, "listing", lambda self, below="": {**listing(self, below), name: store.Stored(3, "tag")})
    with pytest.raises(ReskerasError, match="cannot be the name of a file"):
        local_path("memory://hostile/data", "data")
    assert not list(tmp_path.rglob("outside"))


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"files": {"a": 3}}', '{"files": {"../a": {"size": 1, "sha256": "x"}}}', '{"version": 2}']
)
def test_a_broken_manifest_is_named(another_machine, text):
    Store("memory://broken").write(f"run/{MANIFEST}", text.encode())
    with pytest.raises(ReskerasError, match="memory://broken/run") as told:
        local_path("memory://broken/run", "run")
    assert told.value.status == 1
    assert "\n" not in str(told.value)


def test_texts_that_are_written_have_the_address_not_the_path_of_the_copy(bucket, another_machine):
    path = new_folder(f"{bucket}/run", a="first")
    write_json(path / "facts.json", {"path": str(path / "a")})
    assert json.loads((path / "facts.json").read_text()) == {"path": f"{bucket}/run/a"}
    assert str(ReskerasError(f"run: {path} is broken")) == f"run: {bucket}/run is broken"


def test_copies_make_room_for_each_other_and_what_does_not_fit_is_refused(
    bucket, another_machine, monkeypatch, tmp_path
):
    files = Store(bucket)
    for name in ("first", "second", "third"):
        files.write(f"{name}/data", os.urandom(600_000))
    monkeypatch.setenv("RESKERAS_CACHE_GIB", str(1_300_000 / 2**30))
    first = local_path(f"{bucket}/first", "data")
    local_path(f"{bucket}/second", "data")
    with pytest.raises(ReskerasError, match=r"RESKERAS_CACHE_GIB to allow more") as told:  # both are in use
        local_path(f"{bucket}/third", "data")
    assert told.value.status == 1
    os.close(mirror_of(first)._in_use)  # as if its process had ended
    mirror_of(first)._in_use = os.open(os.devnull, os.O_RDONLY)
    local_path(f"{bucket}/third", "data")
    assert not first.exists()
    monkeypatch.setenv("RESKERAS_CACHE_GIB", "much")
    with pytest.raises(ReskerasError, match="RESKERAS_CACHE_GIB: 'much' is not a number"):
        local_path(f"{bucket}/second/data", "data")


def test_without_a_cache_copies_go_with_the_process(s3, tmp_path):
    Store(s3).write("data/a", b"first")
    program = f"from reskeras.files import local_path; print(local_path('{s3}/data', 'data'))"
    environment = {**os.environ, "RESKERAS_CACHE": "off", "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr
    assert str(tmp_path) in done.stdout
    assert not Path(done.stdout.strip()).parents[1].exists()


HOLDER = """
import signal, sys
from reskeras.files import local_path, only_writer
with only_writer(local_path(sys.argv[1], "run"), "run"):
    print("held", flush=True)
    signal.pause()
"""


def test_a_second_writer_is_told_who_holds_a_folder_and_a_killed_one_of_this_machine_holds_nothing(
    s3, another_machine, monkeypatch
):
    path = new_folder(f"{s3}/run", a="first")
    own = {**os.environ, "XDG_CACHE_HOME": f"{os.environ['XDG_CACHE_HOME']}-holder"}
    command = [sys.executable, "-c", HOLDER, f"{s3}/run"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, env=own) as holder:
        assert holder.stdout.readline() == b"held\n"
        said = rf"run: s3://.*/run is being written by process {holder.pid} on .* since .*, last heard of \d+ s ago"
        try:
            with pytest.raises(InUse, match=said) as told, only_writer(path, "run"):
                raise AssertionError
        finally:
            holder.kill()
        assert told.value.status == 1
    with only_writer(path, "run"):
        write_text(path / "a", "second")
    assert seen(f"{s3}/run") == {"a": "second"}
    assert lease.LEASE not in Store(f"{s3}/run").listing()


def test_another_machines_lock_holds_until_it_is_abandoned(bucket, another_machine, monkeypatch):
    from dataclasses import replace

    path = new_folder(f"{bucket}/run", a="first")
    files = Store(f"{bucket}/run")
    other = replace(lease.Holder.this(), host="elsewhere", shown="process 7 on elsewhere since then")
    lease._write(files, other)
    with pytest.raises(InUse, match="process 7 on elsewhere"), only_writer(path, "run"):
        raise AssertionError
    lease._write(files, replace(other, beat=other.beat - lease.ABANDONED - 1))
    with only_writer(path, "run"):
        assert lease._holder(files).host != "elsewhere"
    files.write(lease.LEASE, b"nobody's")
    with only_writer(path, "run"):
        pass
    assert lease.LEASE not in files.listing()


def test_a_writer_whose_lock_was_taken_over_stops_before_it_writes_again(bucket, another_machine, monkeypatch):
    from dataclasses import replace

    monkeypatch.setattr(lease, "RENEWED", 0.01)
    path = new_folder(f"{bucket}/run", a="first")
    files = Store(f"{bucket}/run")
    with pytest.raises(InUse, match="is being written by another now"), only_writer(path, "run"):
        write_text(path / "a", "second")
        other = replace(lease.Holder.this(), shown="another")
        while mirror_of(path)._lease._beating.is_alive():  # it may be renewed in the same moment
            lease._write(files, other)
        write_text(path / "a", "third")
    assert lease._holder(files).shown == "another"
    files.delete(lease.LEASE)
    another_machine()
    assert seen(f"{bucket}/run") == {"a": "second"}


def test_a_writer_begins_with_what_another_machine_wrote_since_it_looked(bucket, another_machine):
    first = new_folder(f"{bucket}/run", a="first")
    (first / "left").write_text("by a process that was killed before it could publish it")
    mirror, known = mirror_of(first), dict(copies._mirrors)
    another_machine()
    write_text(local_path(f"{bucket}/run", "run") / "a", "second")
    copies._mirrors.clear()
    copies._mirrors.update(known)
    assert (first / "a").read_text() == "first"
    mirror._in_use = os.open(os.devnull, os.O_RDONLY)
    with only_writer(first, "run"):
        assert (first / "a").read_text() == "second"
        assert not (first / "left").exists()


def test_what_was_not_there_is_looked_for_again(bucket, another_machine):
    path = local_path(f"{bucket}/run", "run")
    assert not path.exists()
    Store(f"{bucket}/run").write("a", b"first")  # as the first worker of a training, on another machine
    assert seen(path) == {"a": "first"}


def test_two_processes_of_this_machine_do_not_transfer_an_address_at_once(another_machine, monkeypatch):
    from threading import Thread

    from reskeras.files.cache import locked
    from reskeras.files.mirror import TRANSFERRING

    Store("memory://shared/data").write("a", b"first")
    told = []
    monkeypatch.setattr(copies.Transfers, "tell", staticmethod(told.append))
    home = place_of("memory://shared/data", "data").parent
    home.mkdir(parents=True)
    reader = Thread(target=local_path, args=("memory://shared/data", "data"))
    with locked(home / TRANSFERRING):
        reader.start()
        while reader.is_alive() and not told:
            reader.join(0.01)
        assert not (home / "data").exists()
    reader.join()
    assert told == ["waiting for another process that transfers memory://shared/data"]
    assert seen("memory://shared/data") == {"a": "first"}


def test_an_entry_is_the_size_and_the_hash_of_a_file(tmp_path):
    import hashlib

    (tmp_path / "file").write_bytes(data := os.urandom(100_000))
    entry = entry_of(tmp_path / "file")
    assert (entry.size, entry.sha256) == (100_000, hashlib.sha256(data).hexdigest())


def test_a_local_path_imports_nothing_of_this():
    program = (
        "import sys\nfrom reskeras_cli.main import commands\n"
        "try:\n    commands.main(['--help'])\nexcept SystemExit:\n    pass\n"
        "from reskeras.files import local_path, write_text\nlocal_path('x', 'run')\n"
        "print([name for name in sys.modules if name.startswith(('fsspec', 'reskeras.files.mirror'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "[]"
