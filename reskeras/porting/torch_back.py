"""Export to torchvision and timm: the files of the network of theirs that a spec is, and its forward pass."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from reskeras.errors import ReskerasError
from reskeras.files import atomic_file, make_folder, write_json
from reskeras.networks.any_network import AnyNetwork
from reskeras.networks.detector import BACKBONE, DetectorSpec
from reskeras.networks.network import NetworkSpec, ResolvedNetwork
from reskeras.networks.overrides import laid_over
from reskeras.plans import operations as op
from reskeras.porting.convert import their_tensors, without_biases
from reskeras.porting.fitted import Answers, TrainedNetwork, fitted
from reskeras.porting.foreign_model import ForeignModel, of_state_dict
from reskeras.porting.layouts import OF_CLASSIFIERS, TORCH, TORCHVISION, WeightLayout
from reskeras.porting.originals import CONFIG_FILE, Absent, Architecture, original
from reskeras.porting.recognise import plan_of, recognise
from reskeras.porting.torch_detector import check_same, faster_rcnn, layout_of_detector
from reskeras.porting.torch_resnet import EPSILON
from reskeras.porting.torch_resnets import timm_resnet, torchvision_resnet

WEIGHTS_FILE = "model.safetensors"  # in a folder that timm reads
STAGES = 4
LIBRARY_LAYOUTS = {"torchvision": (TORCHVISION,), "timm": OF_CLASSIFIERS}


def write_state_dict(given: TrainedNetwork, path: Path, library: str) -> Answers:
    """Write `path`: for torchvision a .safetensors file, for timm a folder that it loads as local-dir:PATH."""
    try:
        from safetensors.numpy import load_file, save_file
    except ImportError as error:
        raise ReskerasError("to: state dicts need safetensors; pip install 'reskeras[port]'") from error
    found, layout = target(given, library)
    plan = given.plan
    layers = layout.layers(plan)
    # gates and the heads of detectors have biases there too; no batch norm follows them
    bare = laid_over(given.spec, {f"{BACKBONE}.conv_bias" if layout.detector else "conv_bias": False})
    biased = {each.name for each in plan_of(bare).ops() if isinstance(each, op.Conv) and each.bias}
    tensors = their_tensors(
        without_biases(plan, dict(given.weights), keep=biased), TORCH, layers, plan, layout.rearranged
    )
    theirs = ForeignModel(str(found), TORCH, tensors, None, epsilon=EPSILON)
    tensors = their_tensors(fitted(given, recognise(theirs), theirs), TORCH, layers, plan, layout.rearranged)
    for name in (f"{layer}.weight" for layer in layout.pointwise):
        tensors[name] = tensors[name][..., None, None]
    file = path / WEIGHTS_FILE if library == "timm" else path
    if library == "timm":
        if given.preprocessing.kind == "per_pixel_mean":
            raise ReskerasError(
                "to: timm subtracts a mean per channel, but this run one per pixel, which timm's folder cannot "
                "describe; use torchvision-state-dict, which does not describe preprocessing"
            )
        make_folder(path)
        write_json(path / CONFIG_FILE, _hub_config(found, given, layers))
    with atomic_file(file) as beside:
        save_file(tensors, beside, metadata={"format": "pt", "architecture": f"{found.library}:{found.made}"})
    return _asked(found, load_file(file), path, given.spec)


def target(given: TrainedNetwork, library: str) -> tuple[Architecture, WeightLayout]:
    """The library's network that `given` is, and the layout of its tensors; ReskerasError where it has none."""
    spec = given.spec
    if isinstance(spec, DetectorSpec):
        if library != "torchvision":
            raise ReskerasError(f"to: {library} has no detectors; use torchvision-state-dict")
        return faster_rcnn(spec, given.preprocessing), layout_of_detector(spec)
    if not isinstance(spec, NetworkSpec):
        raise ReskerasError(f"to: {library} state dicts can only be written for residual networks")
    decided = spec.decided()
    if len(decided.stages) != STAGES:
        raise ReskerasError(
            f"to: {library}'s residual networks have {STAGES} stages, but this one has {len(decided.stages)}"
        )
    network = (timm_resnet if library == "timm" else torchvision_resnet)(decided)
    return network, _layout(decided, LIBRARY_LAYOUTS[library])


def _asked(
    found: Architecture, tensors: Mapping[str, np.ndarray], path: Path, spec: AnyNetwork | DetectorSpec
) -> Answers:
    try:
        theirs, ask = original(found, tensors)
        if isinstance(spec, DetectorSpec):
            check_same(spec, theirs.detector or {})
        return Answers(ask, theirs.words)
    except Absent as reason:
        assumed = of_state_dict(tensors, str(path))
        if assumed.ask is None or isinstance(spec, DetectorSpec):
            raise ReskerasError(
                f"to: {path.name} cannot be proven, because {reason}, and {assumed.why}; "
                f"pip install torch {found.library}"
            ) from reason
        return Answers(assumed.ask, f"the default network with these names, because {reason}")


def _layout(decided: ResolvedNetwork, layouts: tuple[WeightLayout, ...]) -> WeightLayout:
    """The layout closest to this network; `fitted` reports what still differs."""

    def alike(layout: WeightLayout) -> int:
        return sum(
            (
                len(layout.stem["strides"]) == len(decided.stem.convs),
                layout.fields["order"] == decided.stages[0].order,
                layout.fields.get("projection", "strided") == decided.projection,
            )
        )

    return max(layouts, key=alike)


def _hub_config(found: Architecture, given: TrainedNetwork, layers: Mapping[str, str]) -> dict[str, Any]:
    """The configuration that timm reads beside the weights: the architecture, its arguments, its classes, and its
    preprocessing."""
    prepared, classes = given.preprocessing, len(given.labels)
    first, *_, last = layers.values()  # in the plan's order
    return {
        "architecture": found.name,
        "num_classes": classes,
        "label_names": list(given.labels),
        "model_args": dict(found.arguments),
        "pretrained_cfg": {
            "input_size": [prepared.channels, prepared.height, prepared.width],
            "interpolation": prepared.framing.interpolation,
            "crop_pct": prepared.framing.crop,
            "crop_mode": "center",
            "num_classes": classes,
            "mean": [float(each) / 255 for each in prepared.mean],
            "std": [float(each) / 255 for each in prepared.std],
            "first_conv": first,
            "classifier": last,
        },
    }
