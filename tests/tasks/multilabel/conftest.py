import pytest

from tests.tasks.multilabel.pairs import known


@pytest.fixture(scope="session", autouse=True)
def pairs_are_known():
    """The set of pairs, in the table of sources."""
    from reskeras.readers import READERS

    known()
    yield
    READERS[:] = [reader for reader in READERS if reader.kind != "pairs"]


@pytest.fixture(scope="session")
def labelled(made_once, pairs_are_known):
    """A network trained for 20 s on pairs of digits: a `reskeras.Run`. Tests must not change it."""
    import reskeras

    def make(folder):
        network = reskeras.network(family="cifar", depth=8, input_shape=[16, 32, 1])
        how = {"epochs": 8, "batch_size": 32, "learning_rate": 0.1, "precision": "float32", "augment": {"pad_crop": 1}}
        reskeras.train(network, "pairs:2000", out=folder / "pairs", **how)

    return reskeras.Run(made_once("labelled", make) / "pairs")
