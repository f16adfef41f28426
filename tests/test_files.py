"""The one writer: whole or not at all, on file systems that refuse too, and nothing that bypasses it."""

import ast
import csv
import errno
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reskeras import files
from reskeras.errors import ReskerasError
from reskeras.files import (
    InUse,
    append_line,
    atomic_file,
    atomic_folder,
    copy_folder,
    csv_text,
    only_writer,
    remove,
    scratch,
    workspace,
    workspaces,
    write_csv,
    write_json,
    write_text,
)
from tests.mounts import fill, make_read_only, mounted

ROOT = Path(__file__).parents[1]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def writes(path):
    """Every way to write, at `path`."""
    return {
        "text": lambda: write_text(path, "text"),
        "durable": lambda: write_json(path, {"a": 1}, durable=True),
        "large": lambda: write_text(path, "x" * 100_000),
        "folder": lambda: write_into(path),
        "csv": lambda: write_csv(path, [["a"], ["b"]]),
    }


def write_into(path):
    with atomic_folder(path, durable=True) as beside:
        (beside / "inside").mkdir()
        (beside / "inside" / "file").write_bytes(bytes(100_000))


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "made" / "here" / "file.txt"
    write_text(path, "first")
    with pytest.raises(RuntimeError), atomic_file(path) as beside:
        beside.write_text("half")
        assert path.read_text() == "first"
        raise RuntimeError
    assert path.read_text() == "first"
    write_text(path, "second", durable=True)
    assert path.read_text() == "second"
    assert names(path.parent) == ["file.txt"]


def test_folders_made_for_a_file_that_came_to_nothing_go_again(tmp_path):
    with pytest.raises(RuntimeError), atomic_file(tmp_path / "a" / "b" / "file"):
        raise RuntimeError
    assert names(tmp_path) == []


def test_a_folder_is_made_whole_or_not_at_all(tmp_path):
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "run") as beside:
        (beside / "half").touch()
        raise RuntimeError
    assert names(tmp_path) == []
    write_into(tmp_path / "run")
    assert names(tmp_path) == ["run"]
    with pytest.raises(ReskerasError, match="created by another process"):
        write_into(tmp_path / "run")
    copy_folder(tmp_path / "run", tmp_path / "copy")
    assert (tmp_path / "copy" / "inside" / "file").read_bytes() == bytes(100_000)


def test_an_empty_folder_that_came_meanwhile_is_not_replaced(tmp_path):
    with pytest.raises(ReskerasError, match="created by another process"), atomic_folder(tmp_path / "run"):
        (tmp_path / "run").mkdir()
    assert names(tmp_path) == ["run"]


def test_a_replaced_file_keeps_its_permissions(tmp_path):
    path = tmp_path / "secret"
    path.touch(0o600)
    write_text(path, "text")
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_link_is_replaced_and_what_it_leads_to_is_not_written(tmp_path):
    (tmp_path / "outside").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "outside")
    write_text(tmp_path / "link", "text")
    assert (tmp_path / "outside").read_text() == "mine"
    assert not (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("way", writes(Path()))
def test_a_full_disk_is_told_in_a_line(tmp_path, way):
    with mounted(tmp_path / "disk", "size=64k") as disk:
        (disk / "kept").write_text("kept")
        fill(disk)
        with pytest.raises(ReskerasError, match="there is no space left; make room") as told:
            writes(disk / "new" / "file")[way]()
        assert (told.value.status, str(told.value).count("\n")) == (1, 0)
        assert names(disk) == ["ballast", "kept"]


@pytest.mark.parametrize("way", writes(Path()))
def test_a_read_only_disk_is_told_in_a_line(tmp_path, way):
    with mounted(tmp_path / "disk", "size=64k") as disk:
        (disk / "kept").write_text("kept")
        make_read_only(disk)
        for path in (disk / "file", disk / "new" / "file"):
            with pytest.raises(ReskerasError, match="the file system is read-only") as told:
                writes(path)[way]()
            assert told.value.status == 1
        assert names(disk) == ["kept"]


def test_a_disk_that_turns_read_only_meanwhile_is_told_not_raised(tmp_path):
    with mounted(tmp_path / "disk", "size=64k") as disk:
        with pytest.raises(ReskerasError, match="read-only"), atomic_file(disk / "file") as beside:
            beside.write_text("half")
            make_read_only(disk)
        append_line(disk / "log", "line")
        remove(disk / "file")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("x" * 300, "the name is too long"),
        ("folder", "it is a folder"),
        ("file/below", "a part of the path is not a folder"),
        ("file/far/below", "a part of the path is not a folder"),
        ("nul\0", "a path cannot contain NUL"),
        ("loop/file", "a part of the path is not a folder"),
    ],
)
def test_impossible_places_are_told_in_a_line(tmp_path, name, told):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    before = names(tmp_path)
    with pytest.raises(ReskerasError, match=told):
        write_text(tmp_path / name, "text")
    assert names(tmp_path) == before


