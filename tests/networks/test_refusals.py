"""Claims about bad specs: status 2, at most two lines, and the field, the value, the choices and the line named."""

from __future__ import annotations

import re

import pytest

import reskeras
from reskeras.errors import ReskerasError

STAGED = "family: cifar\nstages:\n"
SKIPS = "identity, scale, exclusive_gate, shortcut_gate, conv1x1, dropout"


def refused(call, *parts: str) -> str:
    with pytest.raises(ReskerasError) as refusal:
        call()
    message = str(refusal.value)
    assert refusal.value.status == 2
    assert 1 <= len(message.splitlines()) <= 2
    assert len(message) < 600
    for part in parts:
        assert part in message
    return message


# text, the line that is wrong (None where no line is), what the message names
FILES = {
    "unknown field": ("depth: 50\nshortcutt: A\n", 2, ["'shortcutt'", "block, bn, classes", "did you mean shortcut?"]),
    "unknown inner field": ("depth: 20\nbn:\n  momentun: 0.5\n", 3, ["momentun", "epsilon, momentum, scale"]),
    "unknown stage field": (STAGED + "- 1\n- {units: 1, wdith: 3}\n", 4, ["stages.1.wdith", "did you mean width?"]),
    "text for a number": ("# a comment\n\ndepth: fifty\n", 3, ["depth: 'fifty'", "integer"]),
    "fraction for a number": ("depth: 20\nclasses: 2.5\n", 2, ["classes: 2.5", "integer"]),
    "boolean for a number": ("depth: 20\nclasses: true\n", 2, ["classes: True"]),
    "boolean for a rate": ("depth: 20\ndrop_path: true\n", 2, ["drop_path: True", "number"]),
    "number for a block": ("depth: 20\nblock: 3\n", 2, ["block: 3", "basic, bottleneck, single"]),
    "number for a head": ("depth: 20\nhead: 3\n", 2, ["head: 3"]),
    "text for stages": ("family: cifar\nstages: A\n", 2, ["stages: 'A'"]),
    "no stages": ("family: cifar\nstages: []\n", 2, ["stages: []", "at least 1"]),
    "a stage without units": (STAGED + "- 1\n- width: 3\n", 4, ["stages.1", "units"]),
    "a shape of two": ("depth: 20\ninput_shape: [32, 32]\n", 2, ["input_shape"]),
    "impossible depth": ("family: cifar\ndepth: 33\n", 2, ["depth: 33", "32 and 38", "6n+2"]),
    "depth below any": ("depth: 1\n", 1, ["depth: 1", "2"]),
    "shortcut D": ("depth: 50\n\nshortcut: D\n", 3, ["shortcut: 'D'", "A, B, C, none"]),
    "stage shortcut D": (STAGED + "- {units: 1,\n   shortcut: D}\n", 4, ["stages.0.shortcut: 'D'", "A, B, C, none"]),
    "scale above 1": ("depth: 20\nskip:\n  kind: scale\n  shortcut: 1.5\n", 4, ["skip.shortcut: 1.5", "1"]),
    "scale below 0": ("depth: 20\nskip: {kind: scale, shortcut: -0.5}\n", 2, ["skip.shortcut: -0.5", "0"]),
    "residual scale 0": ("depth: 20\nskip:\n  kind: scale\n  residual: 0\n", 4, ["skip.residual: 0", "more than 0"]),
    "not a number": ("depth: 20\nskip: {kind: scale, shortcut: .nan}\n", 2, ["skip.shortcut: nan"]),
    "dropout rate 1": ("depth: 20\nskip:\n  kind: dropout\n  rate: 1\n", 4, ["skip.rate: 1", "less than 1"]),
    "gate bias": ("depth: 20\nskip: {kind: exclusive_gate, bias: 99}\n", 2, ["skip.bias: 99", "20"]),
    "a rate for a gate": ("depth: 20\nskip: {kind: exclusive_gate, rate: 0.5}\n", 2, ["rate"]),
    "unknown skip": ("depth: 20\nskip: sideways\n", 2, ["skip: 'sideways'", SKIPS]),
    "skip on a plain net": ("depth: 20\nshortcut: none\nskip: dropout\n", 3, ["skip: 'dropout'", "'none'", "A or B"]),
    "skip with C": ("depth: 20\nshortcut: C\nskip: scale\n", 3, ["skip: 'scale'", "'C'", "A or B"]),
    "conv1x1 with A": ("depth: 20\nshortcut: A\nskip: conv1x1\n", 3, ["skip: conv1x1", "'A'", "set only one of them"]),
    "conv1x1 with B in a stage": (STAGED + "- {units: 1, shortcut: B, skip: conv1x1}\n", 3, ["stages.0.skip", "'B'"]),
    "a stem without activation or pool": (
        "depth: 20\nstem: {convs: [{width: 16}], activated: false}\n",
        2,
        ["stem.activated: false", "pool"],
    ),
    "an idle border": (
        "depth: 50\nstem: {convs: [{width: 64}], pool: {border: edge}}\n",
        2,
        ["stem.pool.border: 'edge'", "activated: false"],
    ),
    "stride_on without bottleneck": ("depth: 20\nstride_on: 3x3\n", 2, ["stride_on: '3x3'", "bottleneck"]),
    "zero_gamma with full_preact": (
        "depth: 20\norder: full_preact\nzero_gamma: true\n",
        3,
        ["zero_gamma: true", "'full_preact'", "original, relu_before_add, relu_preact"],
    ),
    "zero_gamma without gamma": ("depth: 20\nzero_gamma: true\nbn: {scale: false}\n", 2, ["zero_gamma", "bn.scale"]),
    "zero_gamma on a plain net": ("depth: 20\nshortcut: none\nzero_gamma: true\n", 3, ["zero_gamma", "plain"]),
    "drop_path on a plain net": ("depth: 20\nshortcut: none\ndrop_path: 0.1\n", 3, ["drop_path: 0.1", "'none'"]),
    "drop_path of 1": ("depth: 20\ndrop_path: 1.0\n", 2, ["drop_path: 1.0", "less than 1"]),
    "preact then original": (
        STAGED + "- {units: 1, order: full_preact}\n- {units: 1, order: original}\n",
        4,
        ["stages.1.order: 'original'", "'full_preact'", "relu_preact or full_preact"],
    ),
    "depth against stages": (
        "depth: 20\nfamily: cifar\nstages: [2, 2, 2]\n",
        1,
        ["depth: 20", "14", "set only one of them"],
    ),
    "a stage too many": ("family: cifar\nstages: [1, 1, 1, 1]\n", 2, ["stages.3.width", "3 stages", "width: 128"]),
    "no family": ("stages: [1]\n", None, ["family: not set", "stem", "imagenet or cifar"]),
    "nothing said": ("classes: 3\n", None, ["depth: not set", "stages", "name"]),
    "zero classes": ("depth: 20\nclasses: 0\n", 2, ["classes: 0", "1"]),
    "input below stride": ("depth: 50\ninput_shape: [16, 16, 3]\n", 2, ["input_shape: 16x16", "32x32"]),
    "zero pixels": ("depth: 20\ninput_shape: 0x32x3\n", 2, ["input_shape.0: 0"]),
    "A to fewer channels": (
        "family: cifar\nshortcut: A\nstages:\n- {units: 1, width: 32}\n- {units: 1, width: 8}\n",
        5,
        ["shortcut", "'A'", "32", "8", "B or C"],
    ),
    "unknown order": ("depth: 20\norder: full-preact\n", 2, ["'full-preact'", "did you mean full_preact?"]),
    "a name for a file": ("depth: 20\nname: ../net\n", 2, ["name: '../net'"]),
    "vgg without classes": ("name: vgg-19\nclasses: 0\n", 2, ["classes: 0"]),
    "vgg with a stage more": ("name: vgg-19\nwidths: [8, 8]\n", 2, ["widths", "2", "5"]),
}
# text or bytes that is no document of fields, and what is said of it
DOCUMENTS = {
    "a list": ("- 1\n- 2\n", ["mapping", "a list"]),
    "a number": ("18\n", ["mapping", "a number"]),
    "text": ("resnet-50\n", ["mapping", "text"]),
    "empty": ("", ["mapping", "nothing"]),
    "two documents": ("depth: 20\n---\ndepth: 32\n", ["line 2"]),
    "python tag": ("name: x\ndepth: !!python/object/apply:os.system ['touch harm']\n", ["line 2", "python/object"]),
    "alias": ("depth: &a 20\nclasses: *a\n", ["line 2", "alias"]),
    "alias bomb": (
        "a: &a [x, x]\n"
        + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
        ["line 2", "alias"],
    ),
    "deep nesting": ("depth: " + "[" * 3000 + "]" * 3000, ["nested", "20"]),
    "deep mapping": ("depth: " + "{a: " * 100 + "1" + "}" * 100, ["nested", "20"]),
    "duplicate key": ("depth: 20\nclasses: 10\ndepth: 32\n", ["line 3", "'depth'", "twice"]),
    "duplicate inner key": ("depth: 20\nbn:\n  scale: true\n  scale: false\n", ["line 4", "'scale'", "twice"]),
    "broken": ("depth: 20\nstages: [1,\n", ["line 3"]),
    "tab": ("depth: 20\nbn:\n\tmomentum: 0.5\n", ["line 3"]),
    "false integer": ("depth: !!int twenty\n", ["twenty"]),
    "false boolean": ("depth: 20\nzero_gamma: !!bool maybe\n", ["maybe"]),
    "no such date": ("depth: 20\nname: 2001-13-45\n", ["month"]),
    "key of a list": ("[depth]: 20\n", ["line 1"]),
    "number for a key": ("1: 2\n", ["1"]),
    "huge": ("depth: 20 #" + "x" * (1 << 20), ["more than 262,144"]),
    "binary": (b"\x89PNG\r\n\x1a\n\x00\x00\xff\xfe", ["not UTF-8 text"]),
    "null bytes": (b"depth: 20\x00\n", ["unacceptable character"]),
}


