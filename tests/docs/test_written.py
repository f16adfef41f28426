"""The written pages have all there is: commands and options, networks, fields of files, documents, public names."""

import ast
import inspect
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

import reskeras
from docs.site.navigation import Navigation
from docs.site.page import Page
from reskeras.experiments.suite import read_suite, suite_names
from reskeras_cli.main import commands
from reskeras_cli.schema import DOCUMENTS
from tests.docs.reading import read

ROOT = Path(__file__).parents[2]


def printed(*words):
    done = CliRunner().invoke(commands, words, catch_exceptions=False)
    return done.output


def help_of(*words):
    return printed(*words, "--help")


def every_command():
    """All commands by their words, as their help lists them."""
    waiting, found = [()], []
    while waiting:
        words = waiting.pop()
        text = help_of(*words)
        for name in (
            re.findall(r"^  ([a-z]+)  +[A-Z]", text, flags=re.MULTILINE) if "COMMAND" in text.split("\n\n")[0] else ()
        ):
            found.append((*words, name))
            waiting.append((*words, name))
    return found


def test_every_command_has_a_page_with_all_options_of_its_help(site):
    found = every_command()
    assert len(found) > 35 and ("detect", "predict") in found
    for words in found:
        page = read(site / f"commands/{'-'.join(words)}.html")
        options = set(re.findall(r"^  (?:-\w, )?(--[a-z-]+)", help_of(*words), flags=re.MULTILINE))
        assert {"--help", "--quiet"} <= options
        assert {name.removeprefix("--") for name in options} <= set(page.ids), words
        assert f"reskeras {' '.join(words)}" in page.text


def test_the_bounds_and_the_default_of_an_option_are_sentences(site):
    rows = {row[0]: row[1] for row in read(site / "commands/launch.html").rows if len(row) == 2}
    assert rows["--port P"] == "Use the first free ports from P on. 1 to 65,535. Default: any free ones."
    assert rows["--restarts R"].endswith("At least 0. Default: 3.")
    rows = {row[0]: row[1] for row in read(site / "commands/localise-predict.html").rows if len(row) == 2}
    assert rows["--timeout SECONDS"].endswith("Above 0. Default: 30.0.")
    assert rows["--top K"].endswith("1 to 1,000. Default: 1.")
    for path in (site / "commands").glob("*.html"):
        assert not [row for row in read(path).rows if re.search(r"<=|>=|default: |RANGE", " ".join(row))], path


def test_an_argument_that_is_a_choice_is_told_by_its_values(site):
    assert ["network or inception or detector or localiser", "one or none"] in [
        [" or ".join(row[0].split(" or ")[:4]), row[1]] for row in read(site / "commands/schema.html").rows if row[1:]
    ]


def test_a_page_has_the_examples_of_the_help(site):
    shown = read(site / "commands/export.html").text
    examples = re.findall(r"^    (reskeras .*)$", help_of("export"), flags=re.MULTILINE)
    assert len(examples) > 2 and all(example in shown for example in examples)


def test_every_network_of_the_catalogue_is_in_its_table_with_its_costs(site):
    rows = {row[0]: row for row in read(site / "catalogue.html").rows if len(row) == 10}
    listed = json.loads(printed("list", "--json"))
    assert len(rows) == len(listed) + 1  # and the heads
    for network in listed:
        row = rows[network["name"]]
        size = float(row[7].split()[0]) * {"k": 1e3, "M": 1e6, "G": 1e9}[row[7].split()[1]]
        assert size == pytest.approx(network["parameters"], rel=0.006)
        assert row[9] == network["source"]


def fields_of(schema, node, lead=""):
    """Paths of all fields of a JSON Schema, by an independent walk that follows each mapping once on a way down."""
    for name, each in node.get("properties", {}).items():
        path = f"{lead}.{name}" if lead else name
        yield path
        waiting, seen = [(path, each)], set()
        while waiting:
            place, part = waiting.pop()
            if "$ref" in part:
                inner = part["$ref"].rpartition("/")[2]
                if inner not in seen:
                    seen.add(inner)
                    yield from ((inner, field) for field in schema["$defs"][inner].get("properties", {}))
                    waiting += [(place, each) for each in schema["$defs"][inner].get("properties", {}).values()]
            for key in ("anyOf", "oneOf", "prefixItems"):
                waiting += [(place, each) for each in part.get(key, ())]
            for key in ("items", "additionalProperties"):
                waiting += [(place, part[key])] if isinstance(part.get(key), dict) else []
            waiting += [(place, each) for each in part.get("patternProperties", {}).values()]


