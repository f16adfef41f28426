"""Configuration files of TensorFlow Serving: the models with their versions, and how requests are batched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reskeras.addresses import copies_named
from reskeras.errors import failure
from reskeras.files import write_text

if TYPE_CHECKING:
    from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

MODELS_CONFIG = "models.config"  # for a container with the export folder mounted as CONTAINER_FOLDER
LOCAL_CONFIG = "models.local.config"  # the same for this machine: TensorFlow Serving takes absolute paths only
BATCHING_CONFIG = "batching.config"
CONTAINER_FOLDER = "/models"
# batch sizes that a server may batch concurrent requests into
BATCHES = (1, 2, 4, 8, 16, 32)
DETECTOR_BATCHES = (1, 2, 4)  # each image has hundreds of regions, whose feature maps take memory
LATEST, PREVIOUS = "latest", "previous"
LOADED = 2  # versions at a time: labels may only refer to loaded versions
WAIT_MICROSECONDS = 2000
HIGHEST_VERSION = 2**63 - 1  # TensorFlow Serving reads them as int64
HEAD = (
    "# For a server that sees this folder as {folder}. Labels need the server's flag\n"
    "# --allow_version_labels_for_unavailable_models=true: it assigns them before it has loaded a version.\n"
)


def versions(folder: Path) -> list[int]:
    """The versions of a model under `folder` that TensorFlow Serving sees, ascending: folders with numeric names."""
    if not folder.is_dir():
        return []
    names = [
        entry.name for entry in folder.iterdir() if entry.name.isascii() and entry.name.isdigit() and entry.is_dir()
    ]
    return sorted({int(name) for name in names if len(name) < 20 and int(name) <= HIGHEST_VERSION})


def next_version(folder: Path) -> int:
    """One more than the highest version under `folder`; ReskerasError (status 1) where no number is left."""
    version = max(versions(folder), default=0) + 1
    if version > HIGHEST_VERSION:
        raise failure(
            f"export: {folder / str(version - 1)} has the highest version that TensorFlow Serving supports; "
            "remove or rename that folder"
        )
    return version


def write_server_files(model: Path, batches: Sequence[int]) -> None:
    """Write the server's configuration files next to the folder `model`, which holds the versions.

    The server batches concurrent requests into batches of the sizes `batches`, ascending.
    """
    write_text(model.parent / BATCHING_CONFIG, batching_config(batches))
    write_text(model.parent / MODELS_CONFIG, models_config(model))
    local_config(model.parent)


def models_config(model: Path) -> str:
    """The content of `--model_config_file`: the model in the folder `model`, with the paths inside a container.

    The two highest versions are loaded, labelled LATEST and PREVIOUS; requests without a version get the highest.
    """
    from tensorflow_serving.config import model_server_config_pb2

    config = model_server_config_pb2.ModelServerConfig()
    entry = config.model_config_list.config.add(
        name=model.name, base_path=f"{CONTAINER_FOLDER}/{model.name}", model_platform="tensorflow"
    )
    entry.model_version_policy.latest.num_versions = LOADED
    for label, version in zip((LATEST, PREVIOUS), reversed(versions(model)), strict=False):
        entry.version_labels[label] = version
    return _text(config, CONTAINER_FOLDER)


def batching_config(batches: Sequence[int]) -> str:
    """The content of `--batching_parameters_file`: a BatchingParameters message (session_bundle_config.proto).

    No package has that message's definition, so it is written as text. Numbers are wrapper messages except for the
    sizes. The number of batching threads is left to the server's default, the number of cores.
    """
    sizes = "".join(f"allowed_batch_sizes: {size}\n" for size in batches)
    return f"max_batch_size {{ value: {batches[-1]} }}\nbatch_timeout_micros {{ value: {WAIT_MICROSECONDS} }}\n{sizes}"


def read_models(folder: Path) -> ModelServerConfig:
    """The content of models.config in an export folder; a broken file is a ReskerasError (status 1)."""
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    path = folder / MODELS_CONFIG
    try:
        config = text_format.Parse(path.read_text(encoding="utf-8"), model_server_config_pb2.ModelServerConfig())
    except (OSError, ValueError, text_format.ParseError) as error:
        raise failure(f"serve: {path} is broken: {' '.join(str(error).split())}; export the run again") from error
    if not config.model_config_list.config:
        raise failure(f"serve: {path} lists no model; export the run again")
    return config


def local_config(folder: Path) -> Path:
    """LOCAL_CONFIG in an export folder: models.config with this machine's paths, rewritten if the folder was moved or
    models.config was edited."""
    config, path = read_models(folder), folder.absolute() / LOCAL_CONFIG
    for entry in config.model_config_list.config:
        entry.base_path = str(path.parent / Path(entry.base_path).name)
    text = _text(config, str(path.parent))
    if not path.is_file() or path.read_text(encoding="utf-8", errors="replace") != text:
        with copies_named():  # of a remote run, the server reads the copy on this machine
            write_text(path, text)
    return path


def _text(config: ModelServerConfig, folder: str) -> str:
    from google.protobuf import text_format

    return HEAD.format(folder=folder) + text_format.MessageToString(config)
