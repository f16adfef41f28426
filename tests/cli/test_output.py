"""What reaches the terminal: no control characters from outside, valid JSON, commands that a shell can take."""

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

import reskeras
import reskeras_cli
from reskeras.printable import printable
from reskeras.strict_json import to_json
from reskeras.verbosity import VARIABLE, Verbosity, telling, verbosity
from reskeras_cli import output, tables
from reskeras_cli.main import COMMANDS, commands
from tests.cli.running import invoke, printed, refused

HOSTILE = "cat\x1b[31m\x1b]0;owned\x07\x9b2J\r\n\u202etxt.exe\udcff"
COMMAND = re.compile(rf"reskeras ({'|'.join(COMMANDS)})\b[^;:,]*$")
SHOWN = r"cat\x1b[31m\x1b]0;owned\x07\x9b2J\r\n\u202etxt.exe\xff"


def steers(text):
    """Whether a text holds anything that a terminal obeys, line breaks and tabs aside."""
    return any(
        (ord(each) < 32 and each not in "\n\t") or 127 <= ord(each) < 160 or each in "\u202a\u202e\u2066\u2028"
        for each in text
    )


class TestPrintable:
    def test_what_steers_a_terminal_is_an_escape(self):
        assert printable(HOSTILE) == SHOWN
        assert not steers(printable("".join(map(chr, range(0x2100)))))

    @pytest.mark.parametrize("text", ["plain", "naïve café", "日本語", "עברית", "👩‍👩‍👧", "a\\x1b"])
    def test_what_people_write_stays(self, text):
        assert printable(text) == text

    def test_line_breaks_are_kept_where_asked(self):
        assert printable("a\nb\tc\x1b", keep="\n\t") == "a\nb\tc\\x1b"


class TestEcho:
    def test_a_line_cannot_be_forged(self, capsys):
        output.echo(f"{HOSTILE} taken for dog")
        assert capsys.readouterr().out == f"{SHOWN} taken for dog\n"

    @pytest.mark.parametrize("terminal", [False, True])
    def test_tables_facts_and_headings_are_safe(self, terminal, capsys, monkeypatch):
        for room in (output, tables):
            monkeypatch.setattr(room, "on_terminal", lambda: terminal)
        monkeypatch.setenv("COLUMNS", "200")
        tables.table([tables.Column(HOSTILE), tables.Column("[red]n[/red]", right=True)], [[HOSTILE, "[bold]1"]])
        output.heading(HOSTILE, HOSTILE)
        output.facts([(HOSTILE, HOSTILE, HOSTILE)])
        told = capsys.readouterr().out
        assert not steers(told)
        assert told.count(SHOWN) == 7
        assert "[red]n[/red]" in told and "[bold]1" in told  # no markup of rich

    def test_ideographs_take_two_columns(self, capsys):
        tables.table([tables.Column("class"), tables.Column("n", right=True)], [["日本", "1"], ["cats", "22"]])
        assert capsys.readouterr().out.splitlines() == ["class   n", "日本    1", "cats   22"]

    def test_every_command_prints_through_one_place(self):
        folder = Path(reskeras_cli.__file__).parent
        for path in folder.glob("*.py"):
            calls = {
                ast.unparse(node.func)
                for node in ast.walk(ast.parse(path.read_text("utf-8")))
                if isinstance(node, ast.Call)
            }
            assert not calls & {"click.style", "click.secho", "print"} or path.name == "output.py", path
            assert "click.echo" not in calls or path.name == "output.py", path


class TestAtSixtyColumns:
    @pytest.fixture(autouse=True)
    def narrow(self, monkeypatch):
        for room in (output, tables):
            monkeypatch.setattr(room, "on_terminal", lambda: True)
        monkeypatch.setenv("COLUMNS", "60")

    @pytest.mark.parametrize(
        "words",
        [
            ["show", "resnet-152"],
            ["list", "--filter", "preact-1"],
            ["recipes"],
            ["spaces"],
            ["suites"],
            ["spaces", "skips"],
            ["suites", "v1-table-1"],
            ["detect", "show", "resnet-101", "--classes", "20", "--input-shape", "608x1008"],
            ["diff", "resnet-50", "preact-50"],
        ],
    )
    def test_every_line_fits(self, words):
        lines = printed(*words).splitlines()
        assert max(map(output.cell_len, lines)) <= 60, max(lines, key=len)

    def test_a_figure_is_never_broken(self):
        told = printed("show", "resnet-152")
        assert "60,192,808" in told and "11.3 G" in told and "2.05 M" in told


