"""Addresses such as s3://bucket/run are understood wherever a path is asked for, and never make a folder `s3:`."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import reskeras
from reskeras.api import build_run
from reskeras.errors import ReskerasError
from reskeras_cli.main import commands
from reskeras_cli.paths import Written

REFUSED = ("sftp://user:secret@host/run", "s3://bucket/run?token", "http://host/run", "file:///tmp/run", "ABFS+x://a")


def every_command(group, names=()):
    """(words, command) of every command and of those of its groups."""
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        if isinstance(command, click.Group):
            yield from every_command(command, (*names, name))
        else:
            yield (*names, name), command


def path_options():
    """The command line that gives an address to each path parameter of each command."""
    for words, command in every_command(commands):
        for param in command.params:
            if isinstance(param.type, click.Path):
                yield pytest.param(words, param, id=" ".join([*words, param.opts[-1]]))


def test_there_are_path_options_to_try():
    assert len(list(path_options())) > 30


@pytest.mark.parametrize(("words", "param"), path_options())
@pytest.mark.parametrize(
    ("address", "said"),
    [("sftp://user:secret@host/run", "***@host/run: an address is kept in runs"), ("memory://absent/run", "")],
)
def test_every_path_of_every_command_takes_addresses_without_secrets(
    words, param, address, said, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    needed = []  # parameters before it that must be there
    for each in next(command for name, command in every_command(commands) if name == words).params:
        if each.required and each is not param and isinstance(each, click.Option):
            needed += [each.opts[-1], "1"]
    given = [address] if isinstance(param, click.Argument) else [param.opts[-1], address]
    result = CliRunner().invoke(commands, [*words, *needed, *given])
    if said and result.exit_code == 2 and "missing argument" in result.output.lower():
        result = CliRunner().invoke(commands, [*words, *needed, *given, "resnet-18", "digits"])
    assert list(tmp_path.iterdir()) == []
    if said:
        assert result.exit_code == 2
        assert said in result.output
        assert len(result.output.splitlines()) == 1
    else:  # what else is missing or wrong is told
        assert result.exit_code in (0, 1, 2), result.output
        assert result.exception is None or isinstance(result.exception, SystemExit), result.output
        assert "/reskeras/remote/" not in result.output  # but for the copy's path


def test_where_nothing_can_be_written_a_command_says_so_before_its_work(tmp_path, monkeypatch):
    """There is no run and no data: what is told is the place, as nothing else was looked at yet."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    tried = []
    for words, command in every_command(commands):
        needed = ["absent"] * sum(isinstance(each, click.Argument) for each in command.params)
        for option in (each.opts[-1] for each in command.params if isinstance(each.type, Written)):
            result = CliRunner().invoke(commands, [*words, *needed, option, "file/below.png"])
            assert result.exit_code == 1, (words, option, result.output)
            assert result.output == "reskeras: file/below.png cannot be written: a part of the path is not a folder\n"
            tried.append((*words, option))
    assert {("predict", "--csv"), ("report", "--out"), ("evaluate", "--confusion"), ("build", "--plot")} <= {*tried}
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("address", REFUSED)
def test_python_calls_refuse_an_address(address, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    network = reskeras.network(family="cifar", stages=[1], input_shape=[8, 8, 1])
    calls = {
        "build_run": lambda path: build_run(network, out=path),
        "train": lambda path: reskeras.train(network, out=path),
        "tune": lambda path: reskeras.tune("width", network, out=path),
        "Run": reskeras.Run,
        "load": reskeras.load,
        "network": reskeras.network,
        "recipe": reskeras.recipe,
        "space": reskeras.space,
        "reproduce": lambda path: reskeras.reproduce("v1-table-1", "smoke", out=path),
        "read_analysis": reskeras.read_analysis,
        "conform": reskeras.conform,
        "port": reskeras.port,
        "data_dir": lambda path: reskeras.train(network, data="cifar10", data_dir=path),
        "folder": lambda path: reskeras.train(network, data=f"folder:{path}"),
    }
    said = "must not contain a password or token|is not a kind of remote folder|URLs are not supported"
    for name, call in calls.items():
        for path in (address, Path(address)):
            if name == "folder" and isinstance(path, Path):
                continue
            with pytest.raises(ReskerasError, match=said if name != "tune" else f"{said}|of this machine") as refused:
                call(path)
            assert refused.value.status == 2, name
            assert "secret" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []
