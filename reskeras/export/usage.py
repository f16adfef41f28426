"""How a program uses an artefact that is a file: what goes in, what comes out, what is inside, for people and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from reskeras.strict_json import to_json

IMAGES = "images"


@dataclass(frozen=True)
class Tensor:
    """An input or output of an artefact; a free dimension of `shape` is -1. A quantised value x stands for
    (x - zero_point) * scale."""

    name: str
    shape: tuple[int, ...]
    type: str
    scale: float | None = None
    zero_point: int | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """Plain data for JSON."""
        quantised = {"scale": self.scale, "zero_point": self.zero_point, "real": "(value - zero_point) * scale"}
        return {
            "name": self.name,
            "shape": ["batch" if side < 0 else side for side in self.shape],
            "type": self.type,
            "quantisation": None if self.scale is None else quantised,
        }


@dataclass(frozen=True)
class Usage:
    """How a program uses an artefact: `sizing` brings an image to its size, `inside` is what the model then computes;
    `answer` explains its outputs where their names do not, `others` its inputs besides the images, by name."""

    sizing: str
    channels: int
    inside: Sequence[str]
    classes: Sequence[str]
    answer: str = ""
    others: Mapping[str, str] | None = None

    def facts(self, kind: str, given: Sequence[Tensor], told: Sequence[Tensor]) -> dict[str, Any]:
        """What a program needs to know of an artefact of `kind` with these inputs and outputs, as plain data."""
        pixels, *others = sorted(given, key=lambda each: each.name != IMAGES)
        colours = "RGB" if self.channels == 3 else "grey"
        steps = ["rotate the image as its EXIF tag says", self.sizing, f"give pixels as {colours}, 0 to 255"]
        if pixels.scale is not None:
            steps.append(f"as {pixels.type}, clipped: round(pixel / {pixels.scale:.9g}) {pixels.zero_point:+d}")
        answer = f" {self.answer}" if self.answer else ""
        explained = [{**each.facts, "what": (self.others or {})[each.name]} for each in others]
        return {
            "kind": kind,
            "signature": "serving_default",
            "use": f"{'; '.join(steps)}. Do not normalise: the model does.{answer}",
            "input": {**pixels.facts, "range": [0, 255], "channels": colours},
            **({"other_inputs": explained} if explained else {}),
            "inside": list(self.inside),
            "outputs": [{"index": index, **tensor.facts} for index, tensor in enumerate(told)],
            "classes": list(self.classes),
        }


def metadata_of(facts: Mapping[str, Any]) -> dict[str, str]:
    """`facts` as texts by name, for files whose metadata are such: what is no text is JSON."""
    return {name: value if isinstance(value, str) else to_json(value) for name, value in facts.items()}


def signature_of(function: tf.types.experimental.ConcreteFunction) -> tuple[list[Tensor], list[Tensor]]:
    """Inputs and outputs of a signature."""
    positional, named = function.structured_input_signature
    given = {each.name: each for each in (*positional, *named.values())}
    return _tensors(given), _tensors(function.structured_outputs)


def _tensors(specs: Mapping[str, Any]) -> list[Tensor]:
    return [
        Tensor(name, tuple(-1 if side is None else side for side in spec.shape.as_list()), spec.dtype.name)
        for name, spec in specs.items()
    ]
