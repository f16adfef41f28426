"""Claims about starting up and help: fast, without the engine, an example in every command."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from docs.site.examples.commands import all_commands, problems
from reskeras_cli.main import COMMANDS, commands
from tests.promised import shortest

HEAVY = ("tensorflow", "keras", "numpy", "matplotlib")
PROBE = f"""
import sys
sys.argv = ["reskeras", *sys.argv[1:]]
from reskeras_cli.main import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print("LOADED", [name for name in {HEAVY!r} if name in sys.modules])
"""


@pytest.mark.parametrize("context", all_commands(), ids=lambda context: context.command_path)
def test_help_says_what_a_command_is_for_and_ends_with_examples_that_parse(context):
    purpose, stop, _ = " ".join((context.command.help or "").split()).partition(".")
    assert stop and purpose[:1].isupper() and len(purpose.split()) > 4
    title, *examples = (context.command.epilog or "").replace("\b\n", "").splitlines()
    assert title.startswith("Example") and title.endswith(":")
    path = context.command_path.removesuffix(" survey")  # whose name may be left out
    assert any(f"{path} " in f"{line} " for line in examples)
    assert [problem for line in examples for problem in problems(line)] == []


def test_the_groups_help_names_every_command_and_imports_none():
    result = CliRunner().invoke(commands, ["--help"])
    assert all(f"  {name} " in result.output for name in COMMANDS)
    assert all(entry.help in result.output for entry in COMMANDS.values())
    code = (
        "import sys, reskeras_cli.main as m\n"
        "try: m.commands.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([each.module for each in m.COMMANDS.values() if 'reskeras_cli' + each.module in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert answer.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["list"],
        ["show", "resnet-50"],
        ["diff", "resnet-50", "preact-50"],
        ["schema"],
        ["train", "--help"],
        ["detect"],
        ["detect", "train", "--help"],
        ["detect", "show", "resnet-50"],
    ],
)
def test_looking_at_networks_imports_no_tensorflow(arguments):
    answer = subprocess.run([sys.executable, "-c", PROBE, *arguments], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[-1] == "LOADED []"


@pytest.mark.parametrize("arguments", [["--help"], ["list"]])
def test_help_and_list_start_in_less_than_the_promised_time(arguments):
    """0.6 s of work; processor time, because the machine may be doing other things."""
    code = PROBE + "\nimport time; print(time.process_time())"

    def seconds():
        answer = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
        return float(answer.stdout.splitlines()[-1])

    assert shortest(seconds) < 0.6


def test_the_bare_command_is_a_request_for_help():
    bare, asked = (CliRunner().invoke(commands, arguments) for arguments in ([], ["--help"]))
    assert (bare.exit_code, bare.output) == (0, asked.output)


def test_version():
    assert CliRunner().invoke(commands, ["--version"]).output.startswith("reskeras, version ")


def test_shipped_recipes_and_spaces_are_listed():
    for command, name, said in (
        ("recipes", "paper-cifar", "divided by ten"),
        ("spaces", "depth-width", "width of a CIFAR"),
    ):
        listed = CliRunner().invoke(commands, [command])
        assert listed.exit_code == 0, listed.output
        assert name in listed.output
        assert said in " ".join(listed.output.split())
        assert name in json.loads(CliRunner().invoke(commands, [command, "--json"]).output)
    one = CliRunner().invoke(commands, ["spaces", "skips"]).output
    assert "network.skip.rate" in one
    assert "network.skip is dropout" in one


@pytest.mark.parametrize(
    ("command", "losses", "teacher"),
    [
        (["train"], "auto, cross_entropy, binary_cross_entropy, focal;", "distillation"),
        (["detect", "train"], "auto, focal;", None),
        (["localise", "train"], "auto, focal;", None),
        (["localise", "refine"], "auto, focal;", "trained localiser whose boxes are judged"),
    ],
)
def test_help_of_a_training_offers_what_its_task_takes(command, losses, teacher):
    told = " ".join(CliRunner().invoke(commands, [*command, "--help"]).output.split())
    assert f"--loss LOSS {losses}" in told
    assert ("--teacher RUN" in told) == bool(teacher)
    assert (teacher or "") in told