@pytest.mark.parametrize("case", FILES)
def test_a_bad_file_is_refused_with_its_line(case, tmp_path):
    text, line, parts = FILES[case]
    path = tmp_path / "net.yaml"
    path.write_text(text)
    message = refused(lambda: reskeras.network(path), *parts, "net.yaml")
    assert re.findall(r"line (\d+)", message) == ([str(line)] if line else [])


@pytest.mark.parametrize("case", DOCUMENTS)
def test_what_is_no_document_of_fields_is_refused(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text, parts = DOCUMENTS[case]
    path = tmp_path / "net.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    refused(lambda: reskeras.network(path), *parts, "net.yaml")
    assert [file.name for file in tmp_path.iterdir()] == ["net.yaml"]


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("resnet-5o", ["'resnet-5o'", "did you mean resnet-50?"]),
        ("nowhere.yaml", ["nowhere.yaml", "file not found"]),
        ("nowhere.json", ["nowhere.json", "file not found"]),
        ("x" * 5000, ["network"]),
        ("a\0b", ["network"]),
    ],
)
def test_what_names_no_network_is_refused(source, parts):
    refused(lambda: reskeras.network(source), *parts)


def test_a_folder_without_a_network_is_no_run(tmp_path):
    refused(lambda: reskeras.network(tmp_path), str(tmp_path), "network.yaml")


