"""The networks of torchvision and timm themselves, with a state dict in them: what a port is proven against."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ConfigDict
from typing_extensions import TypedDict

from reskeras.errors import ReskerasError, failure, shown, unknown
from reskeras.spec.document import parse_yaml
from reskeras.stored import read_json

LIBRARIES = ("timm", "torchvision")
NATIVE = "torchvision"  # which timm imports too
CONFIG_FILE = "config.json"  # beside weights, in the form of the Hugging Face hub
EXAMPLE = "timm:resnet50, timm:resnet50.a1_in1k, timm:resnet50,output_stride=16 or torchvision:resnet50"
NAME, ARGUMENTS = re.compile(r"[\w.-]+"), re.compile(r",(?=\s*\w+\s*=)")
# arguments by which timm would read or download weights, or look for classes of its own
FORBIDDEN = {"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir", "device",
             "dtype"}
# what a residual network of the papers, of torchvision or of timm is made of where nothing is unusual
USUAL = {"Conv2d", "BatchNorm2d", "BatchNormAct2d", "ReLU", "MaxPool2d", "AvgPool2d", "AdaptiveAvgPool2d", "Linear",
         "Identity", "Sequential", "ModuleList", "Dropout", "Flatten", "Sigmoid", "BasicBlock", "Bottleneck", "ResNet",
         "SEModule", "ResNetV2", "ResNetStage", "PreActBasic", "PreActBottleneck", "DownsampleConv", "DownsampleAvg",
         "ClassifierHead", "SelectAdaptivePool2d", "FastAdaptiveAvgPool", "DropPath"}


class Published(TypedDict, total=False):
    """How the pixels of published weights are prepared, in timm's words (`pretrained_cfg`); mean and std of 0..1."""

    __pydantic_config__ = ConfigDict(extra="allow")

    tag: str | None
    input_size: tuple[int, int, int]  # channels, height, width
    interpolation: str
    crop_pct: float
    crop_mode: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


class HubConfig(TypedDict, total=False):
    """What is read of a `config.json`."""

    __pydantic_config__ = ConfigDict(extra="allow")

    architecture: str
    global_pool: str
    model_args: dict[str, Any]
    pretrained_cfg: Published


@dataclass(frozen=True)
class Architecture:
    """A network of a library by its name there, with its tag if it has one, and the arguments that it is made with;
    `published` where a file beside the weights says it."""

    library: str
    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    published: Published | None = None

    def __str__(self) -> str:
        return f"{self.library}'s {self.made}"

    @property
    def made(self) -> str:
        """Its name with the arguments."""
        return self.name + "".join(f", {name}={value}" for name, value in self.arguments.items())


@dataclass(frozen=True)
class Original:
    """What a port is proven against, in words; of another library's network the epsilon of its batch norms, where they
    agree, what of it no name tells, and how pixels are prepared for its weights."""

    words: str
    epsilon: float | None = None
    unusual: tuple[str, ...] = ()
    published: Published | None = None


def architecture(text: str) -> Architecture:
    """`timm:resnet50.a1_in1k` or `timm:resnet50,output_stride=16`; ReskerasError for what is no such name."""
    library, _, rest = text.partition(":")
    name, *given = ARGUMENTS.split(rest)  # not at the commas of a list
    plain, _, beyond = name.partition(",")
    if not NAME.fullmatch(plain):
        raise ReskerasError(f"architecture: {shown(text)} is not of the form LIBRARY:NAME, such as {EXAMPLE}")
    if library not in LIBRARIES:
        raise unknown("architecture", library, LIBRARIES)
    if beyond:
        raise ReskerasError(f"architecture: {shown(beyond)} is not of the form ARGUMENT=VALUE, such as "
                            "output_stride=16")
    pairs = (each.partition("=") for each in given)
    return _allowed(Architecture(library, plain, {
        key.strip(): parse_yaml(f"value: {value}", "architecture")[0]["value"] for key, _, value in pairs}))


