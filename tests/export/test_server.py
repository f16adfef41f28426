"""Starting a server, and asking one."""

import json
import os

import pytest
import tensorflow as tf
from click.testing import CliRunner
from PIL import Image

import reskeras
from reskeras.client import Client
from reskeras.export import server
from reskeras.runs import RunFolder
from reskeras_cli.main import commands
from tests.export.stub import Stub


@pytest.fixture(scope="module")
def saved(trained, tmp_path_factory):
    import shutil

    run = reskeras.Run(shutil.copytree(trained.path, tmp_path_factory.mktemp("served") / "run"))
    [proof] = run.export("serving", timing=False)
    return run, tf.saved_model.load(proof.path)


@pytest.fixture
def files(tmp_path):
    made = []
    for index in range(40):
        made.append(tmp_path / f"{index}.png")
        Image.new("L", (20 + index, 30), index * 6).save(made[-1])
    return made


def test_a_served_model_names_what_the_run_names(saved, files):
    with Stub(saved[1]) as stub:
        found = Client(stub.url).predict(files, top=3)
    assert [path for path, _ in stub.requests] == ["/v1/models/tiny:predict"] * 2  # 32 and 8 images
    assert stub.requests[0][1]["signature_name"] == "bytes"
    for mine, theirs in zip(saved[0].predict(files, top=3), found, strict=True):
        assert mine.path == theirs.path
        assert dict(theirs.top) == pytest.approx(dict(mine.top), abs=1e-5)


def test_a_busy_server_is_asked_again(saved, files):
    busy = (503, json.dumps({"error": "loading"}))
    with Stub(saved[1], [busy, busy]) as stub:
        assert len(Client(stub.url, retries=3).predict(files[:1])) == 1
    assert len(stub.requests) == 3
    with Stub(saved[1], [busy] * 9) as stub, pytest.raises(reskeras.ReskerasError, match="answered 503: loading"):
        Client(stub.url, retries=1).predict(files[:1])
    assert len(stub.requests) == 2


@pytest.mark.parametrize(
    "script, said",
    [
        (["slow"], "did not answer within 0.5 s"),
        ([(404, '{"error": "Servable not found"}')], "404: Servable not found"),
        ([(500, "<html>")], "answered 500"),
        ([(200, "<html>")], "did not answer like TensorFlow Serving"),
        ([(200, '{"predictions": []}')], "expected one prediction per image"),
        ([(200, '{"predictions": [{"logits": [1]}]}')], "was it exported by reskeras"),
        ([(200, "[1]")], "did not answer like"),
    ],
)
def test_servers_that_do_not_serve(saved, files, script, said):
    with Stub(saved[1], script) as stub, pytest.raises(reskeras.ReskerasError) as caught:
        Client(stub.url, timeout=0.5, retries=0).predict(files[:1])
    assert said in str(caught.value)
    assert caught.value.status == 1


def test_what_the_model_cannot_read_is_told_file_by_file(saved, files, tmp_path):
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "nothing.png").touch()
    paths, told = [files[0], tmp_path / "text.png", files[1], tmp_path / "nothing.png"], []
    with Stub(saved[1]) as stub:
        found = Client(stub.url).predict(paths, broken=lambda _, error: told.append(error))
        with pytest.raises(reskeras.ReskerasError, match=r"image: .*text\.png: neither a JPEG nor a PNG") as caught:
            Client(stub.url).predict(paths)
        shown = CliRunner().invoke(commands, ["predict", "--url", stub.url, *map(str, paths), "--top", "1"])
    assert caught.value.status == 1
    assert [each.path for each in found] == [str(files[0]), str(files[1])]
    assert [str(each) for each in told] == [f"image: {paths[place]}: neither a JPEG nor a PNG" for place in (1, 3)]
    assert shown.exit_code == 1
    assert f"image: {paths[1]}: neither a JPEG nor a PNG" in shown.stderr
    assert "2 of 4 images could not be read" in shown.stderr
    for file in files[:2]:
        assert str(file) in shown.stdout