def test_a_name_as_long_as_the_system_allows_is_written(tmp_path):
    write_text(tmp_path / ("x" * 255), "text")
    assert names(tmp_path) == ["x" * 255]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EDQUOT, errno.ESTALE])
def test_whatever_else_the_system_refuses_is_told(tmp_path, monkeypatch, number):
    def refused(*arguments, **options):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_bytes", refused)
    with pytest.raises(ReskerasError, match=r"file cannot be written: [a-z]"):
        write_text(tmp_path / "file", "text")
    assert names(tmp_path) == []


def test_a_refusal_within_a_folder_that_is_not_finished_names_the_place_where_it_will_stand(tmp_path, monkeypatch):
    def refused(*arguments, **options):
        raise OSError(errno.ENOSPC, "")

    monkeypatch.setattr(Path, "write_bytes", refused)
    with pytest.raises(ReskerasError) as told, atomic_folder(tmp_path / "new") as beside:
        write_text(beside / "file", "text")
    assert str(told.value).startswith(f"{tmp_path}/new/file cannot be written")


def test_a_full_disk_that_a_library_words_for_itself_is_told(tmp_path):
    with pytest.raises(ReskerasError, match="there is no space left"), atomic_file(tmp_path / "file"):
        raise RuntimeError("UNKNOWN: /x/variables; No space left on device")
    with pytest.raises(RuntimeError, match="another"), atomic_file(tmp_path / "file"):
        raise RuntimeError("another")


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    with atomic_file(tmp_path / "file") as one, atomic_file(tmp_path / "file") as other:
        one.write_text("one")
        other.write_text("other")
        assert one != other
    assert (tmp_path / "file").read_text() == "one"  # whose block ended last
    assert names(tmp_path) == ["file"]


KILLED = """
import os, signal, sys
from pathlib import Path
from reskeras.files import atomic_file
with atomic_file(Path(sys.argv[1]) / "file") as beside:
    beside.write_text("half")
    print("writing", flush=True)
    signal.pause()
"""


def test_what_a_killed_writer_left_goes_with_the_next_and_what_a_living_one_needs_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(workspaces, "UNLOCKED", 0.0)
    writer = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT)
    assert writer.stdout.readline() == b"writing\n"
    write_text(tmp_path / "other", "text")
    assert len(names(tmp_path)) == 2
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    write_text(tmp_path / "other", "text")
    assert names(tmp_path) == ["other"]


def test_another_machines_workspace_is_left_alone_for_a_day(tmp_path):
    fresh, old = tmp_path / ".reskeras-00000000-fresh", tmp_path / ".reskeras-00000000-old"
    fresh.mkdir()
    old.mkdir()
    os.utime(old, (0, 0))
    write_text(tmp_path / "file", "text")
    assert names(tmp_path) == [fresh.name, "file"]


def test_a_pipe_is_written_to_where_it_stands(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ReskerasError, match="cannot be written"):  # nobody reads it
        write_text(tmp_path / "pipe", "text")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_text(tmp_path / "pipe", "text")
    assert os.read(reader, 100) == b"text"
    os.close(reader)
    assert names(tmp_path) == ["pipe"]


def test_devices_stay_devices(tmp_path):
    write_text("/dev/null", "text")
    assert Path("/dev/null").is_char_device()
    with pytest.raises(ReskerasError, match="there is no space left"):
        write_text("/dev/full", "text")
    program = "from reskeras.files import write_text; print('a'); write_text('/dev/stdout', 'b\\n'); print('c')"
    with open(tmp_path / "out", "w") as out:
        subprocess.run([sys.executable, "-c", program], stdout=out, check=True, cwd=ROOT)
    assert (tmp_path / "out").read_text() == "a\nb\nc\n"


