"""The mechanism that runs examples: what it finds wrong in a page, what it lets pass, and how it rewrites a page."""

import subprocess
import sys
from itertools import count

import pytest
from PIL import Image

from docs.site.examples.blocks import PageError, blocks_of, spans_of
from docs.site.examples.outputs import elided, matches
from docs.site.examples.page import Page
from docs.site.examples.terminal import Terminal


@pytest.fixture(scope="module")
def terminal(tmp_path_factory):
    """One terminal for all pages."""
    opened = Terminal(tmp_path_factory.mktemp("terminal") / "terminal")
    yield opened
    opened.close()


@pytest.fixture
def page(tmp_path, terminal):
    """A function from Markdown to a page, whose folder no other has."""
    numbers = count()

    def made(text):
        path = tmp_path / f"{tmp_path.name}-{next(numbers)}.md"
        path.write_text(text)
        return Page(path, terminal)

    return made


def fenced(language, text, mark=""):
    return f"{mark and f'<!-- example: {mark} -->'}\n```{language}\n{text}\n```\n"


def problems(page):
    """What is wrong with each block, the slow ones included."""
    return [page.run(block).problem for block in page.blocks]


def listed(terminal):
    """What `reskeras list` prints."""
    _, lines = terminal.run("reskeras list --filter cifar-preact-1001", terminal.root)
    return "\n".join(lines)


def test_an_output_that_matches_passes_and_another_number_is_found_and_rewritten(page, terminal):
    shown = listed(terminal)
    assert "10.3 M" in shown
    block = fenced("console", f"$ reskeras list --filter cifar-preact-1001\n{shown}")
    assert problems(page(f"text\n{block}")) == [""]
    wrong = page(f"text\n{block.replace('10.3 M', '10.4 M')}more")
    [problem] = problems(wrong)
    assert "10.4 M" in problem and "10.3 M" in problem
    assert wrong.updated() == (f"text\n{block}more", [])
    shorter = page(block.replace(shown.splitlines()[-1] + "\n", ""))
    assert problems(shorter) != [""] and shorter.updated() == (block, [])


def test_a_block_in_a_list_is_rewritten_in_its_place(page):
    wrong = page("- one\n\n  ```console\n  $ echo new\n  old\n  ```\n")
    assert problems(wrong)[0]
    assert wrong.updated()[0] == "- one\n\n  ```console\n  $ echo new\n  new\n  ```\n"


def test_several_commands_of_a_block_have_each_their_output(page):
    shown = page(fenced("console", "$ echo one \\\n>  two\none two\n$ echo three; echo four\nthree\n..."))
    assert problems(shown) == [""]
    wrong = page(fenced("console", "$ echo one \\\n>  two\none\n$ echo three; echo four\nthree\n..."))
    assert problems(wrong) != [""] and wrong.updated() == (shown.text, [])
    assert "unexpected EOF" in problems(page(fenced("console", "$ echo 'one\none")))[0]


def test_what_native_code_logs_is_not_output(page):
    logged = "E0000 00:00:1796051818.985919    9073 util.cc:131] oneDNN supports DT_UINT8 only with AVX-512"
    assert problems(
        page(fenced("console", f"$ echo '{logged}' >&2; echo one; echo 'E0000 is shown'\none\nE0000 is shown"))
    ) == [""]


def test_a_command_fails_if_and_only_if_an_error_is_shown(page):
    error = "reskeras: no such command 'lst'; did you mean list?"
    assert problems(page(fenced("console", f"$ reskeras lst\n{error}"))) == [""]
    refused = page(fenced("console", "$ reskeras show resnet-19\n..."))
    assert "fails with status 2" in problems(refused)[0]
    [shown] = refused.run(refused.blocks[0]).printed
    assert problems(page(fenced("console", "\n".join(["$ reskeras show resnet-19", *shown])))) == [""]
    assert "an error is shown" in problems(page(fenced("console", "$ echo hello\nreskeras: no")))[0]
    text, [left] = refused.updated()
    assert text == refused.text and "fails with status 2" in left  # an error does not take the place of an output


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("reskeras show resnet-18 --colour red", "No such option '--colour'"),
        ("reskeras lst", "no such command 'lst'"),
        ("reskeras detect shw resnet-18", "no such command 'detect shw'"),
        ("reskeras conform", "Missing argument"),
        ("reskeras train resnet-18 --epochs many", "'many' is not a valid integer"),
        ("reskeras train resnet-18 --data", "requires an argument"),
        ("reskeras recipes quick slow", "unexpected slow"),
        ("reskeras launch --workers 2 -- train resnet-18 --epoch 3 --nonsense", "--nonsense"),
        ("reskeras show resnet-18 | reskeras shew x", "'shew'"),
        ("A=1 reskeras nothing > file", "'nothing'"),
        ("make nothing", "no target nothing"),
        ("pip install 'reskeras[nothing]'", "no extra nothing"),
    ],
)
def test_commands_that_are_not_run_must_parse(page, command, said):
    for language in ("", "sh"):
        assert said in problems(page(fenced(language, command, "not run, for a reason")))[0]