class TestJson:
    def test_what_is_no_number_is_null(self):
        data = {"a": float("nan"), "b": [float("inf"), (-float("inf"), 1.5)], "c": "NaN"}
        assert json.loads(to_json(data), parse_constant=pytest.fail) == {
            "a": None,
            "b": [None, [None, 1.5]],
            "c": "NaN",
        }

    @pytest.mark.parametrize(
        "data",
        [None, True, 0, -1, 10**30, 1.5, 1e308, 5e-324, "", "\x00\u2028\udc80", [], {}, [[[]]], {"a": {"b": [1, "x"]}}],
    )
    def test_everything_else_comes_back(self, data):
        assert json.loads(to_json(data)) == data

    def test_the_command_line_prints_it(self, capsys):
        output.emit_json({"loss": float("nan"), "name": HOSTILE})
        told = capsys.readouterr().out
        assert json.loads(told) == {"loss": None, "name": HOSTILE} and told.isascii() and not steers(told)


class TestVerbosity:
    @pytest.mark.parametrize("words", [["-q"], ["--quiet"], ["-v"], ["--verbose"]])
    @pytest.mark.parametrize("name", COMMANDS)
    def test_every_command_takes_it(self, name, words):
        assert invoke(name, *words, "--help").exit_code == 0

    def test_notes_are_left_out_and_results_stay(self, tmp_path, capsys):
        with telling(Verbosity.QUIET):
            output.note("a hint")
            output.echo("a result")
        assert capsys.readouterr().out == "a result\n"

    def test_before_or_after_the_commands_name(self, tmp_path):
        for place, words in enumerate((["-q", "build"], ["build", "-q"])):
            told = printed(*words, "--family", "cifar", "--depth", 8, "--out", tmp_path / str(place))
            assert "saved" in told and "next" not in told
        assert "next" in printed("build", "--family", "cifar", "--depth", 8, "--out", tmp_path / "loud")

    def test_both_contradict_each_other(self):
        assert "contradict" in refused("-q", "show", "resnet-18", "-v")
        assert "contradict" in refused("show", "resnet-18", "-v", "-q")

    def test_it_lasts_for_one_command(self):
        before = dict(os.environ)
        printed("show", "resnet-18", "-q")
        assert dict(os.environ) == before and verbosity() == Verbosity.NORMAL

    def test_processes_that_are_started_inherit_it(self):
        with telling(Verbosity.VERBOSE):
            code = "from reskeras.verbosity import verbosity; print(int(verbosity()))"
            assert subprocess.check_output([sys.executable, "-c", code], text=True) == "2\n"

    def test_what_nobody_knows_is_normal(self, monkeypatch):
        monkeypatch.setenv(VARIABLE, "loud")
        assert verbosity() == Verbosity.NORMAL


class TestNextLines:
    def test_a_folder_with_spaces_and_dollars_can_be_pasted(self, tmp_path):
        folder = tmp_path / "my $runs" / "it's"
        folder.parent.mkdir()
        told = printed("build", "--family", "cifar", "--depth", 8, "--out", folder)
        [line] = [line for line in told.splitlines() if line.startswith("next")]
        assert shlex.split(line)[1:] == ["reskeras", "show", str(folder)]
        assert "my-" not in printed(*shlex.split(line)[2:])

    def test_no_command_is_put_together_without_quoting(self):
        """What follows `reskeras` in a line that is printed comes from `command_line`."""
        for package in (reskeras, reskeras_cli):
            for path in Path(package.__file__).parent.rglob("*.py"):
                for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                    if isinstance(node, ast.JoinedStr) and "Examples:" not in ast.unparse(node):
                        texts = [getattr(part, "value", None) for part in node.values]
                        for text, after in pairwise(texts):  # a value that follows a command's words
                            assert not (
                                isinstance(text, str) and COMMAND.search(text) and not isinstance(after, str)
                            ), (path, text)


