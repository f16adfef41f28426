"""Workers tell each other what the chief has read, and which of them refuses."""

import hashlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from reskeras.errors import ReskerasError
from reskeras.launch.cluster import Cluster
from reskeras.training.exchange import Exchange
from tests.training.exchanged import arrays

ROOT = Path(__file__).parents[2]
ALONE = Exchange(tf.distribute.get_strategy())


def free_addresses(count):
    held = [socket.socket() for _ in range(count)]
    for each in held:
        each.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in held]
    for each in held:
        each.close()
    return addresses


@pytest.mark.slow
def test_two_workers_hear_the_same():
    workers, running = free_addresses(2), []
    for index in range(2):
        config = json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}})
        running.append(
            subprocess.Popen(
                [sys.executable, "-m", "tests.training.exchanged"],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "TF_CONFIG": config, "CUDA_VISIBLE_DEVICES": "-1"},
            )
        )
    done = [worker.communicate(timeout=120) for worker in running]
    assert [worker.returncode for worker in running] == [0, 0], done
    first, second = (json.loads(printed) for printed, _ in done)
    sent = arrays()
    whole = hashlib.sha256(b"".join(name.encode() + each.tobytes() for name, each in sorted(sent.items())))
    assert first["arrays"] == second["arrays"] == whole.hexdigest()
    assert second["shapes"] == {name: [str(each.dtype), list(each.shape)] for name, each in sent.items()}
    assert second["facts"] == {"of": 0, "words": "é" * 300}
    assert second["none"] is None
    assert first["failed"] == ["run cannot be written", 1, True]
    assert second["failed"] == ["worker 0: run cannot be written", 1, True]
    assert first["refused"] == ["worker 1: data: folder not found", 2, False]
    assert second["refused"] == ["data: folder not found", 2, False]
    assert first["texts"] == second["texts"] == ["", "x" * 5000]
    assert first["any"] == second["any"] == [[True, 7], [False, 0]]
    assert first["went on"] is second["went on"] is None
    assert not any("WARNING" in errors for _, errors in done)  # retracing for each size


def test_alone_nothing_is_sent():
    made = object()
    assert ALONE.from_chief(lambda: made) is made
    with pytest.raises(ReskerasError, match=r"^mine$"), ALONE.together():
        raise ReskerasError("mine")


def peer(index, count=3):
    addresses = ("a:1", "b:2", "c:3")[:count]
    return Exchange(tf.distribute.get_strategy(), index, count, Cluster(addresses, index))


PEERS = peer(1)
ABORTED = "Collective ops is aborted by: "


@pytest.mark.parametrize(
    ("index", "count", "error", "words", "lost"),
    [
        (1, 3, tf.errors.UnavailableError, ABORTED + "/job:worker/task:2 is down", "worker 2 (c:3)"),
        (
            1,
            3,
            tf.errors.UnavailableError,
            "GRPC error information from remote target /job:worker/replica:0/task:0 while calling",
            "worker 0 (a:1)",
        ),
        # what the isolated one hears: of its own heartbeat, or from the others
        (1, 3, tf.errors.DeadlineExceededError, "RPC: /tensorflow.CoordinationService/Heartbeat", "worker 0 (a:1)"),
        (1, 3, tf.errors.UnavailableError, ABORTED + "task:1 is unhealthy", "worker 0 (a:1)"),
        (0, 2, tf.errors.UnavailableError, ABORTED + "reset by peer", "worker 1 (b:2)"),
        (0, 3, tf.errors.UnavailableError, ABORTED + "reset by peer", "another worker"),
    ],
)
def test_a_loss_is_told_in_a_line_that_names_who_has_gone(index, count, error, words, lost):
    with pytest.raises(ReskerasError) as caught, peer(index, count).losses_told():
        raise error(None, None, words)
    assert str(caught.value).startswith(f"workers: the connection to {lost} was lost; start all workers again with")
    assert "\n" not in str(caught.value)
    assert (caught.value.status, caught.value.final, caught.value.at_once) == (1, False, True)


def test_other_errors_of_tensorflow_are_not_losses():
    for error in (tf.errors.InternalError(None, None, "Blas GEMM launch failed"), ValueError("task:2")):
        with pytest.raises(type(error)), PEERS.losses_told():
            raise error
    with pytest.raises(tf.errors.UnavailableError), ALONE.losses_told():
        raise tf.errors.UnavailableError(None, None, "Collective ops is aborted by: task:2 is down")


def test_a_word_of_any_bits_is_summed_with_zeros_unchanged():
    words = np.array([-(2**31), 2**31 - 1, -1, 0], np.int32)
    assert (ALONE._sum(words) == words).all()