@pytest.mark.parametrize(
    "command",
    [
        "reskeras train resnet-18 --data folder:PHOTOS --epochs N   # on any machine",
        "TF_CONFIG=... reskeras launch -- train resnet-50 --data folder:photos --out saved_models/photos --resume",
        "echo 'eval \"$(reskeras completion bash)\"' >> ~/.bashrc",
        "make demo  # minutes\nmake test",
        "pip install 'reskeras[remote]'",
        "reskeras show \\\n    resnet-18",
    ],
)
def test_commands_of_all_forms_parse(page, command):
    assert problems(page(fenced("", command, "not run, for a reason"))) == [""]


def test_a_plain_block_without_a_command_is_no_example(page):
    assert "no command of ours" in problems(page(fenced("", "images  359")))[0]
    assert problems(page(fenced("text", "images  359"))) == []


def test_python_is_one_program_whose_values_are_those_of_its_comments(page):
    first = "a = 6\na * 7  # 42, as is known"
    assert problems(page(fenced("python", first) + fenced("python", "assert a == 6"))) == ["", ""]
    assert "42, not 43" in problems(page(fenced("python", first.replace("42", "43"))))[0]
    assert "NameError" in problems(page(fenced("python", "b")))[0]
    assert "not Python" in problems(page(fenced("python", "a b", "not run, for a reason")))[0]
    hidden = "<!-- example: check\nassert a == 7\n-->\n"
    assert "AssertionError" in problems(page(fenced("python", "a = 6") + hidden))[1]


def test_files_are_written_for_the_blocks_after_them(page):
    program = fenced("python", "# say.py\nprint('said')")
    assert problems(page(program + fenced("console", "$ python say.py\nsaid"))) == ["", ""]
    network = fenced("yaml", "# mine.yaml\nfamily: cifar\ndepth: 20")
    assert problems(page(network + fenced("", "reskeras show mine.yaml"))) == ["", ""]
    assert "depht" in problems(page(network.replace("depth", "depht")))[0]
    assert problems(page(fenced("yaml", "epochs: 3\nlearning_rate: 0.1"))) == [""]
    assert "no recipe" in problems(page(fenced("yaml", "epochs: 3\nlearning_rat: 0.1")))[0]


def test_inputs_are_made_where_they_are_mentioned(page):
    made = page(fenced("console", "$ ls seven.png docs/results/bccd/*.yaml\ndocs/results/bccd/bccd.yaml\nseven.png"))
    assert problems(made) == [""]
    assert problems(page(fenced("console", "$ ls; echo seven.p''ng\nseven.png"))) == [""]  # printed, not mentioned
    assert "mark the block slow" in problems(page(fenced("", "reskeras show saved_models/demo")))[0]


def test_a_picture_of_the_page_has_the_size_of_what_the_command_draws(page, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "small.png")
    code = "python -c \"from PIL import Image; Image.new('RGB', (9, 8)).save('small.png')\" # small.png"
    shown = page("![drawn](small.png)\n" + fenced("console", f"$ {code}"))
    assert "(8, 8)" in problems(shown)[0] and "(9, 8)" in problems(shown)[0]
    shown.updated()
    assert Image.open(tmp_path / "small.png").size == (9, 8)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<!-- example: slwo -->\n```\na\n```\n", "'slwo' is not one of"),
        ("<!-- example: not run -->\n```\na\n```\n", "without a reason"),
        ("<!-- example: slow -->\n", "no block follows"),
        ("<!-- example: slow -->\ntext\n```\na\n```\n", "no block follows"),
        ("<!-- example: slow -->\n```json\na\n```\n", "no example"),
        ("<!-- example: slow\ncode -->\n```\na\n```\n", "not a check"),
    ],
)
def test_a_mark_that_marks_nothing_is_refused(text, said):
    with pytest.raises(PageError, match=said):
        blocks_of(text)


def test_slow_blocks_are_run_only_when_asked_for(page):
    text = fenced("", "touch slow; reskeras list -q", "slow, timed") + fenced("console", "$ ls")
    quick = page(text)
    assert [block.slow for block in quick.blocks] == [True, False]
    assert quick.run(quick.blocks[1]).problem == "" and quick.blocks[0].line not in quick.ran
    assert quick.run(quick.blocks[0]).problem == "" and (quick.folder / "slow").exists()


