"""The launcher with small scripts as workers: what comes out, what is started again, and that nothing is left."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from reskeras.errors import ReskerasError
from reskeras.files import STUCK
from reskeras.launch import isolation, places
from reskeras.launch.cluster import Cluster
from reskeras.launch.group import Group, Launch, supervise
from reskeras.launch.isolation import loopback
from reskeras.launch.places import environments, free_ports, visible_gpus

# a worker that says in a file that it runs (its process and that of a child), and what its address is
SELF = """
import json, os, pathlib, signal, subprocess, sys, time
here = pathlib.Path(sys.argv[1])
config = json.loads(os.environ["TF_CONFIG"])
index, workers = config["task"]["index"], config["cluster"]["worker"]
def note():
    child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
    with (here / f"{index}.txt").open("a") as file:
        print(os.getpid(), child.pid, workers[index], file=file)
def starts():
    return len((here / f"{index}.txt").read_text().splitlines())
def wait_for_others():
    while not all((here / f"{other}.txt").exists() for other in range(len(workers))):
        time.sleep(0.01)
note()
"""
IGNORES = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
STOPS = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n"
FOREVER = "\nwait_for_others(); time.sleep(60)\n"
LAUNCHER = """
import sys
from reskeras.launch.group import Launch, supervise
tell = lambda line, is_error: print(line, file=sys.stderr if is_error else sys.stdout, flush=True)
sys.exit(supervise(Launch([sys.executable, "-S", "-c", *sys.argv[1:]], 2, grace=0.5), tell))
"""


def launched(code, folder=".", workers=2, **options):
    """Status (or the error), stdout and stderr lines of a group of `python -c code folder`."""
    lines = {False: [], True: []}
    options = {"grace": 0.3, "restarts": 0, **options}
    launch = Launch([sys.executable, "-S", "-c", code, str(folder)], workers, **options)
    try:
        status = supervise(launch, lambda line, is_error: lines[is_error].append(line))
    except ReskerasError as error:
        status = error
    return status, lines[False], lines[True]


def noted(folder):
    """Every process that wrote itself down, and the addresses that each worker had."""
    rows = [line.split() for file in sorted(Path(folder).glob("*.txt")) for line in file.read_text().splitlines()]
    return [int(pid) for row in rows for pid in row[:2]], [row[2] for row in rows]


def runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(claim, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def launcher(tmp_path):
    """Start a launcher of two workers in a process of its own, and wait until both run."""
    started = []

    def start(code):
        process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER, SELF + code + FOREVER, str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        until(lambda: len(noted(tmp_path)[0]) == 4)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_lines_come_out_whole_with_their_worker_and_on_their_stream():
    code = """
import os, sys, json
index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
for number in range(200):
    os.write(1, f"{number} of ".encode()); os.write(1, f"{index}\\n".encode())
sys.stderr.write("no newline")
"""
    status, out, err = launched(code)
    assert status == 0
    for index in range(2):
        mine = [line for line in out if line.startswith(f"[worker {index}] ")]
        assert mine == [f"[worker {index}] {number} of {index}" for number in range(200)]
    assert len(out) == 400
    assert sorted(err) == ["[worker 0] no newline", "[worker 1] no newline"]


def test_python_workers_are_unbuffered():
    _, out, _ = launched("import os; print('one'); os._exit(0)", workers=1)
    assert out == ["[worker 0] one"]


def test_after_kill_9_of_one_worker_the_group_starts_again_on_other_ports(tmp_path):
    code = (
        SELF
        + """
wait_for_others()
if starts() == 1:
    if index == 1: os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)
