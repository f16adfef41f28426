"""Workers of a search get one GPU each, and unused ones are told."""

from types import SimpleNamespace

import pytest

from reskeras.errors import ReskerasError
from reskeras.tuning.workers import Crew, LocalCrew, unused_gpus


@pytest.fixture
def started(monkeypatch):
    monkeypatch.setattr(LocalCrew, "_start", lambda self, index: SimpleNamespace(listen=lambda: None))


@pytest.mark.parametrize(
    ("visible", "expected", "told"),
    [
        ("0,1,2,3,4", ["0", "2"], "tune: a trial trains on one GPU, so 2 of 5 are used; use --workers 5 for all"),
        ("3,GPU-a1", ["3", "GPU-a1"], ""),
        ("-1", ["-1", "-1"], ""),
    ],
)
def test_each_worker_has_one_gpu(tmp_path, monkeypatch, started, visible, expected, told):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    crew = LocalCrew(Crew(2), ["true"], 1, tmp_path, lambda note: None)
    assert [setting["CUDA_VISIBLE_DEVICES"] for setting in crew.settings] == expected
    assert unused_gpus(2, {"CUDA_VISIBLE_DEVICES": visible}) == told


def test_more_workers_than_gpus_are_refused(tmp_path, monkeypatch, started):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(ReskerasError, match="workers: 2 are more than the GPUs"):
        LocalCrew(Crew(2), ["true"], 1, tmp_path, lambda note: None)


@pytest.mark.slow
def test_a_search_in_one_process_tells_of_gpus_that_it_does_not_use(tmp_path, monkeypatch):
    import reskeras
    from reskeras.tuning import run

    monkeypatch.setattr(run, "unused_gpus", lambda workers: f"{workers} used")
    notes = []
    small = reskeras.network(family="cifar", stages=[1], input_shape=[8, 8, 1])
    space = {"parameters": {"recipe.learning_rate": [0.01, 0.02]}}
    reskeras.tune(space, small, "digits@200", trials=1, epochs=1, out=tmp_path / "search", tell=notes.append)
    assert "1 used" in notes