def architecture_beside(path: Path) -> Architecture | None:
    """What a CONFIG_FILE beside a file of weights says, as the Hugging Face hub keeps timm's; None without one."""
    config = path.with_name(CONFIG_FILE)
    if not config.is_file():
        return None
    told = read_json(config, "port", HubConfig)
    if "architecture" not in told:
        return None
    published = told.get("pretrained_cfg") or {}
    pool = {"global_pool": told["global_pool"]} if "global_pool" in told else {}
    name = ".".join(filter(None, (told["architecture"], published.get("tag"))))
    return _allowed(Architecture("timm", name, {**pool, **told.get("model_args", {})}, published))


def _allowed(found: Architecture) -> Architecture:
    for name, value in found.arguments.items():
        if name in FORBIDDEN:
            raise ReskerasError(f"architecture: {name} is no argument of a network without weights")
        if not isinstance(value, str | int | float | bool | list | None):
            raise ReskerasError(f"architecture: {name}: {shown(value)} is no number, text or list of them")
    return found


def why_not(found: Architecture) -> str:
    """Why the library's own network cannot be made; empty where it can. Libraries that are there are imported."""
    if "tensorflow" in sys.modules and NATIVE not in sys.modules and find_spec(NATIVE):
        # its extension ends the process when TensorFlow's libraries are loaded before it (torchvision 0.29)
        return f"{NATIVE} cannot be loaded after TensorFlow; import {NATIVE} first"
    for name in ("torch", found.library):
        try:
            import_module(name)
        except (ImportError, RuntimeError) as error:  # a build for another PyTorch is a RuntimeError
            absent = isinstance(error, ModuleNotFoundError) and error.name == name
            return f"{name} {'is not installed' if absent else 'cannot be imported here'}"
    return ""


def original(found: Architecture, tensors: Mapping[str, np.ndarray]) -> tuple[Original, Callable[..., np.ndarray]]:
    """The library's own network, strictly with these tensors, for as many classes and channels as they are for; and
    what asks it for its logits, as of a Source.

    Raises ReskerasError: status 2 for a name or arguments that the library does not know, 1 where tensors do not fit.
    """
    import torch

    with torch.device("meta"):  # its shapes alone
        usual = _made(found, {}).state_dict()
    changed = {}
    for argument, layer, axis in _ends(found):
        given, own = tensors.get(f"{layer}.weight"), usual.get(f"{layer}.weight")
        if given is not None and (own is None or given.shape[axis] != own.shape[axis]):
            changed[argument] = given.shape[axis]
    network = _made(found, changed)
    ask = _filled(found, network, tensors)
    epsilons = {module.eps for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)}
    words = f"{found.library} {version(found.library)}'s {found.made}"
    return Original(words, epsilons.pop() if len(epsilons) == 1 else None, tuple(_unusual(network)),
                    found.published or _published(found)), ask


def torchvision_resnet(
    tensors: Mapping[str, np.ndarray], bottleneck: bool, units: Sequence[int], groups: int, inner_factor: float,
    classes: int,
) -> Callable[..., np.ndarray]:
    """What asks torchvision's ResNet of these stages, strictly with these tensors; `failure` where they do not fit."""
    from torchvision.models import resnet

    found = Architecture("torchvision", "ResNet")
    with _told(found):
        network = resnet.ResNet(resnet.Bottleneck if bottleneck else resnet.BasicBlock, list(units), classes,
                                groups=groups, width_per_group=round(64 * inner_factor / groups))
    return _filled(found, network, tensors)


def _filled(found: Architecture, network: Any, arrays: Mapping[str, np.ndarray]) -> Callable[..., np.ndarray]:
    """What asks a network with all these tensors in it; `failure` where one is missing, left over, or of another
    shape."""
    import torch

    own, tensors = network.state_dict(), {name: torch.from_numpy(np.array(values)) for name, values in arrays.items()}
    wrong = {
        "missing": [name for name in own if name not in tensors and not name.endswith("num_batches_tracked")],
        "left over": [name for name in tensors if name not in own],
        "of another shape": [f"{name} {tuple(values.shape)}" for name, values in tensors.items()
                             if name in own and own[name].shape != values.shape],
    }
    if any(wrong.values()):
        told = "; ".join(f"{label}: {', '.join(names[:3])}" for label, names in wrong.items() if names)
        raise failure(f"port: these are no weights of {found}; tensors {told}")
    network.load_state_dict(tensors, strict=False)
    network.eval()

    def ask(images: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, 1)))
        with torch.inference_mode():
            return network(x).numpy()

    return ask


