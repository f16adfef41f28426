"""A program that uses reskeras finds its process-wide state as it left it, whatever it did and however that ended."""

import logging
import os
import random
import signal
import socket
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import keras
import matplotlib
import numpy as np
import pytest
import tensorflow as tf
from keras.src.backend.common import global_state
from PIL import Image, ImageFile
from tensorflow.python.eager import context
from tensorflow.python.framework import config

import reskeras

SMALL = {
    "family": "cifar",
    "stages": [{"units": 1, "width": 4}],
    "stem": {"convs": [{"width": 4}]},
    "input_shape": [8, 8, 1],
    "drop_path": 0.1,
}


def state():
    """Everything process-wide that a library could change under a program's feet."""
    generator = global_state.get_global_attribute("global_seed_generator")
    eager = context.context()
    return {
        "random": random.getstate(),
        "numpy": tuple(map(str, np.random.get_state())),
        "tf seed": eager._seed,
        "tf operation seeds": eager._rng.getstate(),
        "determinism": config.is_op_determinism_enabled(),
        "eagerly": tf.config.functions_run_eagerly(),
        "soft placement": tf.config.get_soft_device_placement(),
        "threads": (
            tf.config.threading.get_intra_op_parallelism_threads(),
            tf.config.threading.get_inter_op_parallelism_threads(),
        ),
        "keras seed": global_state.get_global_attribute("global_random_seed"),
        "keras generator": (id(generator), generator.state.numpy().tolist()),
        "keras names": dict(global_state.get_global_attribute("object_name_uids")),
        "policy": keras.config.dtype_policy().name,
        "floatx": keras.config.floatx(),
        "data format": keras.config.image_data_format(),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "warnings": list(warnings.filters),
        "numpy errors": np.geterr(),
        "numpy printing": np.get_printoptions(),
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "log levels": {name: logging.getLogger(name).level for name in ("", "absl", "tensorflow", "reskeras")},
        "log handlers": {name: list(logging.getLogger(name).handlers) for name in ("", "absl", "tensorflow")},
        "matplotlib": dict(matplotlib.rcParams.items()),
        "backend": dict.__getitem__(matplotlib.rcParams, "backend"),
        "recursion": sys.getrecursionlimit(),
        "hooks": (sys.excepthook, sys.displayhook),
        "time-out": socket.getdefaulttimeout(),
        "truncated images": ImageFile.LOAD_TRUNCATED_IMAGES,
        "largest image": Image.MAX_IMAGE_PIXELS,
    }


@pytest.fixture
def own_state():
    """A program with a state of its own, which no default could pass for."""
    policy = keras.config.dtype_policy()
    before = random.getstate(), np.random.get_state()
    keras.utils.set_random_seed(4321)
    keras.random.uniform((2,))  # makes Keras' global generator
    tf.random.uniform((2,))
    random.random(), np.random.rand()
    keras.layers.Dense(3), keras.layers.Dense(3)
    keras.config.set_dtype_policy("mixed_bfloat16")
    matplotlib.rcParams["axes.grid"] = True
    yield
    matplotlib.rcParams["axes.grid"] = False
    keras.config.set_dtype_policy(policy)
    random.setstate(before[0])
    np.random.set_state(before[1])


class Failing(Exception):
    """Raised by a callback of the caller."""


def failing_callback():
    def fail(batch, logs):
        raise Failing

    return keras.callbacks.LambdaCallback(on_train_batch_end=fail)


def train(out, **fields):
    fields = {"epochs": 1, "deterministic": True, **fields}
    return reskeras.train(reskeras.network(**SMALL), "digits@100", out=out / "run", **fields)


def tune(out, **asked):
    asked = {"tuner": "random", "trials": 1, "epochs": 1, **asked}
    return reskeras.tune(
        {"parameters": {"recipe.learning_rate": [0.01, 0.05]}},
        reskeras.network(**SMALL),
        "digits@100",
        out=out / "search",
        **asked,
    )


