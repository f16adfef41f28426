"""A torchvision or timm network with a state dict loaded; run as a program, it answers over standard input.

It runs in a process of its own: torchvision 0.29 crashes a process that has loaded TensorFlow before it, and the other
library's threads, memory and crashes stay apart from ours.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from importlib import import_module
from importlib.metadata import version
from inspect import signature
from typing import Any, cast

import numpy as np

from reskeras.errors import ReskerasError, failure, unknown
from reskeras.porting import original_detector as detectors
from reskeras.porting.exchange import receive, send
from reskeras.porting.originals import Architecture, Original, Published

Ask = Callable[[np.ndarray], dict[str, np.ndarray]]
End = tuple[str, str, int]  # an argument for channels or classes, the layer whose weight has them, and the axis
# module classes of ordinary residual networks in torchvision and timm
USUAL = {
    "Conv2d",
    "BatchNorm2d",
    "BatchNormAct2d",
    "ReLU",
    "MaxPool2d",
    "AvgPool2d",
    "AdaptiveAvgPool2d",
    "Linear",
    "Identity",
    "Sequential",
    "ModuleList",
    "Dropout",
    "Flatten",
    "Sigmoid",
    "BasicBlock",
    "Bottleneck",
    "ResNet",
    "SEModule",
    "ResNetV2",
    "ResNetStage",
    "PreActBasic",
    "PreActBottleneck",
    "DownsampleConv",
    "DownsampleAvg",
    "ClassifierHead",
    "SelectAdaptivePool2d",
    "FastAdaptiveAvgPool",
    "DropPath",
}


def main() -> None:
    """The first message names an Architecture and carries its tensors; the answer describes it as an Original, or says
    why the request is wrong (`error`, `status`) or the network cannot run here (`absent`). Each later message carries
    images, and is answered with their logits; a detector's carries one image, see `original_detector.asking`.
    """
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not mix with the messages
    told, tensors = receive(sys.stdin.buffer)
    try:
        described, ask = original(Architecture(**told), tensors)
    except ReskerasError as error:
        send(out, {"error": str(error), "status": error.status})
        return
    except ImportError as error:
        send(out, {"absent": " ".join(str(error).split())})
        return
    send(out, asdict(described))
    with suppress(EOFError):
        while True:
            _, given = receive(sys.stdin.buffer)
            send(out, {}, ask(given["images"]))


def original(found: Architecture, tensors: Mapping[str, np.ndarray]) -> tuple[Original, Ask]:
    """The library's own network with exactly these tensors, its classes and channels following their shapes; and its
    forward pass, as `Source.ask`.

    Raises ReskerasError: status 2 for a name or arguments that the library does not know, 1 where tensors do not fit;
    ImportError where a library is missing or does not load.
    """
    for name in ("torch", found.library):
        try:
            import_module(name)
        except (ImportError, RuntimeError) as error:  # a build for another PyTorch raises RuntimeError
            raise ImportError(f"{name} cannot be imported here: {str(error)[:100]}") from error
    import torch

    kinds: dict[str, type[Timm | Torchvision]] = {"timm": Timm, "torchvision": Torchvision}
    library = kinds[found.library](found)
    with torch.device("meta"):  # shapes alone, so that a misfit allocates no memory
        changed = _changed(library.made().state_dict(), library.ends, tensors)
        _check_fit(found, library.made(**changed).state_dict(), tensors)
    network = library.made(**changed)
    if found.told_epsilon is not None:
        detectors.with_epsilon(network, found.told_epsilon)
    epsilons = {module.eps for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)}
    words = f"{found.library} {version(found.library)}'s {found.made}"
    published: Published = {**(library.published() or {}), **(found.published or {})}
    is_detector = type(network).__name__ == "FasterRCNN"
    if is_detector:
        published = {**published, "mean": network.transform.image_mean, "std": network.transform.image_std}
    described = Original(
        words,
        epsilons.pop() if len(epsilons) == 1 else None,
        (*_unusual(network), *(detectors.unusual(network) if is_detector else ())),
        published or None,
        detectors.settings(network) if is_detector else None,
    )
    _fill(network, tensors)
    return described, detectors.asking(network) if is_detector else _asking(network)


class Timm:
    """timm's network of that name."""

    def __init__(self, found: Architecture):
        import timm

        self.found, self.base = found, found.name.partition(".")[0]
        if not timm.is_model(self.base):
            raise unknown("architecture", self.base, timm.list_models())
        known = timm.models.get_pretrained_cfg(found.name) if found.name in timm.list_pretrained() else None
        self.known = (known or timm.models.get_pretrained_cfg(self.base)).to_dict()

    def made(self, **changed: int) -> Any:
        """The network, with fresh weights; nothing is downloaded."""
        import timm

        with _refusing(self.found):
            return timm.create_model(self.base, pretrained=False, **{**self.found.arguments, **changed})

    @property
    def ends(self) -> tuple[End, ...]:
        """The arguments for channels and classes."""
        first = self.known["first_conv"]
        return (
            ("in_chans", first if isinstance(first, str) else first[0], 1),
            ("num_classes", self.known["classifier"], 0),
        )

    def published(self) -> Published:
        """The library's preprocessing for its own weights of that name and tag."""
        told = {key: value for key, value in self.known.items() if key in Published.__annotations__ and value}
        return cast(Published, told)  # timm's words are Published's


