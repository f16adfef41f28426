"""Cores and memory of this process, against the system's own figures and against made control groups."""

import os
import subprocess
import sys

import pytest

from reskeras.machine import cores, memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="affinity and control groups are of Linux")


def system(folder, groups, **files):
    """A made /proc and /sys: what /proc/self/cgroup says, and files of control groups by path ('__' for '/')."""
    (folder / "proc/self").mkdir(parents=True)
    (folder / "proc/self/cgroup").write_text(groups)
    for path, text in files.items():
        file = folder / "sys/fs/cgroup" / path.replace("__", "/").replace("_dot_", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


def installed():
    """Bytes of memory that the kernel tells."""
    with open("/proc/meminfo", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemTotal:"))


def test_cores_are_those_that_the_process_may_run_on():
    code = (
        "import os; from reskeras.machine import cores; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "print(cores())"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"


def test_without_control_groups_it_is_the_machine_s_memory(tmp_path):
    assert memory(tmp_path) == installed()
    assert cores(tmp_path) == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("max 100000", None),
        ("50000 100000", 1),
        ("100000 100000", 1),
        ("150000 100000", 2),
        ("", None),
        ("x y", None),
        ("100000 0", None),
    ],
)
def test_a_quota_of_processor_time_bounds_the_cores(tmp_path, monkeypatch, words, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    assert cores(system(tmp_path, "0::/pod/box\n", pod__box__cpu_dot_max=words)) == (expected or 64)


def test_the_tightest_of_nested_groups_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    made = system(
        tmp_path,
        "0::/pod/box\n",
        pod__box__memory_dot_max="max\n",
        pod__memory_dot_max="1000000\n",
        memory_dot_max="2000000\n",
        pod__cpu_dot_max="300000 100000\n",
        cpu_dot_max="700000 100000\n",
    )
    assert memory(made) == 1_000_000
    assert cores(made) == 3


def test_groups_of_version_1_have_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    made = system(
        tmp_path,
        "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n3:cpuset:/\n",
        **{
            "cpu,cpuacct__cpu_dot_cfs_quota_us": "250000",
            "cpu,cpuacct__cpu_dot_cfs_period_us": "100000",
            "memory__docker__abc__memory_dot_limit_in_bytes": "3000000",
            "memory__memory_dot_limit_in_bytes": "9223372036854771712",
        },
    )  # that is: no limit
    assert (cores(made), memory(made)) == (3, 3_000_000)


def test_an_unlimited_group_of_version_1_bounds_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    made = system(
        tmp_path,
        "2:cpu:/\n1:memory:/\n",
        cpu__cpu_dot_cfs_quota_us="-1",
        cpu__cpu_dot_cfs_period_us="100000",
        memory__memory_dot_limit_in_bytes="9223372036854771712",
    )
    assert (cores(made), memory(made)) == (64, installed())


def test_a_limit_of_the_address_space_counts():
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30));"
        "from reskeras.machine import memory; print(memory())"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(told) <= 1 << 30
