"""Workers of a search get one GPU each, and unused ones are told."""

from types import SimpleNamespace

import pytest

from reskeras.errors import ReskerasError
from reskeras.tuning.workers import Crew, LocalCrew


@pytest.fixture
def started(monkeypatch):
    monkeypatch.setattr(LocalCrew, "_start", lambda self, index: SimpleNamespace(listen=lambda: None))


@pytest.mark.parametrize(
    ("visible", "expected", "told"),
    [
        ("0,1,2,3,4", ["0", "2"], ["tune: a trial trains on one GPU, so 2 of 5 are used; use --workers 5 for all"]),
        ("3,GPU-a1", ["3", "GPU-a1"], []),
        ("-1", ["-1", "-1"], []),
    ],
)
def test_each_worker_has_one_gpu(tmp_path, monkeypatch, started, visible, expected, told):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    notes = []
    crew = LocalCrew(Crew(2), ["true"], 1, tmp_path, notes.append)
    assert [setting["CUDA_VISIBLE_DEVICES"] for setting in crew.settings] == expected
    assert notes == told


def test_more_workers_than_gpus_are_refused(tmp_path, monkeypatch, started):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(ReskerasError, match="workers: 2 are more than the GPUs"):
        LocalCrew(Crew(2), ["true"], 1, tmp_path, lambda note: None)