WORK = {
    "train": lambda run, out: train(out),
    "train on what cannot be had": lambda run, out: train(out, batch_size=0),
    "train to no number": lambda run, out: train(out, learning_rate=99.0, epochs=30, weight_decay=1.0),
    "train until a callback fails": lambda run, out: train(out, callbacks=[failing_callback()]),
    "tune": lambda run, out: tune(out),
    "tune without success": lambda run, out: tune(out, max_params=1),
    "build": lambda run, out: reskeras.build("cifar-resnet-20"),
    "load": lambda run, out: reskeras.load(run.path),
    "evaluate": lambda run, out: run.evaluate(),
    "evaluate what is not there": lambda run, out: run.evaluate(data=f"folder:{out}/none"),
    "export": lambda run, out: run.export("tflite", timing=False),
    "analyse": lambda run, out: run.analyse(images=20, lesions=0),
    "analyse_fresh": lambda run, out: reskeras.analyse_fresh(reskeras.network(**SMALL), images=20),
    "report": lambda run, out: reskeras.write_report(run, out=out / "report.html"),
}


@pytest.mark.sample(6)
@pytest.mark.parametrize("work", WORK)
def test_the_callers_state_is_as_it_was(work, copied, own_state, tmp_path):
    before = state()
    try:
        WORK[work](copied, tmp_path)
        fails = False
    except (reskeras.ReskerasError, Failing):
        fails = True
    after = state()
    assert {name: (value, after[name]) for name, value in before.items() if after[name] != value} == {}
    assert fails == any(word in work for word in ("cannot", "no number", "fails", "without", "not there"))


def test_neither_the_callers_numbers_nor_its_policy_reach_a_training(tmp_path, own_state):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    first = train(tmp_path / "one", precision="float32")
    random.seed(1)
    np.random.seed(1)
    tf.random.set_seed(1)
    keras.config.set_dtype_policy("float32")
    again = train(tmp_path / "two", precision="float32")
    digests = {run.folder.provenance()["trained_sha256"] for run in (first, again)}
    assert len(digests) == 1
    assert {weight.dtype for weight in first.model().trainable_weights} == {"float32"}


def test_operations_stay_deterministic_for_a_program_that_has_them_so(tmp_path, own_state):
    config.enable_op_determinism()
    try:
        train(tmp_path, deterministic=False)
        assert config.is_op_determinism_enabled()
    finally:
        config.disable_op_determinism()


def test_a_training_in_a_thread_equals_one_in_the_main_thread(tmp_path, own_state):
    (tmp_path / "main").mkdir()
    (tmp_path / "thread").mkdir()
    expected = train(tmp_path / "main", precision="float32").folder.provenance()["trained_sha256"]
    before = state()
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(train, tmp_path / "thread", precision="float32").result()
    after = state()
    assert {name: (value, after[name]) for name, value in before.items() if after[name] != value} == {}
    assert run.folder.provenance()["trained_sha256"] == expected


IMPORTED = """
import os, signal, warnings
before = dict(os.environ), signal.getsignal(signal.SIGINT), os.getcwd()
import reskeras
reskeras.build, reskeras.train, reskeras.tune, reskeras.train_detector, reskeras.reproduce, reskeras.HyperModel
after = dict(os.environ), signal.getsignal(signal.SIGINT), os.getcwd()
unset = {name for name in after[0] if name not in before[0]}
assert not unset & {"TF_CPP_MIN_LOG_LEVEL", "KERAS_BACKEND", "GRPC_ENABLE_FORK_SUPPORT"}, unset
assert {name: after[0][name] for name in before[0]} == before[0] and before[1:] == after[1:]
"""


def test_importing_leaves_the_environment_alone():
    environ = {
        name: value
        for name, value in os.environ.items()
        if name not in ("TF_CPP_MIN_LOG_LEVEL", "KERAS_BACKEND", "GRPC_ENABLE_FORK_SUPPORT")
    }
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED], env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
