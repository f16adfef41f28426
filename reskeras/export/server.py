"""What starts TensorFlow Serving on a run's exports: the program where there is one, else the container."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from reskeras.errors import ReskerasError, failure
from reskeras.runs import RunFolder

REST_PORT, GRPC_PORT = 8501, 8500  # TensorFlow Serving's own
PROGRAM, IMAGE = "tensorflow_model_server", "tensorflow/serving"
MODELS_CONFIG, BATCHING_CONFIG = "models.config", "batching.config"
ANSWERS_WITHIN = 10  # seconds that docker has to say that it is there
HOW_TO_GET = (f"neither {PROGRAM} nor a docker that answers is on this machine; the container is {IMAGE} on Docker "
              "Hub, the Debian package is described at tensorflow.org/tfx/serving/setup; --dry-run prints the commands")


def exported(run: RunFolder) -> Path:
    """The export folder of a run with a SavedModel in it; ReskerasError (status 2) when there is none."""
    folder = run.export_folder
    if not (folder / MODELS_CONFIG).is_file():
        how = f"detect export {run.path}" if run.is_detector else f"export {run.path} --to serving"
        raise ReskerasError(f"serve: {run.path} has no SavedModel; make one with: reskeras {how}")
    return folder


def program_command(folder: Path, rest_port: int, grpc_port: int) -> list[str]:
    """`tensorflow_model_server` on an export folder."""
    return [PROGRAM, *_flags(folder, rest_port, grpc_port)]


def container_command(folder: Path, rest_port: int, grpc_port: int) -> list[str]:
    """The same in docker, with the folder under its own name, so that models.config holds inside as well."""
    place = folder.absolute()
    return ["docker", "run", "--rm", "--publish", f"{rest_port}:{rest_port}", "--publish", f"{grpc_port}:{grpc_port}",
            "--volume", f"{place}:{place}:ro", "--entrypoint", PROGRAM, IMAGE, *_flags(folder, rest_port, grpc_port)]


def commands_for(folder: Path, rest_port: int = REST_PORT, grpc_port: int = GRPC_PORT) -> list[list[str]]:
    """Both commands, for people to choose from."""
    return [make(folder, rest_port, grpc_port) for make in (program_command, container_command)]


def _flags(folder: Path, rest_port: int, grpc_port: int) -> list[str]:
    place = folder.absolute()
    return [f"--rest_api_port={rest_port}", f"--port={grpc_port}", f"--model_config_file={place / MODELS_CONFIG}",
            "--enable_batching", f"--batching_parameters_file={place / BATCHING_CONFIG}"]


def way_to_serve(folder: Path, rest_port: int, grpc_port: int) -> list[str]:
    """The command that this machine can run; ReskerasError (status 1) that says how to get one."""
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
