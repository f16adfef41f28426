"""A first convolution that whitens: its outputs, what is trained of it, and what survives a resume."""

import numpy as np
import pytest

import reskeras
from reskeras.documents.document import to_yaml
from reskeras.errors import ReskerasError
from reskeras.graph.weights import read
from reskeras.plans.operations import Conv
from reskeras.training.whitening import images_to_whiten, whitening_kernel
from tests.conftest import TINY
from tests.training.test_resume import Failing, digest_of, stopping_at

STEM = {"convs": [{"kernel": 2, "width": 8, "bn": False}, {"width": 16}]}  # digits are grey: 2 * 2 * 2 * 1
FIELDS = {
    "epochs": 1,
    "holdout": 0,
    "deterministic": True,
    "precision": "float32",
    "whiten": {"images": 100, "epsilon": 1e-3},
}


def patches(images, rows, columns):
    """Every window of the images as a row, cut one by one."""
    height, width = images.shape[1:3]
    return np.concatenate(
        [
            images[:, top : top + rows, left : left + columns].reshape(len(images), -1)
            for top in range(height - rows + 1)
            for left in range(width - columns + 1)
        ]
    ).astype(np.float64)


@pytest.mark.parametrize("kernel", [(2, 2), (3, 3), (1, 3)])
def test_the_outputs_are_uncorrelated_and_of_one_size_by_their_eigenvalues(kernel, monkeypatch):
    monkeypatch.setattr("reskeras.training.whitening.AT_ONCE", 20_000)  # several portions
    rng, size = np.random.default_rng(0), 3 * kernel[0] * kernel[1]
    smooth = rng.normal(0.3, 1, (40, 10, 12, 3)).astype(np.float32).cumsum(axis=1).cumsum(axis=2) / 8
    conv, epsilon = Conv(name="c", filters=2 * size, kernel=kernel), 1e-2
    found = whitening_kernel(conv, smooth, epsilon)
    assert found.shape == (*kernel, 3, 2 * size) and found.dtype == np.float32
    rows, flat = patches(smooth, *kernel), found.reshape(size, 2 * size)
    outputs = rows @ flat[:, :size]
    second = outputs.T @ outputs / len(rows)
    values = np.linalg.eigvalsh(rows.T @ rows / len(rows))[::-1]
    np.testing.assert_allclose(second, np.diag(values / (values + epsilon)), atol=1e-3)
    np.testing.assert_array_equal(flat[:, size:], -flat[:, :size])
    np.testing.assert_allclose(np.linalg.norm(flat[:, :size], axis=0), 1 / np.sqrt(values + epsilon), rtol=1e-3)


def test_fewer_images_are_taken_where_they_are_large():
    conv = Conv(name="c", filters=24, kernel=(2, 2))
    assert images_to_whiten(conv, (32, 32, 3), 5000) == 5000
    assert images_to_whiten(conv, (224, 224, 3), 5000) == 5_000_000 // 223**2
    assert images_to_whiten(conv, (5000, 5000, 3), 10) == 1


@pytest.fixture(scope="module")
def whitened(tmp_path_factory):
    network = reskeras.network(**{**TINY, "stem": STEM, "stages": [1]})
    return network, reskeras.train(network, "digits@300", out=tmp_path_factory.mktemp("whiten") / "run", **FIELDS)


def kernel_of(run, images=100):
    conv = next(node for node in run.plan.ops() if isinstance(node, Conv))
    train, pixels = run.source().train, []
    for index in np.linspace(0, train.count - 1, images).astype(int):
        pixels.append(np.asarray(run.preprocessing().fit_image(train.example(index)[0])))
    normal = (np.stack(pixels).astype(np.float32) - run.preprocessing().mean) / run.preprocessing().std
    return whitening_kernel(conv, normal, 1e-3)


def test_its_kernel_is_that_of_the_training_images_and_stays_and_its_bias_is_trained(whitened):
    _, run = whitened
    values = read(run.model())
    found, expected = values["stem_conv1/kernel"], kernel_of(run)
    # eigenvectors have no sign: the products of a filter with itself have
    flat, wanted = (each.reshape(4, 8) for each in (found, expected))
    np.testing.assert_allclose(flat @ flat.T, wanted @ wanted.T, rtol=1e-3, atol=1e-3)
    assert np.abs(values["stem_conv1/bias"]).max() > 1e-4


def test_it_survives_a_resume_bit_for_bit_and_is_trained_where_it_is_not_frozen(whitened, tmp_path):
    network, whole = whitened
    with pytest.raises(Failing):
        reskeras.train(network, "digits@300", out=tmp_path / "run", callbacks=[stopping_at(1)], **FIELDS)
    resumed = reskeras.train(network, "digits@300", out=tmp_path / "run", resume=True, **FIELDS)
    assert digest_of(resumed) == digest_of(whole)
    free = {**FIELDS, "whiten": {**FIELDS["whiten"], "frozen": False}}
    trained = reskeras.train(network, "digits@300", out=tmp_path / "free", **free)
    kernels = [read(run.model())["stem_conv1/kernel"] for run in (whole, trained)]
    assert 1e-4 < np.abs(kernels[0] - kernels[1]).max() < 1


def test_what_cannot_whiten_is_refused_by_name(whitened, tmp_path):
    with pytest.raises(ReskerasError, match=r"stem_conv has 16 filters, but a whitening 3x3 .* 1 channel has 18"):
        reskeras.train(reskeras.network(**TINY), "digits@300", out=tmp_path / "a", **FIELDS)
    with pytest.raises(ReskerasError, match="has a first convolution already"):
        reskeras.train(whitened[0], "digits@300", out=tmp_path / "b", start=whitened[1].path, **FIELDS)
    assert not list(tmp_path.iterdir())
    assert "whiten" not in to_yaml(reskeras.recipe("quick").sparse())
