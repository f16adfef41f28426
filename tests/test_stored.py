"""Small files that people edit and disks damage: read as expected, or told in a line that names the file."""

from dataclasses import dataclass

import pytest

from reskeras.errors import ReskerasError
from reskeras.stored import LARGEST, read_json, read_json_lines, read_names


@dataclass
class Point:
    x: float
    names: tuple[str, ...] = ()


def told(call):
    with pytest.raises(ReskerasError) as error:
        call()
    assert error.value.status == 1
    assert "\n" not in str(error.value)
    return str(error.value)


def test_json_of_the_right_shape_is_read(tmp_path):
    path = tmp_path / "point.json"
    path.write_text('{"x": 1, "names": ["a"], "more": 2}')
    assert read_json(path, "run", Point) == Point(1.0, ("a",))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "Expecting value"),
        (b"null", "null|None"),
        (b"[]", "it is"),
        (b'{"names": []}', "x is missing"),
        (b'{"x": "y"}', "x is 'y': input should be a valid number"),
        (b'{"x": 1, "names": [1]}', "names.0 is 1"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"x": ' + b"9" * 5000 + b"}", "4300 digits"),
        (b"\xff\xfe", "UTF-8"),
        (b'{"x": 1', "Expecting|delimiter"),
        (b"\x00" * 50, "Expecting value"),
    ],
)
def test_whatever_else_a_file_holds_is_told(tmp_path, content, why):
    path = tmp_path / "point.json"
    path.write_bytes(content)
    message = told(lambda: read_json(path, "run", Point))
    assert message.startswith(f"run: {path} is broken: ")
    assert any(each in message for each in why.split("|"))


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    assert "no such file" in told(lambda: read_json(tmp_path / "none", "run", Point))
    assert "not a regular file" in told(lambda: read_json(tmp_path, "run", Point))
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(LARGEST + 1)
    assert f"larger than {LARGEST:,} bytes" in told(lambda: read_json(tmp_path / "huge", "run", Point))


def test_a_value_in_the_place_of_an_object_is_told(tmp_path):
    (tmp_path / "points.json").write_text('{"first": 1}')
    message = told(lambda: read_json(tmp_path / "points.json", "run", dict[str, Point]))
    assert message.endswith("is broken: first is 1: should be a mapping")


def test_broken_lines_cost_no_others(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"x": 1}\ngarbage\n\n[1]\n{"x": 2}\n{"x": 3')
    rows, problems = read_json_lines(path, "run", Point)
    assert rows == [Point(1.0), Point(2.0)]
    assert [problem.partition(" is broken")[0].rpartition(" ")[2] for problem in problems] == ["2", "4", "6"]


def test_names_are_lines_and_nothing_else_ends_one(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_bytes("cat\r\nsea\u2028lion\nd\x0bog\n".encode())
    assert read_names(path, "run", 3) == ["cat", "sea\u2028lion", "d\x0bog"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "line 1 is ''"),
        ("\n", "line 1 is ''"),
        ("cat\n\ndog\n", "line 2 is ''"),
        ("cat\ncat\n", "lines 1 and 2"),
        ("c\0t\ndog\n", "line 1 is 'c\\x00t'"),
        ("cat\n", "1 names, and the network has 2"),
    ],
)
def test_names_that_are_none_are_told(tmp_path, content, why):
    path = tmp_path / "classes.txt"
    path.write_text(content)
    assert why in told(lambda: read_names(path, "run", 2))
    if "lines" in why:
        assert read_names(path, "run", 2, distinct=False) == ["cat", "cat"]
