"""Commands that start TensorFlow Serving on a run's exports: the local program if installed, else docker."""

from __future__ import annotations

import csv
import io
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from reskeras.errors import ReskerasError, failure
from reskeras.export.server_files import (
    BATCHES,
    BATCHING_CONFIG,
    CONTAINER_FOLDER,
    MODELS_CONFIG,
    local_config,
    read_models,
    write_server_files,
)
from reskeras.runs import BUILT, RunFolder

REST_PORT, GRPC_PORT = 8501, 8500  # TensorFlow Serving's own
PROGRAM, IMAGE = "tensorflow_model_server", "tensorflow/serving"
ONLY_HERE = "127.0.0.1"  # docker publishes a port to the whole network unless it is given an address
ANSWERS_WITHIN = 10  # seconds that docker has to answer
LOOKS_EVERY = 10  # seconds between a server's polls of models.config, which a new export changes
HOW_TO_GET = (
    f"neither {PROGRAM} nor a running docker was found; the container is {IMAGE} on Docker "
    "Hub, the Debian package is described at tensorflow.org/tfx/serving/setup; --dry-run prints the commands"
)


def exported(run: RunFolder, export: Sequence[str] = ("reskeras", "export"), batches: Sequence[int] = BATCHES) -> Path:
    """The export folder of a run with a SavedModel in it; without one ReskerasError (status 2) with the command to
    `export` one.

    Server files of earlier versions, with absolute paths that TensorFlow Serving may refuse, are rewritten, for
    the batch sizes `batches`.
    """
    folder = run.export_folder
    if not (folder / MODELS_CONFIG).is_file():
        if run.is_built:
            raise ReskerasError(f"serve: {run.path} has no SavedModel: {BUILT}")
        how = [*export, str(run.path), "--to", "serving"]
        raise ReskerasError(f"serve: {run.path} has no SavedModel; make one with: {shlex.join(how)}")
    for model in read_models(folder).model_config_list.config:
        if not model.base_path.startswith(f"{CONTAINER_FOLDER}/"):
            write_server_files(folder / model.name, batches)
    return folder


def model_name(folder: Path) -> str:
    """The model name that requests to a server of an export folder use."""
    return read_models(folder).model_config_list.config[0].name


def program_command(folder: Path, rest_port: int, grpc_port: int) -> list[str]:
    """The command that runs `tensorflow_model_server` on an export folder."""
    return [PROGRAM, *_flags(local_config(folder), folder.absolute(), rest_port, grpc_port)]


def container_command(folder: Path, rest_port: int, grpc_port: int) -> list[str]:
    """The same in docker, with ports published on this machine's loopback only."""
    return container_words(str(folder.absolute()), rest_port, grpc_port)


def container_words(source: str, rest_port: int = REST_PORT, grpc_port: int = GRPC_PORT) -> list[str]:
    """The same of an export folder written as `source`, an absolute path or what a shell makes one of."""
    inside = Path(CONTAINER_FOLDER)
    published = [word for port in (rest_port, grpc_port) for word in ("--publish", f"{ONLY_HERE}:{port}:{port}")]
    return [
        "docker",
        "run",
        "--rm",
        *published,
        "--mount",
        _mount(source, inside),
        "--entrypoint",
        PROGRAM,
        IMAGE,
        *_flags(inside / MODELS_CONFIG, inside, rest_port, grpc_port),
    ]


def commands_for(folder: Path, rest_port: int = REST_PORT, grpc_port: int = GRPC_PORT) -> list[list[str]]:
    """Both commands, for users to choose from."""
    return [make(folder, rest_port, grpc_port) for make in (program_command, container_command)]


def _flags(models: Path, folder: Path, rest_port: int, grpc_port: int) -> list[str]:
    return [
        f"--rest_api_port={rest_port}",
        f"--port={grpc_port}",
        f"--model_config_file={models}",
        f"--model_config_file_poll_wait_seconds={LOOKS_EVERY}",
        "--allow_version_labels_for_unavailable_models=true",
        "--enable_batching=true",
        f"--batching_parameters_file={folder / BATCHING_CONFIG}",
    ]


def _mount(source: str, target: Path) -> str:
    """`--mount` reads a line of CSV, so that a path may have colons (which `--volume` takes apart) and commas."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(["type=bind", f"source={source}", f"target={target}", "readonly"])
    return line.getvalue()


def way_to_serve(folder: Path, rest_port: int, grpc_port: int) -> list[str]:
    """The command that this machine can run; without one ReskerasError (status 1) that says how to install one."""
    if shutil.which(PROGRAM):
        return program_command(folder, rest_port, grpc_port)
    if shutil.which("docker") and _docker_answers():
        return container_command(folder, rest_port, grpc_port)
    raise failure(f"serve: {HOW_TO_GET}")


def _docker_answers() -> bool:
    try:
        done = subprocess.run(["docker", "info"], capture_output=True, timeout=ANSWERS_WITHIN, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
