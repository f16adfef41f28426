"""Networks of reskeras in programs that use Keras alone: compile, fit, save, load."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import reskeras

FIELDS = {"family": "cifar", "stages": [2], "input_shape": [8, 8, 3], "classes": 3, "drop_path": 0.2, "squeeze": 4}
LOADS = """
{imports}
import numpy as np
model = keras.models.load_model({path!r})
np.save({out!r}, model.predict(np.load({images!r}), verbose=0))
"""


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A folder with models fitted by Keras and saved by Keras, images, and the logits for them by name of the model."""
    folder = tmp_path_factory.mktemp("plain")
    rng = np.random.default_rng(0)
    images, labels = rng.normal(0, 1, (16, 8, 8, 3)).astype(np.float32), rng.integers(0, 3, 16)
    np.save(folder / "images.npy", images)
    logits = {}
    for form in ("unrolled", "scanned"):
        model = reskeras.build(form=form, **FIELDS)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss, metrics=["accuracy"])
        model.fit(images, labels, batch_size=8, epochs=2, verbose=0)
        model.save(folder / f"{form}.keras")
        logits[form] = model.predict(images, verbose=0)
    return folder, logits


def load_elsewhere(folder, form, imports):
    """A program of its own that loads the model and writes its logits."""
    paths = {"path": f"{form}.keras", "out": "logits.npy", "images": "images.npy"}
    program = LOADS.format(imports=imports, **{name: str(folder / path) for name, path in paths.items()})
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    ("form", "imports"), [("unrolled", "import keras\nimport reskeras"), ("scanned", "import reskeras\nimport keras")]
)
def test_keras_loads_what_keras_saved_in_a_program_that_imports_reskeras(fitted, form, imports):
    folder, logits = fitted
    done = load_elsewhere(folder, form, imports)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(folder / "logits.npy"), logits[form], rtol=1e-5, atol=1e-5)


def test_keras_names_what_a_program_lacks_that_does_not_import_reskeras(fitted):
    done = load_elsewhere(fitted[0], "unrolled", "import keras")
    assert done.returncode == 1
    assert "make sure they are all imported" in done.stderr and "'module': 'reskeras." in done.stderr


def test_importing_reskeras_leaves_other_backends_and_finders_alone():
    program = (
        "import sys, reskeras, keras; assert not any('reskeras' in type(each).__module__ for each in sys.meta_path);"
        "print(keras.backend.backend(), 'reskeras.graph' in sys.modules)"
    )
    environment = {**os.environ, "KERAS_BACKEND": "torch"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["torch", "False"]
