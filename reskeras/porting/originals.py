"""The networks of torchvision and timm by name, run in a subprocess: the reference that a port is verified against."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from threading import Timer
from typing import IO, Any, cast
from weakref import finalize

import numpy as np
from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from reskeras.documents.document import parse_yaml
from reskeras.errors import ReskerasError, failure, shown, unknown
from reskeras.porting.exchange import receive, send
from reskeras.stored import read_json

LIBRARIES = ("timm", "torchvision")
CONFIG_FILE = "config.json"  # beside the weights, in the Hugging Face hub's format
EXAMPLE = "timm:resnet50, timm:resnet50.a1_in1k, timm:resnet50,output_stride=16 or torchvision:resnet50"
NAME, ARGUMENTS = re.compile(r"[\w.-]+"), re.compile(r",(?=\s*\w+\s*=)")
# arguments that would make a library read or download weights, or change device or dtype
FORBIDDEN = {
    "pretrained",
    "pretrained_cfg",
    "pretrained_cfg_overlay",
    "weights",
    "weights_backbone",
    "checkpoint_path",
    "cache_dir",
    "device",
    "dtype",
}
PROGRAM = "reskeras.porting.original_network"
ROOT = Path(__file__).parents[2]  # the import path of this package
# of batch norms of published weights, where constructors do not set them (torchvision.models.detection.faster_rcnn)
EPSILONS = {"fasterrcnn_resnet50_fpn.COCO_V1": 0.0}
LONGEST = 900  # seconds for an answer
MOST, MOST_IN_A_LIST = 4096, 16  # bounds of numbers among the arguments, such as units of a stage, and of lists


@with_config(ConfigDict(extra="allow"))
class Published(TypedDict, total=False):
    """Preprocessing of published weights under timm's names (`pretrained_cfg`); mean and std on the 0..1 scale."""

    tag: str | None
    input_size: tuple[int, int, int]  # channels, height, width
    interpolation: str
    crop_pct: float
    crop_mode: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    label_names: list[str]  # of the classes


@with_config(ConfigDict(extra="allow"))
class HubConfig(TypedDict, total=False):
    """The fields that are read of a `config.json`."""

    architecture: str
    global_pool: str
    model_args: dict[str, Any]
    label_names: list[str]
    pretrained_cfg: Published


@dataclass(frozen=True)
class Architecture:
    """A library's network by its name there, with its tag if it has one, and its constructor arguments; `published` is
    the preprocessing that a file beside the weights gives, `epsilon` that of its batch norms, where it is not as
    constructed."""

    library: str
    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    published: Published | None = None
    epsilon: float | None = None

    def __str__(self) -> str:
        return f"{self.library}'s {self.made}"

    @property
    def told_epsilon(self) -> float | None:
        """The epsilon of its batch norms, where it is given or known of the weights with its tag."""
        return EPSILONS.get(self.name) if self.epsilon is None else self.epsilon

    @property
    def made(self) -> str:
        """Its name with its arguments."""
        return self.name + "".join(f", {name}={value}" for name, value in self.arguments.items())


@dataclass(frozen=True)
class Original:
    """The reference that a port is verified against, in words; for another library's network also the epsilon of its
    batch norms, where they agree, its `unusual` parts, which tensors do not show, its preprocessing, and for a
    `detector` the fields of its spec that tensors do not show."""

    words: str
    epsilon: float | None = None
    unusual: Sequence[str] = ()
    published: Published | None = None
    detector: Mapping[str, Any] | None = None


def architecture(text: str) -> Architecture:
    """Parse `timm:resnet50.a1_in1k` or `timm:resnet50,output_stride=16`; ReskerasError for any other text."""
    library, _, rest = text.partition(":")
    name, *given = ARGUMENTS.split(rest)  # not at the commas of a list
    plain, _, beyond = name.partition(",")
    if not NAME.fullmatch(plain):
        raise ReskerasError(f"architecture: {shown(text)} is not of the form LIBRARY:NAME, such as {EXAMPLE}")
    if library not in LIBRARIES:
        raise unknown("architecture", library, LIBRARIES)
    if beyond:
        raise ReskerasError(
            f"architecture: {shown(beyond)} is not of the form ARGUMENT=VALUE, such as output_stride=16"
        )
    pairs = (each.partition("=") for each in given)
    return _allowed(
        Architecture(
            library,
            plain,
            {key.strip(): parse_yaml(f"value: {value}", "architecture")[0]["value"] for key, _, value in pairs},
        )
    )