"""
    )
    status, _, err = launched(code, tmp_path, restarts=2)
    assert status == 0
    assert err == ["launch: worker 1 was killed by SIGKILL; restart 1 of 2 of the whole group"]
    processes, addresses = noted(tmp_path)
    assert len(set(addresses)) == len(addresses) == 4
    until(lambda: not any(map(runs, processes)))  # a killed process takes a moment


def test_restarts_are_bounded_and_use_the_other_command(tmp_path):
    again = [sys.executable, "-S", "-c", SELF + "print('again'); sys.exit(3)", str(tmp_path)]
    status, out, err = launched(SELF + "sys.exit(3)", tmp_path, workers=1, restarts=2, again=again)
    assert status.status == 1
    assert str(status) == "launch: worker 0 ended with status 3; giving up after 2 restarts"
    assert [line.partition("restart ")[2][:6] for line in err] == ["1 of 2", "2 of 2"]
    assert out == ["[worker 0] again"] * 2
    assert len(noted(tmp_path)[1]) == 3


def test_a_refused_request_is_told_once_and_not_tried_again(tmp_path):
    code = SELF + "wait_for_others(); print('reskeras: depth: 7\\ntry it', file=sys.stderr); sys.exit(2)"
    status, _, err = launched(code, tmp_path, restarts=3)
    assert status == 2
    assert err == ["reskeras: depth: 7", "try it"]
    assert len(noted(tmp_path)[1]) == 2


def test_a_refusal_is_told_once_where_another_worker_had_said_it_and_not_yet_ended(tmp_path):
    code = (
        SELF
        + """
print("reskeras: depth: 7", file=sys.stderr, flush=True)
if index: time.sleep(60)
wait_for_others(); time.sleep(0.2); sys.exit(2)
"""
    )
    status, _, err = launched(code, tmp_path, restarts=3)
    assert (status, err) == (2, ["reskeras: depth: 7"])


def test_a_worker_that_cannot_write_ends_the_group_for_good_and_alone_says_why(tmp_path):
    code = (
        SELF
        + """
wait_for_others()
if index: time.sleep(0.3); print("reskeras: the others have gone", file=sys.stderr); sys.exit(1)
print("reskeras: run cannot be written", file=sys.stderr); sys.exit(75)
"""
    )
    status, _, err = launched(code, tmp_path, restarts=3)
    assert (status, err) == (1, ["reskeras: run cannot be written"])
    assert len(noted(tmp_path)[1]) == 2


def test_the_message_of_failed_work_comes_with_its_worker():
    _, _, err = launched("import sys; print('reskeras: broken', file=sys.stderr); sys.exit(1)", workers=1)
    assert err == ["[worker 0] reskeras: broken"]


def test_a_worker_that_ignores_sigterm_is_killed_after_the_grace_period(tmp_path):
    code = SELF + IGNORES + "wait_for_others()\nif index == 0: sys.exit(1)\ntime.sleep(60)"
    began = time.monotonic()
    status, _, err = launched(code, tmp_path, grace=0.5)
    assert 0.5 < time.monotonic() - began < 5
    assert "worker 0 ended with status 1" in str(status)
    assert err == ["launch: worker 1 did not stop on SIGTERM and is killed"]
    until(lambda: not any(map(runs, noted(tmp_path)[0])))


def test_a_worker_that_stays_behind_when_another_is_done_is_hung(tmp_path):
    code = SELF + "wait_for_others()\nif index == 1 and starts() == 1: time.sleep(60)"
    status, _, err = launched(code, tmp_path, straggle=0.1, grace=0.2, restarts=1)
    assert status == 0
    assert err == [
        "launch: worker 1 is still running 0.3 s after worker 0 ended with status 0; restart 1 of 1 of the whole group"
    ]


def test_a_worker_that_was_stopped_from_outside_stops_the_group(tmp_path):
    status, _, err = launched(
        SELF + STOPS + "wait_for_others()\nif index: time.sleep(60)\nsys.exit(143)", tmp_path, restarts=3, grace=2
    )
    assert status == 143
    assert err == ["launch: worker 0 was asked to stop, but the launcher was not; stopping all workers"]
    assert len(noted(tmp_path)[1]) == 2


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_to_the_launcher_stops_all_workers(number, status, launcher, tmp_path):
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("ignored by whoever runs the tests, as nohup does")
    process = launcher(
        STOPS + "note_end = lambda: (here / f'{index}.end').touch()\nimport atexit; atexit.register(note_end)"
    )
    process.send_signal(number)
    _, err = process.communicate(timeout=10)
    assert process.returncode == status
    assert "restart" not in err
    assert len(list(tmp_path.glob("*.end"))) == 2  # they ended by themselves
    until(lambda: not any(map(runs, noted(tmp_path)[0])))


def test_a_signal_to_the_launcher_kills_those_that_ignore_it(launcher, tmp_path):
    process = launcher(IGNORES)
    process.terminate()
    _, err = process.communicate(timeout=10)
    assert process.returncode == 143
    assert err.count("is killed") == 2
    until(lambda: not any(map(runs, noted(tmp_path)[0])))


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_kill_9_of_the_launcher_leaves_no_worker(launcher, tmp_path):
    process = launcher(IGNORES)
    process.kill()
    process.wait()
    rows = [line.split() for file in tmp_path.glob("*.txt") for line in file.read_text().splitlines()]
    try:
        until(lambda: not any(runs(int(row[0])) for row in rows))
    finally:
        for row in rows:  # what a worker has started itself is its own affair
            os.kill(int(row[1]), signal.SIGKILL)


@pytest.mark.parametrize(
    ("statuses", "first"),
    [((1, -9, 143, 2), 3), ((1, -9, 143, 0), 2), ((1, -9, 0), 1), ((0, 1, 1), 1), ((1, STUCK, 130), 1)],
)
def test_of_workers_that_end_at_once_the_one_whose_end_explains_the_others_is_told(statuses, first):
    group = Group.__new__(Group)
    group.launch, group.first = Launch([], len(statuses)), None
    group.workers = [
        SimpleNamespace(index=index, status=status, ended=lambda: True, tell_last_words=lambda: None)
        for index, status in enumerate(statuses)
    ]
    assert group.watch(SimpleNamespace(number=0)).startswith(f"worker {first} ")
    assert group.first.index == first


HERE = Cluster(("a:1", "b:1"), 1)
COUNTS = """
import os, pathlib, socket, sys, time
starts = pathlib.Path(sys.argv[1]) / "starts"
with starts.open("a") as file:
    print(time.monotonic(), os.environ.get("TF_CONFIG"), len(socket.if_nameindex()), file=file)
