"""Export to torchvision and timm: the network of theirs that a spec is, its files, and its forward pass."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from reskeras.errors import ReskerasError
from reskeras.files import atomic_file, make_folder, write_json
from reskeras.networks.blocks import BLOCKS
from reskeras.networks.excitation import middle
from reskeras.networks.families import FAMILIES
from reskeras.networks.network import NetworkSpec, ResolvedNetwork
from reskeras.networks.orders import ORDERS
from reskeras.networks.overrides import laid_over
from reskeras.plans import operations as op
from reskeras.porting.convert import their_tensors, without_biases
from reskeras.porting.fitted import Answers, TrainedNetwork, fitted
from reskeras.porting.foreign_model import ForeignModel, of_state_dict
from reskeras.porting.layouts import LAYOUTS, TORCH, TORCHVISION, WeightLayout
from reskeras.porting.originals import CONFIG_FILE, Absent, Architecture, original
from reskeras.porting.recognise import recognise

WEIGHTS_FILE = "model.safetensors"  # in a folder that timm reads
LIBRARY_LAYOUTS = {"torchvision": (TORCHVISION,), "timm": LAYOUTS}
STAGES = 4
USUAL_WIDTHS = FAMILIES["imagenet"].widths
TIMM_SQUEEZE, TIMM_MULTIPLE = 16, 8  # of all timm networks named se...
STEM = 64  # channels


def write_state_dict(given: TrainedNetwork, path: Path, library: str) -> Answers:
    """Write `path`: for torchvision a .safetensors file, for timm a folder that it loads as local-dir:PATH."""
    if not isinstance(given.spec, NetworkSpec):
        raise ReskerasError(f"to: {library} state dicts can only be written for residual networks")
    try:
        from safetensors.numpy import load_file, save_file
    except ImportError as error:
        raise ReskerasError("to: state dicts need safetensors; pip install 'reskeras[port]'") from error
    decided, plan = given.spec.decided(), given.plan
    if len(decided.stages) != STAGES:
        raise ReskerasError(
            f"to: {library}'s residual networks have {STAGES} stages, but this one has {len(decided.stages)}"
        )
    layout = _layout(decided, LIBRARY_LAYOUTS[library])
    found = (_timm if library == "timm" else _torchvision)(decided)
    layers = layout.layers(plan)
    # gates have biases there too; no batch norm follows them
    gates = {
        each.name
        for each in laid_over(given.spec, {"conv_bias": False}).lower().ops()
        if isinstance(each, op.Conv) and each.bias
    }
    tensors = their_tensors(without_biases(plan, dict(given.weights), keep=gates), TORCH, layers, plan)
    theirs = ForeignModel(str(found), TORCH, tensors, None)
    tensors = their_tensors(fitted(given, recognise(theirs), theirs), TORCH, layers, plan)
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
        save_file(tensors, beside, metadata={"format": "pt"})
    return _asked(found, load_file(file), path)


def _asked(found: Architecture, tensors: Mapping[str, np.ndarray], path: Path) -> Answers:
    try:
        theirs, ask = original(found, tensors)
        return Answers(ask, theirs.words)
    except Absent as reason:
        assumed = of_state_dict(tensors, str(path))
        if assumed.ask is None:
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


def _torchvision(decided: ResolvedNetwork) -> Architecture:
    if decided.squeeze:
        raise ReskerasError("to: torchvision's ResNet has no squeeze-and-excitation; use timm-state-dict")
    widths, channels = tuple(row.width for row in decided.stages), decided.input_shape[-1]
    if (widths, channels) != (USUAL_WIDTHS, 3):
        usual, own = (", ".join(map(str, each)) for each in (USUAL_WIDTHS, widths))
        raise ReskerasError(
            f"to: torchvision's ResNet has stages of width {usual} and takes 3 channels, but this network has "
            f"{own} and takes {channels}; use timm-state-dict, which allows others"
        )
    return Architecture(
        "torchvision",
        "ResNet",
        {
            "block": decided.stages[0].block,
            "layers": [row.units for row in decided.stages],
            **_changed(groups=(decided.groups, 1), width_per_group=(_group_width(decided), 64)),
        },
    )


def _timm(decided: ResolvedNetwork) -> Architecture:
    """timm's network of the same block and version, with the arguments in which this one differs from it."""
    rows, stem = decided.stages, decided.stem.convs
    bottleneck, second = rows[0].block == "bottleneck", ORDERS[rows[0].order].preactivates
    if decided.squeeze and (second or decided.squeeze != TIMM_SQUEEZE):
        raise ReskerasError(
            f"to: timm has squeeze-and-excitation only with order 'original' and squeeze {TIMM_SQUEEZE}, "
            f"but this network has order {rows[0].order!r} and squeeze {decided.squeeze}"
        )
    if decided.squeeze:
        for width in (row.width * BLOCKS[row.block].expansion for row in rows):
            own, theirs = (middle(width, TIMM_SQUEEZE, each) for each in (decided.squeeze_multiple, TIMM_MULTIPLE))
            if own != theirs:
                raise ReskerasError(
                    f"to: timm reduces {width} channels to {theirs} in squeeze-and-excitation, but this network "
                    f"to {own}; use squeeze_multiple: {TIMM_MULTIPLE}"
                )
    if len(stem) == 1 and not second and stem[0].width != STEM:
        raise ReskerasError(f"to: timm's plain stem has {STEM} channels, but this one has {stem[0].width}")
    if second and decided.groups > 1:
        raise ReskerasError(f"to: timm's ResNetV2 has no groups, but this network has {decided.groups}")
    deep, widths = len(stem) > 1, tuple(row.width for row in rows)
    units, usual = [row.units for row in rows], [3, 4, 6, 3] if bottleneck else [2, 2, 2, 2]
    arguments = _changed(
        layers=(units, usual),
        channels=(widths, USUAL_WIDTHS),
        stem_type=("deep" if deep else "", ""),
        avg_down=(decided.projection == "pooled", False),
    )
    depth = "50" if bottleneck else "18"
    if not second:
        arguments |= _changed(
            cardinality=(decided.groups, 1), base_width=(_group_width(decided), 64), stem_width=(stem[0].width, STEM)
        )
        return Architecture("timm", f"{'se' if decided.squeeze else ''}resnet{depth}", arguments)
    expansion = BLOCKS[rows[0].block].expansion
    if "channels" in arguments:
        arguments["channels"] = [width * expansion for width in widths]
    if bottleneck:
        arguments |= _changed(bottle_ratio=(decided.inner_factor / expansion, 1 / expansion))
    return Architecture("timm", f"resnetv2_{depth}", arguments | _changed(stem_chs=(stem[-1].width, STEM)))


def _changed(**values: tuple[Any, Any]) -> dict[str, Any]:
    """Of arguments given as (value, usual value), those that differ from the usual one."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, (value, usual) in values.items()
        if value != usual
    }


def _group_width(decided: ResolvedNetwork) -> float:
    """torchvision's `width_per_group`, timm's `base_width`: channels per group of the first stage's 3x3 layers."""
    width = 64 * decided.inner_factor / decided.groups
    return round(width) if width == round(width) else width


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