def architecture_beside(path: Path) -> Architecture | None:
    """The architecture in a CONFIG_FILE beside the weights, in the form of the Hugging Face hub; None without one."""
    config = path.with_name(CONFIG_FILE)
    if not config.is_file():
        return None
    told = read_json(config, "port", HubConfig)
    if "architecture" not in told:
        return None
    published: Published = {**told.get("pretrained_cfg", {})}
    if "label_names" in told:
        published["label_names"] = told["label_names"]
    pool = {"global_pool": told["global_pool"]} if "global_pool" in told else {}
    name = ".".join(filter(None, (told["architecture"], published.get("tag"))))
    return _allowed(Architecture("timm", name, {**pool, **told.get("model_args", {})}, published))


def _allowed(found: Architecture) -> Architecture:
    for name, value in found.arguments.items():
        if name in FORBIDDEN:
            raise ReskerasError(f"architecture: the argument {name} is not allowed; it does not describe the network")
        if not isinstance(value, str | int | float | bool | list | None):
            raise ReskerasError(f"architecture: {name}: {shown(value)} is not a number, text or list of them")
        parts = value if isinstance(value, list) else [value]
        numbers = [each for each in parts if isinstance(each, int | float)]
        if len(parts) > MOST_IN_A_LIST or not all(abs(each) <= MOST for each in numbers):
            raise ReskerasError(
                f"architecture: {name}: {shown(value)} has a number beyond {MOST:,} or more than "
                f"{MOST_IN_A_LIST} entries"
            )
    return found


class Absent(Exception):
    """A library's own network cannot run here; the message gives the reason, as a clause."""


def original(found: Architecture, tensors: Mapping[str, np.ndarray]) -> tuple[Original, Callable[..., Any]]:
    """The library's own network with exactly these tensors, its classes and channels following their shapes; and its
    forward pass, as `ForeignModel.ask`. It runs in a process of its own for as long as that function is kept.

    Raises Absent where the library is missing or does not run; ReskerasError: status 2 for a name or arguments that the
    library does not know, 1 where tensors do not fit.
    """
    for name in ("torch", found.library):
        if find_spec(name) is None:
            raise Absent(f"{name} is not installed")
    process = _Process(found.library)
    try:
        told, _ = process.answer(asdict(found), tensors)
    except _Ended as ended:
        raise Absent(str(ended)) from ended
    if "absent" in told:
        raise Absent(told["absent"])
    if "error" in told:
        raise ReskerasError(told["error"], told["status"])

    def ask(images: np.ndarray) -> Any:
        try:
            answers = process.answer({}, {"images": images})[1]
            return answers.get("logits", answers)
        except _Ended as ended:
            raise failure(f"port: {ended}") from ended

    return Original(**told), ask


class _Ended(Exception):
    """The process ended instead of answering; the message says how."""


class _Process:
    """A running PROGRAM for one library's networks."""

    def __init__(self, library: str):
        self._library, self._said = library, TemporaryFile()  # noqa: SIM115 - as long as the process
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(  # -P: nothing is imported from the working directory
            [sys.executable, "-P", "-m", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env={**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"},
        )
        # pipes, as asked for
        self._questions, self._answers = cast(IO[bytes], self._process.stdin), cast(IO[bytes], self._process.stdout)
        finalize(self, _end, self._process)

    def answer(
        self, told: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The answer to one message; _Ended where there is none."""
        late = Timer(LONGEST, self._process.kill)
        late.start()
        try:
            send(self._questions, told, arrays)
            return receive(self._answers)
        except (EOFError, BrokenPipeError) as error:
            raise _Ended(self._how()) from error
        finally:
            late.cancel()

    def _how(self) -> str:
        status = self._process.wait()
        if status < 0:
            return f"the process that runs {self._library} was killed ({signal.Signals(-status).name})"
        self._said.seek(0)
        said = self._said.read().decode(errors="replace").strip().splitlines() or ["no reason given"]
        return f"{self._library} failed: {said[-1][:200]}"


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in filter(None, (process.stdin, process.stdout)):
        pipe.close()
