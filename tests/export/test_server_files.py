"""What TensorFlow Serving is started with: both files parse by its message definitions, wherever the folder lies."""

import csv
import shlex

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

import reskeras
from reskeras.export import server, server_files
from reskeras.runs import RunFolder
from tests.export.batching_parameters import batching_parameters


def models_in(path):
    """The one model that a models.config names, by TensorFlow Serving's own message."""
    config = text_format.Parse(path.read_text(), model_server_config_pb2.ModelServerConfig())
    [model] = config.model_config_list.config
    return model


def batching_in(path):
    return text_format.Parse(path.read_text(), batching_parameters())


@pytest.fixture
def folder(tmp_path):
    """An export folder with three versions of a model, and what is no version."""
    made = tmp_path / "run" / "export"
    made.mkdir(parents=True)
    (made.parent / "network.yaml").write_text("depth: 20\n")
    for name in ("1", "2", "10", ".7.writing", "old", "²", "99999999999999999999999"):
        (made / "net" / name).mkdir(parents=True)
    (made / "net" / "11").write_text("a file")
    server_files.write_server_files(made / "net", server_files.BATCHES)
    return made


@pytest.mark.parametrize("batches", [server_files.BATCHES, server_files.DETECTOR_BATCHES])
def test_batching_parses_and_keeps_the_servers_rules(tmp_path, batches):
    (tmp_path / "batching.config").write_text(server_files.batching_config(batches))
    found = batching_in(tmp_path / "batching.config")
    sizes = list(found.allowed_batch_sizes)
    assert sizes == sorted(set(sizes)) == list(batches)
    assert found.max_batch_size.value == sizes[-1]
    assert found.batch_timeout_micros.value > 0
    assert not found.HasField("num_batch_threads")  # the server's cores are not the exporter's


def test_the_form_of_before_does_not_parse():
    for wrong in ("allowed_batch_sizes { value: 1 }", "max_batch_size: 32"):
        with pytest.raises(text_format.ParseError):
            text_format.Parse(wrong, batching_parameters())


def test_models_have_the_containers_path_labels_and_a_policy_that_loads_what_is_labelled(folder):
    model = models_in(folder / "models.config")
    assert (model.name, model.base_path, model.model_platform) == ("net", "/models/net", "tensorflow")
    assert dict(model.version_labels) == {"latest": 10, "previous": 2}
    assert model.model_version_policy.latest.num_versions == len(model.version_labels)


def test_one_version_has_one_label(tmp_path):
    (tmp_path / "export" / "net" / "1").mkdir(parents=True)
    server_files.write_server_files(tmp_path / "export" / "net", server_files.BATCHES)
    assert dict(models_in(tmp_path / "export" / "models.config").version_labels) == {"latest": 1}


def test_this_machines_file_follows_a_folder_that_is_moved_and_a_file_that_is_edited(folder, tmp_path):
    assert models_in(folder / "models.local.config").base_path == str(folder / "net")
    text = (folder / "models.config").read_text()
    (folder / "models.config").write_text(text.replace("previous", "stable"))
    moved = folder.rename(tmp_path / "it's moved")
    words = server.program_command(moved, 1, 2)
    assert f"--model_config_file={moved / 'models.local.config'}" in words
    model = models_in(moved / "models.local.config")
    assert model.base_path == str(moved / "net")
    assert dict(model.version_labels) == {"latest": 10, "stable": 2}


@pytest.mark.parametrize("name", ["it's", "a b", "a,b", "a:b", 'a"b', "$HOME"])
def test_the_container_sees_any_folder_and_only_this_machine_sees_the_container(folder, tmp_path, name):
    moved = folder.rename(tmp_path / name)
    words = server.container_command(moved, 9000, 9001)
    assert shlex.split(shlex.join(words)) == words
    assert [words[place + 1] for place, word in enumerate(words) if word == "--publish"] == [
        "127.0.0.1:9000:9000",
        "127.0.0.1:9001:9001",
    ]
    assert "--model_config_file=/models/models.config" in words
    assert "--batching_parameters_file=/models/batching.config" in words
    assert "--allow_version_labels_for_unavailable_models=true" in words  # labels at start need it
    [mount] = [words[place + 1] for place, word in enumerate(words) if word == "--mount"]
    [fields] = csv.reader([mount])  # as docker reads it
    assert fields == ["type=bind", f"source={moved}", "target=/models", "readonly"]


def test_files_of_before_are_written_anew(folder):
    """They named one machine's path, and batch sizes in a form that no server reads."""
    (folder / "models.config").write_text(
        'model_config_list { config { name: "net" base_path: "/old/place/net" model_platform: "tensorflow" } }'
    )
    (folder / "batching.config").write_text("max_batch_size { value: 4 }\nallowed_batch_sizes { value: 4 }\n")
    server.exported(RunFolder(folder.parent))
    assert models_in(folder / "models.config").base_path == "/models/net"
    assert list(batching_in(folder / "batching.config").allowed_batch_sizes) == list(server_files.BATCHES)


@pytest.mark.parametrize("text", ["model_config_list { config", "", "\x00\xff", "unknown: 1"])
def test_a_broken_file_is_told(folder, text):
    (folder / "models.config").write_text(text)
    with pytest.raises(reskeras.ReskerasError, match=r"models\.config .*export the run again") as caught:
        server.exported(RunFolder(folder.parent))
    assert caught.value.status == 1


def test_what_is_no_version_is_not_counted(folder):
    assert server_files.versions(folder / "net") == [1, 2, 10]
    assert server_files.next_version(folder / "net") == 11
    (folder / "net" / str(2**63 - 1)).mkdir()
    with pytest.raises(reskeras.ReskerasError, match="highest version"):
        server_files.next_version(folder / "net")