count = len(starts.read_text().splitlines())
"""


def test_a_machine_starts_its_own_worker_again_after_a_pause_in_its_own_network(tmp_path, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "of-the-cluster")
    code = COUNTS + "if count < 3: print('reskeras: lost', file=sys.stderr); sys.exit(1)\nprint('done')"
    status, out, err = launched(code, tmp_path, workers=1, restarts=3, here=HERE)
    assert (status, out) == (0, ["[worker 1] done"])
    assert err == [
        "[worker 1] reskeras: lost",
        "launch: worker 1 ended with status 1; restart 1 of 3 of this machine's worker",
        "[worker 1] reskeras: lost",
        "launch: worker 1 ended with status 1; restart 2 of 3 of this machine's worker",
    ]
    rows = [line.split() for line in (tmp_path / "starts").read_text().splitlines()]
    assert [row[1:] for row in rows] == [["of-the-cluster", str(len(socket.if_nameindex()))]] * 3
    first, second, third = (float(row[0]) for row in rows)
    assert 1 <= second - first < 2 <= third - second < 3  # others need time to notice


def test_a_stop_on_another_machine_ends_this_one(tmp_path):
    status, _, err = launched(COUNTS + "sys.exit(143)", tmp_path, workers=1, restarts=3, here=HERE)
    assert status == 143
    assert err == ["launch: worker 1 was asked to stop, perhaps on another machine; stopping all workers"]


def test_a_program_that_is_not_there_is_a_failure():
    with pytest.raises(ReskerasError, match="no-such-program") as caught:
        supervise(Launch(["/no-such-program"], 2), lambda line, is_error: None)
    assert caught.value.status == 1


def test_free_ports_can_be_bound_and_are_none_of_those_to_avoid():
    with socket.socket() as taken:
        taken.bind(("", 0))
        first = taken.getsockname()[1]
        if first + 20 > 65535:
            pytest.skip("at the end of the ports")
        chosen = free_ports(3, first, avoid=[first + 1])
    assert not {first, first + 1} & set(chosen)
    assert chosen == sorted(set(chosen))
    with socket.socket() as mine:
        mine.bind(("127.0.0.1", chosen[0]))
    with pytest.raises(ReskerasError, match="port: 65535: 2 workers need 2 free ports from here on; found"):
        free_ports(2, 65535)


def test_each_worker_gets_its_place_and_its_share_of_the_cores():
    settings = environments([4001, 4002], {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "7"})
    for index, setting in enumerate(settings):
        assert json.loads(setting["TF_CONFIG"]) == {
            "cluster": {"worker": ["127.0.0.1:4001", "127.0.0.1:4002"]},
            "task": {"type": "worker", "index": index},
        }
        assert "OMP_NUM_THREADS" not in setting  # the user's
        assert "CUDA_VISIBLE_DEVICES" not in setting
    assert 1 <= int(settings[0]["TF_NUM_INTRAOP_THREADS"]) <= max(os.cpu_count() // 2, 1)


@pytest.mark.parametrize(("cores", "workers", "each"), [(8, 2, "4"), (7, 2, "3"), (2, 3, "1"), (1, 2, "1")])
def test_cores_are_shared_evenly_and_no_worker_is_without(monkeypatch, cores, workers, each):
    monkeypatch.setattr(places, "cores", lambda: cores)
    for setting in environments(list(range(4001, 4001 + workers)), {"CUDA_VISIBLE_DEVICES": ""}):
        assert (setting["OMP_NUM_THREADS"], setting["TF_NUM_INTRAOP_THREADS"]) == (each, each)


def test_gpus_are_shared_evenly_and_never_between_workers():
    settings = environments([1, 2], {"CUDA_VISIBLE_DEVICES": "0,2,GPU-a1,5,7"})
    assert [setting["CUDA_VISIBLE_DEVICES"] for setting in settings] == ["0,2", "GPU-a1,5"]
    with pytest.raises(ReskerasError, match="workers: 3 are more than the GPUs") as caught:
        environments([1, 2, 3], {"CUDA_VISIBLE_DEVICES": "0,1"})
    assert caught.value.status == 2
    assert "CUDA_VISIBLE_DEVICES" not in environments([1, 2, 3], {"CUDA_VISIBLE_DEVICES": "-1"})[0]


def test_gpus_are_counted_by_nvidia_smi(tmp_path):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU 0: A100 (UUID: GPU-1)'\necho '  MIG 1g'\necho 'GPU 1: A100'\n")
    program.chmod(0o755)
    assert visible_gpus({"PATH": str(tmp_path)}) == ("0", "1")
    assert visible_gpus({"PATH": str(tmp_path / "none")}) == ()


LISTENS = """
import socket
port = int(workers[index].rpartition(":")[2])
server = socket.socket()
server.bind(("", port))  # on all interfaces, as TensorFlow's server does
server.listen()
(here / f"{index}.listens").touch()
while len(list(here.glob("*.listens"))) < len(workers):
    time.sleep(0.01)