def test_a_file_that_is_too_large_is_not_sent_and_small_ones_go_together(saved, files, monkeypatch):
    most = max(file.stat().st_size for file in files)
    monkeypatch.setattr("reskeras.client.LARGEST_REQUEST", 3 * most)
    files[5].write_bytes(bytes(3 * most + 1))
    told = []
    with Stub(saved[1]) as stub:
        found = Client(stub.url).predict(files, broken=lambda _, error: told.append(error))
    assert [each.path for each in found] == [str(file) for file in files if file != files[5]]
    assert [str(each) for each in told] == [f"image: {files[5]}: larger than 0 MiB"]
    assert len(stub.requests) >= 39 / 3
    assert sum(len(body["instances"]) for _, body in stub.requests) == 39


def test_addresses_and_files_that_are_none(files):
    for url in ("localhost:8501", "ftp://host/v1/models/x", "http://host:8501"):
        with pytest.raises(reskeras.ReskerasError, match="is not the address of a served model") as caught:
            Client(url)
        assert caught.value.status == 2
    with pytest.raises(reskeras.ReskerasError, match=r"file not found: .*absent\.png"):
        Client("http://host/v1/models/x").predict(["absent.png"])
    with pytest.raises(reskeras.ReskerasError, match=r"cannot be reached: .*refused"):
        Client("http://127.0.0.1:9/v1/models/x", retries=0).predict(files[:1])


def test_the_command_asks_a_url(saved, files):
    with Stub(saved[1]) as stub:
        shown = CliRunner().invoke(commands, ["predict", "--url", stub.url, str(files[0]), "--top", "1"])
    assert shown.exit_code == 0, shown.output
    assert str(files[0]) in shown.stdout
    alone = CliRunner().invoke(commands, ["predict", str(files[0])])
    assert alone.exit_code == 2
    assert "give a run and at least one image" in alone.stderr


def found_program(folder, name, text="#!/bin/sh\nexit 0\n"):
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


def test_the_server_is_the_program_else_the_container_else_advice(saved, tmp_path, monkeypatch):
    folder = server.exported(saved[0].folder)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(reskeras.ReskerasError, match="neither tensorflow_model_server nor a running docker") as caught:
        server.way_to_serve(folder, 1, 2)
    assert caught.value.status == 1
    found_program(tmp_path, "docker", "#!/bin/sh\nexit 1\n")
    with pytest.raises(reskeras.ReskerasError, match="nor a running docker was found"):
        server.way_to_serve(folder, 1, 2)
    found_program(tmp_path, "docker")
    words = server.way_to_serve(folder, 8501, 8500)
    assert words[:2] == ["docker", "run"]
    assert f"type=bind,source={folder.absolute()},target=/models,readonly" in words
    found_program(tmp_path, "tensorflow_model_server")
    assert server.way_to_serve(folder, 8501, 8500)[0] == "tensorflow_model_server"
    assert os.fspath(folder) in " ".join(words)


def test_serve_prints_the_commands_and_refuses_what_is_not_exported(saved, trained):
    shown = CliRunner().invoke(commands, ["serve", str(saved[0].path), "--port", "9000", "--dry-run"])
    assert [line.split()[0] for line in shown.stdout.splitlines()] == ["tensorflow_model_server", "docker"]
    assert shown.stdout.count("--rest_api_port=9000") == 2
    refused = CliRunner().invoke(commands, ["serve", str(trained.path)])
    assert refused.exit_code == 2
    assert "has no SavedModel; make one with: reskeras export" in refused.stderr


def test_a_run_that_was_only_built_is_not_told_to_export(tmp_path):
    (tmp_path / "network.yaml").write_text("depth: 20\n")
    with pytest.raises(reskeras.ReskerasError, match="has no SavedModel: it was built, not trained") as refused:
        server.exported(RunFolder(tmp_path))
    assert "export" not in str(refused.value)