@pytest.mark.parametrize(
    ("fields", "parts"),
    [
        ({"bogus": 1}, ["'bogus'", "block, bn"]),
        ({"depth": 50, "shortcut": "D"}, ["shortcut: 'D'", "A, B, C, none"]),
        ({"depth": 33}, ["depth: 33", "32 and 34"]),
        ({"depth": 50, "classes": 0}, ["classes: 0"]),
        ({"depth": True}, ["depth: True"]),
        ({"depth": 10**30}, ["depth"]),
        ({"family": "cifar", "stages": [4000, 4000, 4000]}, ["stages", "12,000", "10,000"]),
        ({"family": "cifar", "depth": 20, "stages": [1, 1, 1]}, ["depth: 20", "8"]),
        ({"depth": 50, "squeeze_multiple": 8}, ["squeeze_multiple: 8", "'squeeze'"]),
        ({"depth": 18, "first_shortcut": "raw"}, ["first_shortcut: 'raw'", "order 'original'"]),
        (
            {"depth": 50, "order": "full_preact", "first_shortcut": "raw"},
            ["first_shortcut: 'raw'", "without a projection"],
        ),
        ({"depth": 18, "order": "full_preact", "shortcut": "none", "first_shortcut": "raw"}, ["shortcut 'none'"]),
    ],
)
def test_bad_fields_are_refused_without_a_file_too(fields, parts):
    assert " (in )" not in refused(lambda: reskeras.network(**fields), *parts)