def _ends(found: Architecture) -> Iterator[tuple[str, str, int]]:
    """The arguments for channels and classes, the layer whose weight has them, and its axis."""
    if found.library == "torchvision":
        yield "num_classes", "fc", 0
        return
    import timm

    known = timm.models.get_pretrained_cfg(_base(found)).to_dict()
    first = known["first_conv"]
    yield "in_chans", first if isinstance(first, str) else first[0], 1
    yield "num_classes", known["classifier"], 0


def _base(found: Architecture) -> str:
    return found.name.partition(".")[0]


def _published(found: Architecture) -> Published | None:
    """How the library prepares pixels for its own weights of that name and tag; None where it has no such."""
    if found.library == "timm":
        import timm

        known = timm.models.get_pretrained_cfg(found.name) if found.name in timm.list_pretrained() else None
        known = known or timm.models.get_pretrained_cfg(_base(found))
        return {key: value for key, value in known.to_dict().items() if key in Published.__annotations__ and value}
    import torchvision

    weights = list(torchvision.models.get_model_weights(_base(found)))
    tag = found.name.partition(".")[2]
    [chosen] = [each for each in weights if each.name == tag] if tag else weights[:1]
    shown = chosen.transforms()
    return {"tag": chosen.name, "input_size": (3, *shown.crop_size * 2), "interpolation": shown.interpolation.value,
            "crop_pct": shown.crop_size[0] / shown.resize_size[0], "mean": tuple(shown.mean), "std": tuple(shown.std)}


def _made(found: Architecture, changed: Mapping[str, int]) -> Any:
    """The library's network, with fresh weights; nothing is downloaded."""
    arguments = {**found.arguments, **changed}
    with _told(found):
        if found.library == "timm":
            import timm

            if not timm.is_model(_base(found)):
                raise unknown("architecture", found.name, timm.list_models())
            return timm.create_model(_base(found), pretrained=False, **arguments)
        import torchvision

        if _base(found) not in torchvision.models.list_models():
            raise unknown("architecture", found.name, torchvision.models.list_models())
        tags = [each.name for each in torchvision.models.get_model_weights(_base(found))]
        if found.name not in (_base(found), *(f"{_base(found)}.{tag}" for tag in tags)):
            raise unknown("architecture", found.name, [f"{_base(found)}.{tag}" for tag in tags])
        return torchvision.models.get_model(_base(found), weights=None, **arguments)


@contextmanager
def _told(found: Architecture) -> Iterator[None]:
    try:
        yield
    except ReskerasError:
        raise
    except Exception as error:  # whatever a library's own constructors find wrong
        raise ReskerasError(f"architecture: {found} cannot be made: {' '.join(str(error).split())[:200]}") from error


def _unusual(network: Any) -> list[str]:
    """What of a network cannot be seen in the names and shapes of its tensors, and is not as usual."""
    import torch

    found: dict[str, str] = {}
    for name, module in network.named_modules():
        kind = type(module).__name__
        if kind not in USUAL:
            found.setdefault(kind, f"{kind} in {name}")
        elif isinstance(module, torch.nn.Conv2d) and math.prod(module.dilation) != 1:
            found.setdefault("dilation", f"dilation {module.dilation[0]} in {name}")
        elif isinstance(module, torch.nn.AvgPool2d) and "downsample" not in name:
            found.setdefault("pool", f"an average pool in {name}")
        elif kind == "SelectAdaptivePool2d" and module.pool_type not in ("avg", "fast", "fastavg"):
            found.setdefault("head", f"a global {module.pool_type} pool")
    return list(found.values())