KINDS = ["network", "inception", "detector", "localiser", "refiner", "recipe", "space", "suite", "protocol"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_of_a_file_is_in_its_reference(site, kind):
    schema = json.loads(printed("schema", kind))
    page = read(site / f"reference/{kind}.html")
    shown = [row[0] for row in page.rows]
    for field in fields_of(schema, schema):
        if isinstance(field, str):
            assert field in shown, field
            assert field in page.ids
        else:  # of a mapping, wherever it is described
            assert any(row.endswith(f".{field[1]}") for row in shown), field


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_says_what_it_means(site, kind):
    rows = [row for row in read(site / f"reference/{kind}.html").rows if len(row) == 4]
    assert len(rows) > 2
    assert [row[0] for row in rows if not row[3] and not row[0].endswith("kind")] == []


def test_defaults_and_bounds_are_those_of_the_schema(site):
    rows = {row[0]: row for row in read(site / "reference/recipe.html").rows if len(row) == 4}
    assert rows["batch_size"][1:3] == ["whole number, 1 to 65,536", "128"]
    assert rows["learning_rate"][1:3] == ["number, above 0 to 100", "0.1"]
    assert rows["momentum"][1] == "number, from 0 below 1"
    assert rows["precision"][1] == "auto, float32, mixed_bfloat16, mixed_float16"
    assert rows["optimizer.beta_2"][3] == "Decay of the mean of their squares"


def test_the_reference_has_a_page_for_every_kind_of_file(site):
    assert DOCUMENTS == KINDS
    assert {f"{kind}.html" for kind in KINDS} <= set(read(site / "reference/yaml.html").links)


def test_recipes_spaces_and_suites_have_their_sections(site):
    for kind in ("recipes", "spaces", "suites"):
        names = json.loads(printed(kind, "--json"))
        assert names and set(names) <= set(read(site / f"reference/{kind}.html").ids)


@pytest.mark.parametrize("name", ["v1-table-6", "v2-table-1", "v1-table-9"])
def test_published_figures_are_in_the_page_of_suites(site, name):
    assert name in suite_names()
    rows = [row for row in read(site / "reference/suites.html").rows if len(row) > 2]
    for row in read_suite(name).rows:
        figures = [float(value) for value in row.published.values() if not isinstance(value, str)]
        shown = [
            [float(cell.replace(",", "")) for cell in each[2:] if re.fullmatch(r"[\d.,]+", cell)]
            for each in rows
            if each[0] == row.row
        ]
        assert any(each == pytest.approx(figures, rel=1e-3) for each in shown), row.row


def test_a_table_of_suites_or_spaces_has_no_empty_column(site):
    for name in ("suites", "spaces"):
        tables, head = [], None
        for row in read(site / f"reference/{name}.html").rows:
            if row[0] in ("row", "parameter", "suite"):
                tables.append(head := [row])
            else:
                head.append(row)
        assert len(tables) > 5
        assert all(any(column[1:]) for each in tables for column in zip(*each, strict=True)), name


def test_every_public_name_is_described_with_the_words_of_its_docstring(site):
    texts = {path: " ".join(read(path).text.split()) for path in (site / "api").glob("*.html")}
    for name in reskeras.__all__:
        [path] = [path for path in texts if f"reskeras.{name}" in read(path).ids]
        first = documented(name).split("\n\n")[0].replace("`", "")
        assert " ".join(first.split()) in texts[path], name


def documented(name):
    """The docstring of a public name, by Python's own parser."""
    module = ROOT / f"{reskeras._HOMES[name].replace('.', '/')}.py"
    tree = ast.parse(module.read_text(encoding="utf-8"))
    [node] = [each for each in tree.body if getattr(each, "name", None) == name]
    return ast.get_docstring(node)


def test_a_signature_is_that_of_the_function(site):
    shown = " ".join(read(site / "api/networks.html").text.split())
    parameters = inspect.signature(reskeras.network).parameters
    assert (
        "network( source: str | Path | AnySpec | None = None, *, settings: tuple[str, ...] = (), **fields: Any, )"
        in shown
    )
    assert list(parameters) == ["source", "settings", "fields"]


def test_a_run_has_what_a_classifier_can_do(site):
    assert {f"reskeras.Run.{name}" for name in ("predict", "export", "analyse", "evaluate", "path")} <= set(
        read(site / "api/training.html").ids
    )


def test_a_page_without_a_place_and_a_place_without_a_page_are_errors(navigation):
    pages = dict(navigation.pages)
    with pytest.raises(SystemExit, match=r"no place for docs/guides/lost\.md"):
        Navigation.of([*pages.values(), Page("guides/lost.md", "Lost", "# Lost", "docs/guides/lost.md")])
    del pages["guides/train.md"]
    with pytest.raises(SystemExit, match=r"guides/train\.md is in PLACES, but no such page"):
        Navigation.of(pages.values())


def test_two_pages_at_one_place_are_an_error():
    both = [Page("index.md", "One", "# One", "docs/index.md"), Page("index.md", "Two", "# Two", "README.md")]
    with pytest.raises(SystemExit, match=r"docs/index\.md, README\.md"):
        Navigation.of(both)


def test_the_navigation_has_every_page_once(navigation):
    def paths(entries):
        for entry in entries:
            [(_, below)] = entry.items()
            yield from [below] if isinstance(below, str) else paths(below)

    found = list(paths(navigation.tree()))
    assert sorted(found) == sorted(navigation.pages)
