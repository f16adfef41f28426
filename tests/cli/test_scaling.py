"""Claims about `show --device`: what it prints for people and for programs, and what it refuses."""

from __future__ import annotations

import json
import re

import pytest

import reskeras
from reskeras.networks.catalog import catalog
from reskeras.quantities import short_time
from reskeras.scaling.accelerators import ACCELERATORS
from reskeras.scaling.bounds import step_bound
from tests.cli.running import printed, refused

FOUR = [word for cluster in ("1x1", "1x8", "8x8", "64x8") for word in ("--cluster", cluster)]


def rows(text):
    """The cells of each row of the printed table, by its title."""
    [table] = [part for part in text.split("\n\n") if part.startswith("cluster")]
    return {line[:26].strip(): re.split(r"\s{2,}", line[26:].strip()) for line in table.splitlines()}


def test_four_clusters_fit_a_terminal_of_80_columns():
    text = printed("show", "resnet-50", "--device", "h100", *FOUR)
    table = text.split("\n\n")[2]
    assert table.startswith("cluster")
    assert max(map(len, table.splitlines())) <= 80
    assert "limited by" in table


def test_the_table_and_the_json_say_the_same_and_it_is_what_the_calculator_says():
    words = ("show", "cifar-resnet-110", "--device", "v100", "--cluster", "1x1", "--cluster", "2x4", "--batch", "16")
    data = json.loads(printed(*words, "--json"))["scaling"]
    assert data["precision"] == "mixed_float16"
    assert data["recipe"] == "modern-cifar"
    table = rows(printed(*words))
    for column, planned in enumerate(data["clusters"]):
        bound = step_bound(reskeras.plan("cifar-resnet-110"), planned["cluster"], "v100", each=16)
        assert planned == json.loads(json.dumps(bound.data()))
        shown = {title: cells[column] for title, cells in table.items()}
        assert shown["cluster"] == planned["cluster"]
        assert shown["step, at least"] == short_time(bound.step)
        assert shown["training, at least"] == short_time(bound.training)
        assert shown["images/s, at most"] == f"{bound.images_per_second:,.0f}"
        assert shown["limited by"] == bound.limit
        assert shown["collectives"] == ("2 + 4" if column else "-")
    assert [planned["batch_size"] for planned in data["clusters"]] == [16, 128]


def test_conditions_count_and_each_option_changes_what_is_printed():
    words = ("show", "resnet-50", "--device", "h100", "--cluster", "2x8")
    plain = printed(*words)
    for option in (
        ("--recipe", "paper-imagenet"),
        ("--images", "1000000"),
        ("--bandwidth", "3200"),
        ("--core-ms", "1"),
        ("--cores", "16"),
        ("--batch", "32"),
    ):
        assert printed(*words, *option) != plain, option
    assert rows(printed(*words, "--cores", "16"))["limited by"] == ["input"]
    assert "input" not in rows(plain)


def test_a_step_that_does_not_fit_is_said_with_what_would():
    text = printed("show", "resnet-152", "--device", "t4", "--recipe", "modern-imagenet")
    bound = step_bound(reskeras.plan("resnet-152"), "1x1", "t4")
    assert f"1x1: 1,024 images do not fit into the memory of t4, at most {bound.fitting:,} do" in text
    fits = printed("show", "resnet-152", "--device", "t4", "--batch", bound.fitting)
    assert "do not fit" not in fits


def test_the_recipe_in_the_networks_file_is_taken(tmp_path):
    (tmp_path / "both.yaml").write_text("network: {family: cifar, depth: 20}\nrecipe: {batch_size: 96, epochs: 3}\n")
    data = json.loads(printed("show", tmp_path / "both.yaml", "--device", "l4", "--json"))["scaling"]
    assert data["clusters"][0]["batch_size"] == 96


@pytest.mark.parametrize("name", catalog())
def test_every_named_network_can_be_planned(name):
    bound = step_bound(catalog()[name].spec.lower(), "8x8", "a100", each=4)
    assert bound.step > 0
    assert bound.limit in bound.seconds


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--cluster", "8x8"), ["--cluster needs --device, one of", *ACCELERATORS]),
        (("--recipe", "quick"), ["--recipe needs --device"]),
        (("--bandwidth", "10"), ["--bandwidth needs --device"]),
        (("--device", "h10O"), ["device: 'h10O' is not one of", "did you mean h100?"]),
        (("--device", "h100", "--cluster", "0x8"), ["cluster: '0x8'", "at most 65,536 in all"]),
        (("--device", "h100", "--cluster", "8x"), ["cluster: '8x'"]),
        (("--device", "h100", "--cluster", "9" * 5000), ["cluster: "]),
        (("--device", "h100", "--cluster", "64x9"), ["batch_size: 1024", "576 replicas", "such as 1152"]),
        (("--device", "h100", "--cluster", "64x8", "--batch", "999"), ["batch_size: 511488", "65,536"]),
        (("--device", "h100", "--recipe", "modern"), ["recipe: 'modern' is not one of"]),
        (("--device", "h100", "--images", "0"), ["images: 0 should be from 1 to 1,000,000,000,000"]),
        (("--device", "h100", "--bandwidth", "nan"), ["bandwidth: nan should be from"]),
        (("--device", "h100", "--core-ms", "inf"), ["core_ms: inf should be from"]),
        (("--device", "h100", "--cores", "-1"), ["cores: -1 should be from"]),
        (("--device", "h100", "--units"), ["--units", "--device"]),
        (("--device", "h100", "--yaml"), ["--yaml", "--device"]),
    ],
    ids=lambda value: " ".join(value)[:40],
)
def test_a_wrong_request_is_refused_by_name(words, said):
    message = refused("show", "resnet-50", *words)
    assert len(message) < 500
    for part in said:
        assert part in message


def test_a_detector_is_refused_with_where_to_look(tmp_path):
    (tmp_path / "detector.yaml").write_text("backbone: resnet-18\n")
    assert "reskeras detect" in refused("show", tmp_path / "detector.yaml", "--device", "h100")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0000123, "12.3 µs"),
        (0.00999, "9.99 ms"),
        (1, "1.00 s"),
        (59.99, "1.00 min"),
        (7200, "2.00 h"),
        (9e5, "10.4 d"),
    ],
)
def test_times_have_three_figures(seconds, text):
    assert short_time(seconds) == text
