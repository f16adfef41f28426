"""Claims about list, show, diff and schema: what they print, for people and for programs."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys

import pytest
import yaml
from click.testing import CliRunner

from reskeras.networks.catalog import catalog
from reskeras.quantities import short, short_bytes
from reskeras_cli.main import commands
from reskeras_cli.tables import Column, _that_fit


def run(*arguments: str) -> str:
    result = CliRunner().invoke(commands, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


def test_list_has_every_named_network_with_its_costs():
    rows = {row["name"]: row for row in json.loads(run("list", "--json"))}
    assert list(rows) == list(catalog())
    # counted independently, papers.yaml
    assert rows["resnet-50-B"]["parameters"] == 25557032
    assert rows["cifar-preact-164"]["parameters"] == 1703258
    assert rows["cifar-resnet-1202"]["layers"] == 1202


def test_list_filter_looks_at_fields_too():
    lines = run("list", "--filter", "relu_preact").splitlines()[1:]
    assert [line.split()[0] for line in lines] == ["cifar-resnet-110-relu-preact", "cifar-resnet-164-relu-preact"]


def test_show_says_what_the_depth_was_taken_to_mean():
    text = run("show", "--depth", "152", "--preact")
    assert "depth 152: imagenet, bottleneck units 3, 8, 36, 3, shortcut B, order full_preact" in text
    assert "[1x1, 64; 3x3, 64; 1x1, 256] x 3" in text
    assert "60,185,256" in text


def test_show_puts_the_published_figure_beside_the_counted_one():
    assert "3.86 G  published 3.8 G, v1 tables 1 to 4: +1.5%" in run("show", "resnet-50")
    assert "published 11.3 G for resnet-152" in run("show", "preact-152")
    assert "published" not in run("show", "resnet-50", "--classes", "10")


def test_the_last_lines_of_show_fit_a_narrow_terminal():
    totals = run("show", "resnet-50").split("\n\n")[-1]
    assert max(map(len, totals.splitlines())) <= 80


def test_show_by_unit_writes_every_operation():
    text = run("show", "cifar-resnet-20", "--units")
    assert "stage1_unit1" in text
    assert "add(identity | 3x3 conv 16, bn, relu, 3x3 conv 16, bn), relu" in text
    assert "subsample /2, zero channels to 32" in text


def test_show_json_adds_up():
    data = json.loads(run("show", "resnet-18", "--units", "--batch", "4", "--json"))
    for parts in (data["stages"], data["units"]):
        for cost in ("parameters", "statistics", "multiply_adds", "activation_bytes"):
            assert sum(part[cost] for part in parts) == data["total"][cost]
    assert data["published"]["multiply_adds"] == 1.8e9


def test_yaml_of_show_is_a_network_again(tmp_path):
    sparse = run("show", "resnet-50", "--order", "full_preact", "--set", "bn.momentum=0.99", "--yaml")
    assert yaml.safe_load(sparse) == {"depth": 50, "order": "full_preact", "bn": {"momentum": 0.99}}
    path = tmp_path / "net.yaml"
    path.write_text(sparse)
    assert run("show", str(path), "--resolved") == run("show", "preact-50", "--set", "bn.momentum=0.99", "--resolved")


def test_skip_by_flag_takes_its_numbers_by_set():
    assert "skip dropout (rate 0.3)" in run("show", "--depth", "20", "--skip", "dropout", "--set", "skip.rate=0.3")


def test_diff_groups_equal_differences_over_units():
    text = run("diff", "cifar-resnet-20", "--preact")
    assert "stages.0..2.order" in text
    assert "stage1_unit2..unit3, stage2_unit1..unit3, stage3_unit1..unit3\n" in text
    assert "\n    + residual  pre_bn1" in text


def test_diff_tells_shared_preactivation_from_that_of_the_residual():
    changes = json.loads(run("diff", "cifar-resnet-20", "--preact", "--json"))["units"]
    first = next(change for change in changes if change["units"] == "stage1_unit1")
    assert [step["part"] for step in first["steps"] if step["name"] == "pre_bn1"] == [""]


def test_diff_of_a_network_with_itself_is_none():
    assert run("diff", "resnet-50", "resnet-50-B") == "no differences\n"
    assert json.loads(run("diff", "vgg-19", "vgg-19", "--json"))["same"]


def test_diff_compares_networks_of_different_kinds():
    text = run("diff", "vgg-19", "plain-34")
    assert "kind" in text
    assert "143,667,240" in text
    assert "whole unit" in text


def test_diff_says_which_number_changed():
    text = run("diff", "resnet-18", "--set", "bn.momentum=0.99")
    assert "~ bn  bn: momentum 0.9 -> 0.99" in text
    assert "- " not in text.split("costs")[0].split("different values")[1]


def test_schema_accepts_the_short_forms_people_type():
    schema = json.loads(run("schema"))
    assert schema["additionalProperties"] is False
    stage = schema["properties"]["stages"]["anyOf"][0]["items"]["anyOf"]
    assert {"type": "integer"} in stage
    assert "dropout" in json.dumps(schema["properties"]["skip"]["anyOf"][0]["enum"])
    assert schema["$defs"]["BatchNormSpec"]["properties"]["momentum"]["exclusiveMaximum"] == 1


def test_schema_of_recipes():
    assert "learning_rate" in json.loads(run("schema", "recipe"))["properties"]


def test_a_pipe_without_a_locale_gets_plain_lines_and_names_as_typed(tmp_path):
    path = tmp_path / "r\u00e9seau.yaml"
    path.write_text("{name: \u7f51\u7edc, depth: 20}", encoding="utf-8")
    environment = {**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-c", "from reskeras_cli.main import main; main()", "show", str(path)]
    answer = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert answer.returncode == 0, answer.stderr
    name, rest = answer.stdout.split(b"\n", 1)
    assert name.decode() == "\u7f51\u7edc"
    assert rest.isascii()
    assert b"\x1b" not in rest


def test_a_reader_that_leaves_early_causes_no_traceback():
    command = f"{shlex.quote(sys.executable)} -c 'from reskeras_cli.main import main; main()' list | head -1"
    answer = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert answer.stdout.startswith("name")
    assert answer.stderr == ""


@pytest.mark.parametrize(
    ("number", "text"),
    [(640, "640"), (9536, "9.54 k"), (269722, "270 k"), (999_600, "1.00 M"), (25557032, "25.6 M"), (3.858e9, "3.86 G")],
)
def test_short_numbers_have_three_figures(number, text):
    assert short(number) == text


def test_short_bytes():
    assert [short_bytes(size) for size in (640, 2048, 3 * 2**20)] == ["640 B", "2.00 KiB", "3.00 MiB"]


def test_narrow_terminals_lose_the_most_spare_columns_first():
    columns = [Column("name"), Column("source", spare=1), Column("input", spare=2)]
    lines = [["x" * 20, "y" * 20, "z" * 20]]
    assert _that_fit(columns, lines, 100) == [0, 1, 2]
    assert _that_fit(columns, lines, 60) == [0, 1]
    assert _that_fit(columns, lines, 30) == [0]
