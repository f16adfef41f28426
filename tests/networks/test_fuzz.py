"""The claim that nothing a person can type raises anything but ReskerasError; seeded, so that a failure stays."""

from __future__ import annotations

from copy import deepcopy
from random import Random

import pytest

import reskeras
from reskeras.documents.document import parse_yaml, to_yaml
from reskeras.documents.validation import validated
from reskeras.errors import ReskerasError
from reskeras.networks.catalog import name_of
from reskeras.networks.network import NetworkSpec

FIELDS = [
    *NetworkSpec.model_fields,
    "units",
    "width",
    "stride",
    "kind",
    "rate",
    "bias",
    "convs",
    "kernel",
    "momentum",
    "pool",
    "residual",
    "dropout",
    "scale",
    "epsilon",
    "",
    "nonsense",
]
VALUES = [
    None,
    True,
    False,
    0,
    1,
    2,
    3,
    8,
    20,
    29,
    -1,
    10**30,
    1e300,
    float("nan"),
    float("inf"),
    0.5,
    1.0,
    "",
    "A",
    "B",
    "C",
    "D",
    "none",
    "basic",
    "bottleneck",
    "single",
    "identity",
    "scale",
    "exclusive_gate",
    "conv1x1",
    "dropout",
    "original",
    "full_preact",
    "relu_preact",
    "cifar",
    "imagenet",
    "3x3",
    "last",
    "same",
    "max",
    "vgg-19",
    "8x8x3",
    "é\x00",
    b"x",
    [],
    {},
    [1],
    [1, 1],
    [[1]],
    [{}],
    [None],
    [16, 16, 3],
    [{"units": 2, "width": 3}],
    (1, 2),
    {"kind": "scale"},
    {"kind": "dropout", "rate": 0.3},
    {"kind": []},
    {"kind": None},
    {1: 2},
    {None: 1},
    {"convs": []},
    {"convs": [{"width": 4, "stride": 2, "kernel": 2}], "pool": {}},
    {"momentum": 0.5},
]
SEEDS = [
    {"depth": 20},
    {"family": "cifar", "stages": [1, 1, 1]},
    {"family": "imagenet", "stages": [{"units": 1, "order": "original"}, {"units": 1, "order": "full_preact"}]},
    {
        "stem": {"convs": [{"width": 8}], "pool": {"kernel": 3}},
        "classes": 3,
        "input_shape": "16x16x3",
        "stages": [{"units": 2, "width": 8, "skip": "dropout"}],
    },
    {"depth": 29, "block": "bottleneck", "stride_on": "3x3", "zero_gamma": True, "drop_path": 0.2},
    {"depth": 50, "bn": {"momentum": 0.9}, "head": {"pool": "max"}},
]
TEXTS = [
    "depth: 20\nshortcut: A\n",
    "name: vgg-19\nclasses: 10\n",
    "family: cifar\nstages:\n- units: 1\n  skip: {kind: scale, shortcut: 0.5}\n- 2\nbn:\n  momentum: 0.9\n",
    "stem: {convs: [{width: 8}]}\nstages: [{units: 1, width: 8}]\nclasses: 2\ninput_shape: [8, 8, 1]\n",
]
BITS = [
    "&a ",
    "*a",
    "!!python/object:os.system x",
    "!!set {a}",
    "!!binary abc=",
    "!!omap [a: 1]",
    "!!timestamp x",
    "<<: 3",
    "2001-13-45",
    "<<: {depth: 3}",
    "? [a]\n: 1\n",
    "---\n",
    "...\n",
    "\t",
    "\x00",
    "\u2028",
    "%YAML 9.9\n",
    "|\n",
    "{",
    "}",
    "[",
    "]",
    ": ",
    "- ",
    "\n",
    "#",
    "'",
    '"',
    "0x1F",
    "1_000",
    "1e5",
    ".nan",
    ".inf",
    "null",
    "~",
    "1:30",
    "0b",
    "!!int ",
    "!!float x",
    "!!bool 3",
    "=",
    "\ufeff",
    "é",
    "9" * 5000,
    "[" * 60,
]
PATHS = [
    "depth",
    "family",
    "block",
    "shortcut",
    "skip",
    "skip.kind",
    "skip.rate",
    "stages",
    "stages.0",
    "stages.0.width",
    "stages.9.width",
    "stages.x.width",
    "stages.-1.width",
    "stages.0.skip.rate",
    "stages.²",
    "stages..width",
    "stem",
    "stem.convs.0.width",
    "stem.convs.-1.width",
    "stem.pool.kernel",
    "bn",
    "bn.momentum",
    "bn.x.y",
    "head.pool",
    "classes.0",
    "input_shape.0",
    "input_shape.x",
    "name.a",
    "units.0",
    "widths.1",
    "widths",
    "dense",
    "",
    ".",
    "a.b.c",
]
NAMES = ["cifar-resnet-20", "vgg-19", "resnet-18", "cifar-resnet-110-scale-0.5-1", "cifar-plain-20", None]


def only_refuses(call, what) -> object:
    """What `call` gives, None when it is refused; anything but a short ReskerasError fails."""
    try:
        return call()
    except ReskerasError as refusal:
        message = str(refusal)
        assert refusal.status == 2, what
        assert len(message.splitlines()) <= 2 and len(message) < 1000, (what, message)
        return None
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error} for {what!r}") from error


def mutated(random: Random, data: dict) -> dict:
    """`data` with one to three values or fields put in, taken out or exchanged."""
    data = deepcopy(data)
    for _ in range(random.randint(1, 3)):
        spots = list(_spots(data))
        kind = random.random()
        if spots and kind < 0.5:
            box, key = random.choice(spots)
            box[key] = deepcopy(random.choice(VALUES))
        elif spots and kind < 0.7:
            box, key = random.choice(spots)
            del box[key]
        else:
            boxes = [data, *(box for box, _ in spots if isinstance(box, dict))]
            random.choice(boxes)[random.choice(FIELDS)] = deepcopy(random.choice(VALUES))
    return data


def _spots(data):
    for key, value in list(data.items()) if isinstance(data, dict) else list(enumerate(data)):
        yield data, key
        if isinstance(value, dict | list):
            yield from _spots(value)


@pytest.mark.sample(2)
@pytest.mark.parametrize("seed", range(4))
def test_mutated_specs_are_built_or_refused(seed):
    random, built = Random(seed), 0
    for _ in range(600):
        data = mutated(random, random.choice(SEEDS))
        spec = only_refuses(lambda data=data: reskeras.network(validated(NetworkSpec, data, "net.yaml")), data)
        if spec is None:
            continue
        built += 1
        resolved = reskeras.resolve(spec)
        assert reskeras.plan(spec).complexity().parameters > 0
        assert name_of(spec)
        assert validated(NetworkSpec, parse_yaml(to_yaml(spec.sparse()), "net.yaml")[0]) == spec
        assert reskeras.resolve(validated(NetworkSpec, resolved.model_dump(mode="json"))) == resolved
    assert built > 20  # the mutations are not all nonsense


@pytest.mark.parametrize("seed", range(4))
def test_mutated_files_are_read_or_refused(seed, tmp_path):
    random, path = Random(seed), tmp_path / "net.yaml"
    for _ in range(400):
        text = random.choice(TEXTS)
        for _ in range(random.randint(1, 3)):
            start = random.randint(0, len(text))
            text = text[:start] + random.choice(BITS) + text[start + random.choice([0, 0, 1, 3]) :]
        path.write_text(text, encoding="utf-8")
        only_refuses(lambda: reskeras.plan(path), text)


@pytest.mark.parametrize("seed", range(4))
def test_mutated_settings_are_laid_on_or_refused(seed):
    random = Random(seed)
    texts = [*BITS, "1", "-1", "0.5", "A", "none", "[1, 2]", "{}", "true", "{units: 2}", "scale", "", "8x8x3"]
    for _ in range(400):
        settings = tuple(
            random.choice(PATHS) + random.choice(["=", "=", "=", "", "=="]) + random.choice(texts)
            for _ in range(random.randint(1, 3))
        )
        name = random.choice(NAMES)
        only_refuses(lambda name=name, settings=settings: reskeras.network(name, settings=settings), (name, settings))
