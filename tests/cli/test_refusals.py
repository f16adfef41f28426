"""Claims about bad requests: status 2, one or two lines that name the field and the choices, no traceback."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from reskeras_cli.main import COMMANDS, Commands, commands


def refused(*arguments: str) -> str:
    result = CliRunner().invoke(commands, list(arguments))
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    assert result.stderr.startswith("reskeras: ")
    assert len(result.stderr.splitlines()) <= 2
    return result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["shov"], ["'shov'", "did you mean show?"]),
        (["--frob"], ["--frob"]),
        (["show", "resnet-5o"], ["'resnet-5o'", "did you mean resnet-50?"]),
        (["show", "nowhere.yaml"], ["file not found: nowhere.yaml"]),
        (["show"], ["depth: not set"]),
        (["show", "--depth", "33"], ["33", "32 and 34"]),
        (["show", "--depth", "fifty"], ["--depth", "'fifty'"]),
        (["show", "--depth", "50", "--shortcut", "D"], ["--shortcut: 'D'", "A, B, C, none"]),
        (["show", "--depth", "50", "--order", "full-preact"], ["did you mean full_preact?"]),
        (["show", "--depth", "50", "--preact", "--order", "original"], ["--preact", "--order original"]),
        (["show", "--depth", "50", "--plain", "--shortcut", "A"], ["--plain", "--shortcut A"]),
        (["show", "--depth", "50", "--set", "depth=101"], ["--set depth=101", "--depth"]),
        (["show", "--depth", "20", "--preact", "--set", "order=original"], ["--set order=original", "--preact"]),
        (["show", "resnet-50", "--classes", "0"], ["classes: 0"]),
        (["show", "resnet-50", "--input-shape", "16x16x3"], ["input_shape: 16x16", "32"]),
        (["show", "resnet-50", "--set", "bn.momentun=0.9"], ["momentun", "did you mean"]),
        (["show", "resnet-50", "--set", "nonsense"], ["--set: 'nonsense'", "path=value"]),
        (["show", "--depth", "20", "--plain", "--skip", "dropout"], ["skip", "plain net"]),
        (["show", "--depth", "20", "--skip", "dropout", "--set", "skip.rate=2"], ["skip.rate: 2"]),
        (["show", "resnet-18", "--batch", "0"], ["--batch"]),
        (["list", "--filter", "squeezenet"], ["'squeezenet'"]),
        (["diff", "resnet-50"], ["a second", "flags"]),
        (["diff"], ["'A'"]),
        (["schema", "recip"], ["'recip'", "did you mean recipe?"]),
        (["build"], ["depth: not set"]),
        (["train", "--from", "nowhere", "--data", "digits"], ["run: folder not found: nowhere"]),
        (["train", "--from", "resnet-50", "--data", "digits"], ["run: folder not found: resnet-50"]),
        (["build", "resnet-18", "--out", "/"], ["out: / already exists"]),
        (["build", "resnet-18", "--plot", "net.bmp"], ["plot: net.bmp", ".png, .svg or .pdf"]),
        (["build", "resnet-18", "--plot", "no-such-folder/net.png"], ["folder not found: no-such-folder"]),
    ],
)
def test_a_wrong_request_is_refused_by_name(arguments, said):
    message = refused(*arguments)
    for part in said:
        assert part in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("depth: !!python/object/apply:os.system ['ls']", ["not a valid YAML document", "line 1"]),
        ("[18, 34]", ["expected a mapping", "a list"]),
        ("depth: 50\nshortcutt: A", ["'shortcutt'", "did you mean shortcut?", "line 2"]),
        ("depth: 50\nshortcut: D", ["shortcut: 'D'", "A, B, C, none", "line 2"]),
        ("depth: true", ["depth: True"]),
        ("depth: [50", ["not a valid YAML document"]),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(tmp_path, text, said):
    path = tmp_path / "net.yaml"
    path.write_text(text, encoding="utf-8")
    message = refused("show", str(path))
    for part in [str(path), *said]:
        assert part in message


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    assert "network.yaml" in refused("show", str(tmp_path))


def test_ctrl_c_ends_with_130_and_one_line(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Commands, "get_command", interrupted)
    result = CliRunner().invoke(commands, [next(iter(COMMANDS))])
    assert result.exit_code == 130
    assert result.stderr.strip() == "reskeras: interrupted"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("class_weights:\n  cat: 2\n  3: 2", "class_weights: the name 3 should be text; put it in quotes"),
        ("class_weights: {no: 2}", "class_weights: the name False should be text; put it in quotes"),
        ("lookahead: {}\nema: 0.9", "ema: lookahead averages the weights too; set only one of them"),
        (
            "optimizer: lamb\nmomentum: 0.9",
            "momentum: is only for sgd; lamb has fields of its own, which are set under",
        ),
        ("sizes: []\nschedule: {drops: 1}", "schedule.drops: 1: should be a list"),
    ],
)
def test_a_wrong_recipe_is_refused_with_the_field_and_its_line(tmp_path, text, said):
    path = tmp_path / "recipe.yaml"
    path.write_text(f"epochs: 1\nbatch_size: 8\nlearning_rate: 0.1\n{text}\n", encoding="utf-8")
    line = 3 + len(text.splitlines())
    message = refused("train", "--depth", "8", "--data", "digits", "--recipe", str(path))
    assert f"reskeras: {said}" in message and f" (in {path}, line {line})" in message