EPOCHS = ["start", "epoch 1/9  loss 2.1  accuracy 10.0%  3.2 s", "...", "saved  1.35 MiB, in 2.0 s", "loss  0.0188"]


def test_what_may_differ_does_and_what_must_not_does_not():
    def both(shown, printed, tolerance):
        return matches([shown], [printed], tolerance)

    assert both("saved (232 MiB, in 5.6 s)", "saved (232 MiB, in 12.1 s)", "timed")
    assert not both("saved (232 MiB, in 5.6 s)", "saved (232 MiB, in 12.1 s)", "exact")
    assert not both("saved (232 MiB, in 5.6 s)", "saved (233 MiB, in 5.6 s)", "timed")
    assert not both("took 5.6 s", "took 5.6 ms", "timed")
    assert both("accuracy  99.44%  of 359", "accuracy   98.3%  of 359", "trained")
    assert not both("accuracy  99.44%  of 359", "accuracy  92.1%  of 359", "trained")
    assert not both("accuracy  99.44%  of 359", "accuracy  99.44%  of 360", "trained")
    assert both("loss 0.0188", "loss 0.0321", "trained") and not both("loss 0.0188", "loss 0.3", "trained")
    assert both("1.35 MiB", "1.36 MiB", "trained") and not both("1.35 MiB", "1.85 MiB", "trained")
    assert not both("resnet-20", "resnet-56", "trained")
    assert both("epoch 1/9  loss 2.1  accuracy 10.0%  3.2 s", "epoch 1/9  loss 1.1  accuracy 60.0%  9 s", "trained")
    speeds = ["artefact  batch  images/s", "tflite  1  691"]
    assert matches(speeds, [speeds[0], "tflite  1  1,204"], "trained")
    assert not matches(speeds, [speeds[0], "serving  1  691"], "trained")


def test_lines_left_out_may_be_any_and_stay_left_out():
    printed = ["start", *(f"epoch {n}/9  loss 1.5  accuracy 7.0%  1.1 s" for n in range(1, 10))]
    printed += ["saved  1.35 MiB, in 9.0 s", "loss  0.5"]
    assert not matches(EPOCHS, printed, "trained")
    assert matches([*EPOCHS[:-1], "loss  0.51"], printed, "trained")
    assert elided(EPOCHS, printed) == [*printed[:2], "...", *printed[-2:]]
    assert elided(["...", "epoch 5/9  loss 3", "..."], ["a", "epoch 5/9  loss 4", "b"]) == [
        "...",
        "epoch 5/9  loss 4",
        "...",
    ]
    assert elided(["a", "...", "z"], ["a", "z"]) == ["a", "z"]
    with pytest.raises(PageError, match="not printed any more: middle"):
        elided(["a", "...", "middle", "...", "z"], ["a", "b", "c", "d", "e", "z"])


@pytest.mark.parametrize(
    ("span", "wrong"),
    [
        ("reskeras train ... --seeds 3", False),
        ("reskeras train ... --seedz 3", True),
        ("reskeras data prepare", False),
        ("reskeras data prepaer --nothing", True),
        ("reskeras.source", False),
        ("detect export --to serving", False),
        ("detect export --onto serving", True),
        ("--batch-size 32", False),
        ("--batch-sise 32", True),
        ("--epochs many", True),
        ("--family --depth --block", False),
        ("--family --deep --block", True),
        ("--rate-factor 'stage3_*=0.1'", False),
        ("holdout: 0.1", False),
        ("hold: 0.1", True),
        ("holdout: much", True),
        ("optimizer: {kind: lamb, beta_2: 0.99}", False),
        ("optimizer: {kind: lamb, beta_9: 0.99}", True),
        ("suppression: linear | gaussian", False),
        ("stem: {convs: [{kernel: 2, width: 24, bn: false}, ...]}", False),
        ("keras.models.load_model", False),
    ],
)
def test_code_in_running_text_is_looked_up(page, span, wrong):
    assert [*spans_of(f"text\n```\nx\n```\nand `{span}`.\n")] == [(5, span)]
    assert bool([*page(f"and `{span}`.\n").prose_problems()]) is wrong


def test_the_pages_rewritten_by_the_command_are_checked_again(tmp_path):
    path = tmp_path / "one.md"
    path.write_text("```console\n$ echo 1\n2\n```\n")
    words = [sys.executable, "-m", "docs.site.examples", str(path)]
    runs = [
        subprocess.run([*words, *more], capture_output=True, text=True, check=False) for more in ([], ["--update"], [])
    ]
    assert [run.returncode for run in runs] == [1, 0, 0], runs[0].stderr
    assert "one.md:2  echo 1  WRONG" in runs[0].stdout and "rewritten" in runs[1].stdout
    assert path.read_text() == "```console\n$ echo 1\n1\n```\n"