for other in workers:
    host, _, number = other.rpartition(":")
    socket.create_connection((host, int(number)), 5).close()
(here / f"{index}.ready").touch()
while not (here / "done").exists():
    time.sleep(0.02)
sys.exit()
"""


def isolated():
    try:
        with loopback():
            return True
    except OSError:
        return False


@pytest.mark.skipif(not isolated(), reason="this system allows no network namespace")
def test_nobody_outside_reaches_the_workers_ports_and_they_reach_each_other(launcher, tmp_path):
    process = launcher(LISTENS)
    until(lambda: len(list(tmp_path.glob("*.ready"))) == 2)
    hosts = {"127.0.0.1", *(info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET))}
    for address in noted(tmp_path)[1]:
        for host in hosts:
            with pytest.raises(OSError), socket.create_connection((host, int(address.rpartition(":")[2])), 2):
                pass
    (tmp_path / "done").touch()
    assert process.wait(10) == 0
    assert "open to anyone" not in process.stderr.read()


def test_where_there_are_no_namespaces_it_is_told_in_a_line_and_goes_on(monkeypatch):
    def refused(*arguments):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(isolation, "_made", refused)
    status, out, err = launched("print('one')", workers=1)
    assert (status, out) == (0, ["[worker 0] one"])
    [line] = err
    assert "open to anyone who can reach this machine" in line
    assert "Operation not permitted" in line


def test_the_launcher_needs_no_tensorflow():
    code = "import sys, reskeras.launch.group, reskeras_cli.launch; print({'tensorflow', 'keras'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