def test_workspaces_and_scratch_leave_nothing(tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with workspace(tmp_path / "made") as place, scratch() as other:
        (place / "deep").mkdir()
        (other / "file").touch()
    assert names(tmp_path) == []
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file" / "x"))
    (tmp_path / "file").touch()
    with pytest.raises(ReskerasError, match="TMPDIR"), scratch():
        pass


def test_cells_that_a_spreadsheet_would_run_are_made_inert():
    cells = ["=1+1", "+cmd", "-cmd", "@sum", "\ttab", "\rreturn", "＝1", "plain", "-0.5", "+1e-3", -3, None, 'a"b,c']
    read = next(csv.reader(io.StringIO(csv_text([cells]), newline=""), strict=True))
    assert read == [
        "'=1+1",
        "'+cmd",
        "'-cmd",
        "'@sum",
        "'\ttab",
        "'\rreturn",
        "'＝1",
        "plain",
        "-0.5",
        "+1e-3",
        "-3",
        "",
        'a"b,c',
    ]


def test_names_that_are_no_text_are_written_escaped(tmp_path):
    write_csv(tmp_path / "file.csv", [[os.fsdecode(b"caf\xe9.png")]])
    assert (tmp_path / "file.csv").read_text(encoding="utf-8") == "caf\\udce9.png\n"


WRITERS = {
    "write_text",
    "write_bytes",
    "mkdir",
    "makedirs",
    "touch",
    "symlink_to",
    "rename",
    "copyfile",
    "copytree",
    "copy",
    "copy2",
    "move",
    "mkstemp",
    "mkdtemp",
    "TemporaryDirectory",
    "NamedTemporaryFile",
    "unlink",
}
ROOMS = ("atomic_file", "atomic_folder", "new_run", "workspace", "scratch")  # a block of which may write
# what may write for itself, and why
ALLOWED = {
    ("reskeras/engine.py", "open"): "stderr in memory, no file",
    ("reskeras/export/runtimes.py", "open"): "standard output of a process of its own",
    ("reskeras/export/runtimes.py", "savez"): "to memory, for the process that asked",
    ("reskeras/export/executed.py", "open"): "standard output of a process of its own",
    ("reskeras/export/executed.py", "savez"): "to memory, for the process that asked",
    ("reskeras/export/executed.py", "TemporaryDirectory"): "of a process of its own, which imports nothing of reskeras",
    ("reskeras/data/video.py", "open"): "FFmpeg's, within its caller's atomic folder",
    ("reskeras/report/figures.py", "savefig"): "the method that it overrides",
    ("reskeras/training/checkpoints.py", "savez"): "to memory, for the other workers",
}


def bypasses(path):
    """Calls in a source file that write without `reskeras.files`: (line, what)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "reskeras.files"
        for alias in node.names
    }
    safe = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.With) and any(room in ast.dump(item) for item in node.items for room in ROOMS)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or id(node) in safe:
            continue
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        literals = [
            each.value
            for each in [*node.args, *(key.value for key in node.keywords)]
            if isinstance(each, ast.Constant) and isinstance(each.value, str)
        ]
        if name == "open" and any(set(text) & set("wax+") and set(text) <= set("rwaxbt+") for text in literals):
            yield node.lineno, name
        elif name in WRITERS and name not in imported and isinstance(function, ast.Attribute):
            owner = getattr(function.value, "id", "")
            if name in ("copy", "move") and owner != "shutil":
                continue
            yield node.lineno, name
        elif name == "replace" and len(node.args) == 1 and not node.keywords and isinstance(function, ast.Attribute):
            yield node.lineno, name
        elif name in ("savefig", "savez", "savez_compressed", "save_weights", "save_file"):
            first = node.args[0] if node.args else None
            if getattr(first, "id", "") != "stream":
                yield node.lineno, name


def test_no_write_bypasses_the_room():
    found = []
    for path in sorted([*(ROOT / "reskeras").rglob("*.py"), *(ROOT / "cli").rglob("*.py")]):
        where = path.relative_to(ROOT).as_posix()
        if not where.startswith("reskeras/files/"):
            found += [f"{where}:{line}: {name}" for line, name in bypasses(path) if (where, name) not in ALLOWED]
    assert not found, "write through reskeras.files:\n" + "\n".join(found)


def test_the_search_for_bypasses_finds_them(tmp_path):
    source = tmp_path / "source.py"
    source.write_text(
        "path.write_text('')\nopen(path, 'w')\npath.open(mode='ab')\nos.replace\nbeside.replace(path)\n"
        "text.replace('a', 'b')\nopen(path)\nshutil.copyfile(a, b)\nfigure.savefig(path)\npath.mkdir()\n"
        "figure.savefig(stream)\nwith atomic_file(path) as beside:\n    figure.savefig(beside)\n"
    )
    assert [line for line, _ in bypasses(source)] == [1, 2, 3, 5, 8, 9, 10]


HOLDER = """
import signal, sys
from pathlib import Path
from reskeras.files import only_writer
with only_writer(Path(sys.argv[1]), "run"):
    print("held", flush=True)
    signal.pause()
"""


def test_a_second_writer_is_told_who_holds_a_folder_and_a_killed_holder_holds_nothing(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT)
    assert holder.stdout.readline() == b"held\n"
    with (
        pytest.raises(InUse, match=rf"run: .* is being written by process {holder.pid} on .* since \d") as told,
        only_writer(tmp_path, "run"),
    ):
        raise AssertionError
    assert told.value.status == 1
    holder.kill()
    holder.wait()
    holder.stdout.close()
    with (
        only_writer(tmp_path, "run"),
        pytest.raises(InUse, match=f"process {os.getpid()} "),
        only_writer(tmp_path, "run"),
    ):
        raise AssertionError
    assert names(tmp_path) == []


def test_a_lock_that_cannot_be_made_is_told(tmp_path):
    with mounted(tmp_path / "disk", "size=64k") as disk:
        make_read_only(disk)
        with pytest.raises(ReskerasError, match="read-only"), only_writer(disk, "run"):
            raise AssertionError


def test_a_lock_does_not_follow_links(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / files.LOCK_FILE).symlink_to(tmp_path / "mine")
    with pytest.raises(ReskerasError), only_writer(tmp_path / "run", "run"):
        raise AssertionError
    assert (tmp_path / "mine").read_text() == "mine"
