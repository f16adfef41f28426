"""Run folders whose files were edited or damaged: what reads them gives a line that names the file, or an answer."""

import json
import time

import pytest

from reskeras.errors import ReskerasError
from reskeras.networks.request import NETWORK_FILE, RESOLVED_FILE, network
from reskeras.runs import CLASSES_FILE, METRICS_FILE, PROVENANCE_FILE, RECIPE_FILE, RunFolder, new_run, open_run

READERS = {
    NETWORK_FILE: (RunFolder.spec, lambda run: run.task),
    RESOLVED_FILE: (RunFolder.spec, RunFolder.classes),
    RECIPE_FILE: (RunFolder.recipe,),
    CLASSES_FILE: (RunFolder.classes,),
    PROVENANCE_FILE: (RunFolder.provenance, RunFolder.classes, lambda run: run.update_provenance(more=1)),
    METRICS_FILE: (RunFolder.metrics, lambda run: run.keep_metrics(1), lambda run: run.add_metrics(EPOCH)),
}
EPOCH = {"epoch": 2, "seconds": 1.0, "loss": 0.5}
HOSTILE = {
    "empty": b"",
    "NUL": bytes(100),
    "no UTF-8": b"\xff\xfe\x00d",
    "null": b"null",
    "a number": b"3",
    "a list": b"[1, 2]",
    "text": b'"text"',
    "deep JSON": b"[" * 100_000,
    "deep YAML": b"{a: " * 5000,
    "torn": b'{"data": {"na',
    "digits": b"depth: " + b"9" * 5000,
    "hexadecimal": b"depth: 0x" + b"f" * 5000,
    "base 60": b"depth: 1:30",
    "escape": b'name: "\\UFFFFFFFF"',
    "tag": b"!!python/object/apply:os.system [touch executed]",
    "aliases": b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]",
    "twice": b"depth: 20\ndepth: 20",
    "twice in other words": b"stages: {1: 2, 0x1: 3}",
    "not finite": b"depth: .nan",
    "infinite": b"depth: .inf",
    "huge": b"# " + b"x" * (1 << 19),
    "wrong fields": b'{"data": 3, "versions": [], "command": {}, "made": null}',
    "data of wrong fields": b'{"data": {"name": 3, "train": "x", "notes": "x"}}',
    "no number": b'{"epoch": "x"}',
    "epoch 0": b'{"epoch": 0, "seconds": 1}',
    "infinite epoch": b'{"epoch": 1e400, "seconds": 1}',
    "a deep number": b'{"epoch": ' + b"9" * 5000 + b"}",
    "no name": b"cat\n\ndog\n",
    "one name": b"cat\n",
    "the same name": b"cat\ncat\n",
    "a name with NUL": b"c\x00t\ndog\n",
    "deeper than any": b"depth: 20000\n",
}


@pytest.fixture
def run(tmp_path):
    with new_run(tmp_path / "run", network(family="cifar", stages=[1], classes=2, input_shape=[8, 8, 1])) as made:
        (made.path / RECIPE_FILE).write_text("epochs: 1\n")
        (made.path / CLASSES_FILE).write_text("cat\ndog\n")
        (made.path / PROVENANCE_FILE).write_text(json.dumps({"data": {"name": "digits"}}))
        (made.path / METRICS_FILE).write_text(json.dumps(EPOCH | {"epoch": 1}) + "\n")
    return open_run(tmp_path / "run")


@pytest.mark.parametrize("name", READERS)
def test_a_hostile_file_gives_a_line_or_an_answer(run, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused = 0
    for title, content in HOSTILE.items():
        for read in READERS[name]:
            (run.path / name).write_bytes(content)
            began = time.monotonic()
            try:
                read(run)
            except ReskerasError as error:
                refused += 1
                assert error.status in (1, 2)
                assert len(str(error).splitlines()) <= 2, title
                assert len(str(error)) < 700, title
            assert time.monotonic() - began < 10, title
    assert refused >= (0 if name == METRICS_FILE else len(HOSTILE) // 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]  # nothing executed, nothing written outside
    assert sorted(path.name for path in run.path.iterdir()) == sorted({*READERS})


def test_a_file_that_is_a_folder_a_pipe_or_a_link_in_a_circle_is_told(run):
    import os

    for make in (os.mkdir, os.mkfifo, lambda path: os.symlink(path, path)):
        (run.path / CLASSES_FILE).unlink() if not (run.path / CLASSES_FILE).is_dir() else os.rmdir(
            run.path / CLASSES_FILE
        )
        make(run.path / CLASSES_FILE)
        with pytest.raises(ReskerasError, match=r"classes\.txt"):
            run.classes()


def test_broken_lines_of_metrics_are_told_and_cost_no_others(run):
    with open(run.path / METRICS_FILE, "a") as file:
        file.write('garbage\n{"epoch": 2, "seconds": 1.0, "loss": null}\n{"epoch": 3, "sec')
    told = []
    assert [row["epoch"] for row in run.metrics(told.append)] == [1, 2]
    assert [line.partition(" is broken")[0].rpartition(", ")[2] for line in told] == ["line 2", "line 4"]
    run.add_metrics(EPOCH | {"epoch": 3})
    assert [row["epoch"] for row in run.metrics(pytest.fail)] == [1, 2, 3]
