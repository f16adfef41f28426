"""One training in several seeds: each run is the one that `train` makes, and the table has their mean and deviation."""

import json
import statistics

import numpy as np
import pytest
from click.testing import CliRunner

import reskeras
from reskeras.errors import ReskerasError
from reskeras.experiments.results_folder import read_result
from reskeras.report.curves import draw_curves
from reskeras_cli.main import commands

NETWORK = {"family": "cifar", "stages": [1], "input_shape": [8, 8, 1], "stem": {"convs": [{"width": 4}]}}
RECIPE = {"epochs": 1, "batch_size": 20, "precision": "float32", "deterministic": True}


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seeds") / "runs"
    net = reskeras.network(**NETWORK)
    return folder, reskeras.train_seeds(net, "digits@60", seeds=3, out=folder, seed=5, **RECIPE)


def test_the_runs_are_those_of_separate_trainings(three, tmp_path):
    _, result = three
    alone = reskeras.train(reskeras.network(**NETWORK), "digits@60", out=tmp_path / "alone", seed=6, **RECIPE)
    digests = [reskeras.Run(path).folder.provenance()["trained_sha256"] for path in result.rows[0].runs.values()]
    assert len(set(digests)) == 3 and digests[1] == alone.folder.provenance()["trained_sha256"]
    assert list(result.rows[0].runs) == [5, 6, 7]


def test_the_table_has_each_seed_mean_and_deviation(three):
    folder, result = three
    errors = [1 - reskeras.Run(path).evaluate().top1 for path in result.rows[0].runs.values()]
    found = result.rows[0].statistics("test_error")
    assert found.mean == pytest.approx(statistics.fmean(errors))
    assert found.deviation == pytest.approx(statistics.stdev(errors))
    columns, lines = result.by_seed()
    assert columns[1:] == ["test error", "training error"]
    assert [line[0] for line in lines] == ["seed 5", "seed 6", "seed 7", "mean", "deviation"]
    assert [line[1] for line in lines[:3]] == [f"{error:.2%}" for error in errors]
    assert read_result(folder).rows == result.rows
    page = (folder / "report.html").read_text()
    assert "Measured" in page and "paper" not in page.partition("<svg")[0]


@pytest.mark.slow
def test_resumed_with_more_seeds_it_keeps_the_others(three):
    folder, result = three
    before = [reskeras.Run(path).folder.provenance()["trained_sha256"] for path in result.rows[0].runs.values()]
    net = reskeras.network(**NETWORK)
    more = reskeras.train_seeds(net, "digits@60", seeds=4, out=folder, resume=True, seed=5, **RECIPE)
    after = [reskeras.Run(path).folder.provenance()["trained_sha256"] for path in more.rows[0].runs.values()]
    assert after[:3] == before and len(after) == 4


@pytest.mark.slow
def test_the_command_prints_them(tmp_path):
    (tmp_path / "net.yaml").write_text(json.dumps(NETWORK))
    words = [
        tmp_path / "net.yaml",
        "--data",
        "digits@60",
        "--epochs",
        1,
        "--batch-size",
        20,
        "--out",
        tmp_path / "runs",
    ]
    done = CliRunner().invoke(commands, ["train", *map(str, words), "--seeds", "2"])
    assert done.exit_code == 0, done.output
    assert all(word in done.stdout for word in ("seed 0", "seed 1", "mean", "deviation", "report.html"))
    again = CliRunner().invoke(commands, ["train", *map(str, words), "--seeds", "2"])
    assert again.exit_code == 2 and "already exists" in again.stderr
    done = CliRunner().invoke(commands, ["train", *map(str, words), "--seeds", "2", "--resume", "--json"])
    assert list(json.loads(done.stdout)["rows"][0]["figures"]) == ["0", "1"]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"seeds": "3"}, "seeds: '3': should be 1 to 1,000"),
        ({"seeds": 1.5}, "seeds: 1.5: should be"),
        ({"seeds": 0}, "seeds: 0: should be 1 to 1,000"),
        ({"seeds": 3, "seed": 2**31 - 2}, "seeds: 3 from 2147483646 on would end with 2,147,483,648"),
        ({"seeds": 2, "data": "digit"}, "did you mean digits"),
        ({"seeds": 2, "epochs": 0}, "epochs: 0"),
        ({"seeds": 2, "devices": 0}, "devices: 0"),
    ],
)
def test_a_wrong_request_writes_nothing(tmp_path, fields, named):
    with pytest.raises(ReskerasError, match=named) as caught:
        reskeras.train_seeds(reskeras.network(**NETWORK), out=tmp_path / "runs", **{**RECIPE, **fields})
    assert caught.value.status == 2 and list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_failure_of_a_later_seed_is_told(tmp_path, monkeypatch):
    from reskeras.experiments import seeds

    def broken(*arguments, seed, **keywords):
        if seed == 1:
            raise ReskerasError("train: the loss diverged", 1)
        return reskeras.train(*arguments, seed=seed, **keywords)

    monkeypatch.setattr(seeds, "train", broken)
    result = reskeras.train_seeds(reskeras.network(**NETWORK), "digits@60", seeds=3, out=tmp_path / "runs", **RECIPE)
    assert list(result.rows[0].figures) == [0]
    assert result.failed[0].error == "train: the loss diverged"


def test_curves_of_several_seeds_are_their_mean_in_a_band():
    rng = np.random.default_rng(0)
    accuracy = rng.uniform(0, 1, (3, 4))
    runs = {
        f"seed {seed}": [
            {"epoch": epoch, "accuracy": value, "val_accuracy": value / 2} for epoch, value in enumerate(row)
        ]
        for seed, row in enumerate(accuracy)
    }
    axis = draw_curves(runs, seeds=dict.fromkeys(runs, "net")).axes[0]
    thin, bold = axis.lines
    np.testing.assert_allclose(thin.get_ydata(), 100 * (1 - accuracy.mean(0)))
    assert bold.get_label() == "net, 3 runs"
    around, _ = (band.get_paths()[0].vertices[:, 1] for band in axis.collections)
    middle, spread = 100 * (1 - accuracy.mean(0)), 100 * accuracy.std(0, ddof=1)
    assert around.min() == pytest.approx((middle - spread).min()) and around.max() == pytest.approx(
        (middle + spread).max()
    )
    assert axis.get_ylim()[1] >= around.max()