class TestStart:
    def test_as_a_module(self):
        done = subprocess.run(
            [sys.executable, "-m", "reskeras", "show", "resnet-18"], capture_output=True, text=True, check=True
        )
        assert done.stdout == printed("show", "resnet-18")

    def test_a_full_standard_output_is_an_error_in_one_line(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                [sys.executable, "-m", "reskeras", "list"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
            )
        assert done.returncode == 1
        assert done.stderr == "reskeras: standard output cannot be written: No space left on device\n"

    @pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&- <&-"])
    def test_closed_standard_streams_do_no_harm(self, closed):
        done = subprocess.run(
            f"{shlex.quote(sys.executable)} -m reskeras list {closed}",
            shell=True,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")

    def test_a_reader_that_stops_early_is_no_error(self):
        done = subprocess.run(
            f"{shlex.quote(sys.executable)} -m reskeras list | head -1",
            shell=True,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr == "" and done.stdout.startswith("name")

    def test_native_code_logs_nothing_between_the_lines(self, tmp_path):
        for label in "ab":
            (tmp_path / label).mkdir()
            for each in range(3):  # turned by a kernel for uint8, of which oneDNN has none
                Image.new("RGB", (8 + each, 9)).save(tmp_path / label / f"{each}.jpg")
        done = subprocess.run(
            [sys.executable, "-m", "reskeras", "data", f"folder:{tmp_path}", "--sheet", tmp_path / "sheet.png"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert all(line.startswith(("note: ", "warning: ")) for line in done.stderr.splitlines()), done.stderr

    @pytest.mark.parametrize(
        ("words", "meant"),
        [
            (["trian"], "train"),
            (["show", "--dpeth", "20"], "--depth"),
            (["train", "--reseum"], "--resume"),
            (["detect", "predcit"], "predict"),
        ],
    )
    def test_what_was_meant_is_told(self, words, meant):
        assert f"did you mean {meant}?" in refused(*words).replace("detect predict", "predict")


class TestCompletion:
    def complete(self, *words):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "reskeras"],
            capture_output=True,
            text=True,
            env={
                **os.environ,
                "_RESKERAS_COMPLETE": "bash_complete",
                "COMP_WORDS": " ".join(["reskeras", *words]),
                "COMP_CWORD": str(len(words)),
            },
            check=False,
        )
        assert "tensorflow" not in done.stderr and "Traceback" not in done.stderr
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    def test_commands_without_importing_them(self):
        assert self.complete("tr") == ["train"]

    @pytest.mark.parametrize(
        ("words", "names"),
        [
            (["show", "cifar-resnet-12"], ["cifar-resnet-1202"]),
            (["train", "--recipe", "modern-c"], ["modern-cifar"]),
            (["tune", "--space", "ski"], ["skips"]),
            (["reproduce", "v1-table-1"], ["v1-table-1", "v1-table-13"]),
            (["diff", "resnet-50", "preact-50"], ["preact-50"]),
            (["train", "--data", "cifar100"], ["cifar100"]),
            (["detect", "show", "preact-101"], ["preact-101"]),
            (["show", "--orde"], ["--order"]),
            (["recipes", "qui"], ["quick"]),
            (["suites", "v2-figure-6"], ["v2-figure-6"]),
        ],
    )
    def test_names(self, words, names):
        assert self.complete(*words) == names

    def test_files_where_no_name_begins_so(self):
        assert self.complete("show", "./mine") == ["./mine"]

    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_the_script_of_a_shell(self, shell):
        script = printed("completion", shell)
        assert "_RESKERAS_COMPLETE" in script and "reskeras" in script

    def test_another_shell_is_refused(self):
        assert "tcsh" in refused("completion", "tcsh")


class TestInputShape:
    @pytest.mark.parametrize("typed", ["64x48", "64X48", "64×48", "64,48", "64 48", "64 x 48", "64x48x3"])
    def test_every_way_to_type_it_is_one_shape(self, typed):
        told = json.loads(printed("show", "resnet-18", "--input-shape", typed, "--json"))
        assert told["stages"][0]["output_shape"][:2] == [16, 12]
        assert json.loads(
            printed(
                "detect",
                "show",
                "resnet-18",
                "--input-shape",
                typed.replace("64", "320").replace("48", "480"),
                "--json",
            )
        )["canvas"] == [320, 480, 3]

    def test_without_channels_these_follow_the_data(self):
        spec = reskeras.network(family="cifar", depth=8, input_shape="16x16")
        assert reskeras.plan(spec).input_shape == (16, 16, 3)
        from reskeras.data.registry import open_source
        from reskeras.training.fitted_network import fitted_to_data

        assert reskeras.plan(fitted_to_data(spec, open_source("digits"))).input_shape == (16, 16, 1)

    @pytest.mark.parametrize("typed", ["64", "64x", "x64", "64x64x3x1", "axb", "0x4", "64x64x0"])
    def test_what_is_no_shape_is_refused(self, typed):
        assert "input_shape" in refused("show", "resnet-18", "--input-shape", typed)
        assert "--input-shape" in refused("data", "digits", "--input-shape", typed)


def test_help_of_the_whole_program_fits_sixty_columns(monkeypatch):
    from click.testing import CliRunner

    for name in COMMANDS:
        told = CliRunner().invoke(commands, [name, "--help"], terminal_width=60)
        assert told.exit_code == 0