class Torchvision:
    """torchvision's network of that name, or its ResNet of any stages (`ResNet`, with the arguments of that class)."""

    def __init__(self, found: Architecture):
        import torchvision

        self.found, self.base, self.weights = found, found.name.partition(".")[0], []
        if self.base in ("ResNet", detectors.GENERAL):
            return
        if self.base not in torchvision.models.list_models():
            raise unknown("architecture", self.base, torchvision.models.list_models())
        self.weights = list(torchvision.models.get_model_weights(self.base))
        tags = [f"{self.base}.{each.name}" for each in self.weights]
        if found.name not in (self.base, *tags):
            raise unknown("architecture", found.name, tags)
        if self._is_detector and self.base not in detectors.NAMES:
            raise ReskerasError(f"architecture: {found}: of torchvision's detectors only {', '.join(detectors.NAMES)}")

    @property
    def _is_detector(self) -> bool:
        from torchvision.models import detection, get_model_builder

        return self.base == detectors.GENERAL or (
            self.base != "ResNet" and get_model_builder(self.base).__module__.startswith(detection.__name__)
        )

    def made(self, **changed: int) -> Any:
        """The network, with fresh weights; nothing is downloaded."""
        from torchvision.models import get_model, get_model_builder, resnet

        arguments = {**self.found.arguments, **changed}
        with _refusing(self.found):
            if self.base == "ResNet":
                blocks = {"basic": resnet.BasicBlock, "bottleneck": resnet.Bottleneck}
                return resnet.ResNet(**{**arguments, "block": blocks[arguments["block"]]})
            if self.base == detectors.GENERAL:
                return detectors.general(**arguments)
            taken = signature(get_model_builder(self.base)).parameters
            backbone = {"weights_backbone": None} if "weights_backbone" in taken else {}  # else it would be downloaded
            return get_model(self.base, weights=None, **backbone, **arguments)

    @property
    def ends(self) -> tuple[End, ...]:
        """The argument for classes."""
        return (("num_classes", "roi_heads.box_predictor.cls_score" if self._is_detector else "fc", 0),)

    def published(self) -> Published | None:
        """The library's preprocessing for its own weights of that name and tag; None where it has none."""
        tag = self.found.name.partition(".")[2]
        chosen = next((each for each in self.weights if each.name == tag or not tag), None)
        if chosen is None:
            return None
        if self._is_detector:
            return (
                {"tag": chosen.name, "label_names": detectors.class_names(chosen.meta["categories"])} if tag else None
            )
        shown = chosen.transforms()
        return {
            "tag": chosen.name,
            "input_size": (3, *shown.crop_size * 2),
            "interpolation": shown.interpolation.value,
            "crop_pct": shown.crop_size[0] / shown.resize_size[0],
            "mean": tuple(shown.mean),
            "std": tuple(shown.std),
        }


def _changed(usual: Mapping[str, Any], ends: Iterable[End], tensors: Mapping[str, np.ndarray]) -> dict[str, int]:
    """The arguments of `ends` in which the tensors differ from a network with the `usual` ones."""
    changed = {}
    for argument, layer, axis in ends:
        given, own = tensors.get(f"{layer}.weight"), usual.get(f"{layer}.weight")
        if given is not None and (own is None or given.shape[axis] != own.shape[axis]):
            changed[argument] = given.shape[axis]
    return changed


def _check_fit(found: Architecture, own: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
    """`failure` where a tensor is missing, unexpected, or of the wrong shape."""
    wrong = {
        "missing": [name for name in own if name not in tensors and not name.endswith("num_batches_tracked")],
        "unexpected": [name for name in tensors if name not in own],
        "of the wrong shape": [
            f"{name} {values.shape}"
            for name, values in tensors.items()
            if name in own and own[name].shape != values.shape
        ],
    }
    if any(wrong.values()):
        told = "; ".join(f"{label}: {', '.join(names[:3])}" for label, names in wrong.items() if names)
        raise failure(f"port: these are not the weights of {found}; tensors {told}")


def _fill(network: Any, tensors: Mapping[str, np.ndarray]) -> None:
    """Load these tensors."""
    import torch

    state = {name: torch.from_numpy(np.array(values)) for name, values in tensors.items()}
    network.load_state_dict(state, strict=False)
    network.eval()


def _asking(network: Any) -> Ask:
    """The forward pass of a classifier."""
    import torch

    def ask(images: np.ndarray) -> dict[str, np.ndarray]:
        x = torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, 1)))
        with torch.inference_mode():
            return {"logits": network(x).numpy()}

    return ask


@contextmanager
def _refusing(found: Architecture) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # whatever a library's own constructors find wrong
        raise ReskerasError(f"architecture: {found} cannot be built: {' '.join(str(error).split())[:200]}") from error


def _unusual(network: Any) -> list[str]:
    """Unusual parts of a network that the names and shapes of its tensors do not show."""
    import torch

    found: dict[str, str] = {}
    for name, module in network.named_modules():
        kind = type(module).__name__
        if kind not in USUAL | detectors.USUAL:
            found.setdefault(kind, f"{kind} in {name}")
        elif isinstance(module, torch.nn.Conv2d) and math.prod(module.dilation) != 1:
            found.setdefault("dilation", f"dilation {module.dilation[0]} in {name}")
        elif isinstance(module, torch.nn.AvgPool2d) and "downsample" not in name:
            found.setdefault("pool", f"an average pool in {name}")
        elif kind == "SelectAdaptivePool2d" and module.pool_type not in ("avg", "fast", "fastavg"):
            found.setdefault("head", f"a global {module.pool_type} pool")
    return list(found.values())


if __name__ == "__main__":
    main()
