"""Advice is a function of what was found: for GPUs of every generation, for each reason why TensorFlow has none."""

from dataclasses import replace

import pytest

from reskeras.diagnosis.advice import findings
from reskeras.diagnosis.facts import Build, Choices, Diagnosis, Driver, Gpu, Machine, Place, Speed
from reskeras.diagnosis.kernels import code_for, cuda_version, described, least_capability

PUBLISHED = ("sm_60", "sm_70", "sm_80", "sm_89", "compute_90")  # of TensorFlow 2.21's package
BUILD = Build("2.21.0", "3.15.1", "12.5.1", "9", PUBLISHED)
H200, V100, K80 = Gpu("H200", (9, 0), 150 << 30), Gpu("V100", (7, 0), 16 << 30), Gpu("K80", (3, 7), 12 << 30)
L4, T4, RTX5090 = Gpu("L4", (8, 9)), Gpu("T4", (7, 5)), Gpu("RTX 5090", (12, 0))
MACHINE = Machine(BUILD, Driver(), (), None, 8, 8, 32 << 30, ("mixed_bfloat16",), Place("/home", 100 << 30))
NOT_MEASURED = Speed()
CHOICES = Choices("net", "quick", "one", 1, 1, 64, "mixed_bfloat16", True, "unrolled", 1 << 20, 1 << 20)


def driver(*gpus, **facts):
    files = tuple(f"/dev/nvidia{index}" for index in range(len(gpus)))
    return Driver(**{"loaded": True, "version": "580.1", "devices": files, "cuda": (13, 0), "gpus": gpus, **facts})


def advised(machine=MACHINE, choices=CHOICES, speed=NOT_MEASURED):
    return [f"{each.level}: {each.text}" for each in findings(machine, choices, speed)]


def with_gpus(*gpus, **facts):
    return replace(MACHINE, gpus=gpus, driver=driver(*gpus, **facts))


@pytest.mark.parametrize(
    ("capability", "kernels", "expected"),
    [
        ((9, 0), PUBLISHED, "PTX"),
        ((8, 0), PUBLISHED, "machine code"),
        ((8, 6), PUBLISHED, "machine code"),  # 8.0's runs on every 8.x
        ((8, 9), PUBLISHED, "machine code"),
        ((7, 5), PUBLISHED, "machine code"),
        ((12, 0), PUBLISHED, "PTX"),
        ((3, 7), PUBLISHED, None),
        ((5, 2), PUBLISHED, None),
        ((7, 0), ("sm_75",), None),  # machine code does not run on a lower minor number
        ((8, 0), ("sm_70",), None),  # nor on another major one
        ((8, 0), ("sm_70", "compute_70"), "PTX"),
        ((9, 0), ("sm_90a",), "machine code"),
        ((10, 0), ("compute_90a",), None),  # for 9.0 alone
        ((10, 3), ("10.0",), "machine code"),
        ((12, 0), ("10.0",), "PTX"),
        ((8, 0), (), None),
        ((8, 0), ("gfx90a", "nonsense"), None),
    ],
)
def test_kernels_fit_a_gpu_by_cuda_s_rules(capability, kernels, expected):
    assert code_for(capability, kernels) == expected


def test_kernels_are_described_and_versions_read():
    assert described(PUBLISHED) == "machine code for 6.0, 7.0, 8.0, 8.9; PTX for 9.0"
    assert described(("8.0",)) == "machine code for 8.0; PTX for 8.0"
    assert least_capability(PUBLISHED) == (6, 0) and least_capability(()) is None
    assert [cuda_version(text) for text in ("12.5.1", "64_112", None)] == [(12, 5), None, None]


@pytest.mark.parametrize("gpu", [V100, L4, T4])
def test_a_gpu_with_machine_code_needs_no_advice(gpu):
    assert advised(with_gpus(gpu)) == []


def test_h200_s_kernels_are_compiled_by_the_driver():
    [line] = advised(with_gpus(H200, H200))
    assert line.startswith("warning: H200 (compute capability 9.0): the driver compiles TensorFlow's kernels from PTX")
    [old] = advised(with_gpus(H200, cuda=(12, 2)))
    assert old.startswith("problem: ") and "a driver for CUDA 12.2 cannot do; update the driver" in old


def test_blackwell_is_newer_than_the_build_s_cuda():
    newer, compiled = advised(with_gpus(RTX5090))
    assert (
        "newer than this TensorFlow's CUDA 12.5.1, and kernels may fail; use a build with CUDA 12.8 or later" in newer
    )
    assert "from PTX" in compiled
    fitting = replace(BUILD, cuda="12.9.0", kernels=(*PUBLISHED, "sm_120"))
    assert advised(replace(with_gpus(RTX5090), build=fitting)) == []


def test_gpus_of_several_generations_go_by_the_weakest():
    [line] = advised(with_gpus(L4, V100))
    assert line.startswith("warning: GPUs of several generations (L4 (compute capability 8.9), V100")


def test_an_old_gpu_beside_a_good_one_is_named():
    [line] = advised(replace(with_gpus(V100), driver=driver(V100, K80)))
    assert line.startswith("warning: TensorFlow uses 1 of 2 GPUs; K80 (compute capability 3.7) is older than 6.0")


@pytest.mark.parametrize(
    ("facts", "level", "words"),
    [
        ({}, "note", "no GPU in this system: training runs on 8 cores"),
        ({"driver": driver(H200), "visible": "-1"}, "note", "CUDA_VISIBLE_DEVICES='-1' hides the GPUs"),
        ({"driver": driver(H200), "visible": ""}, "note", "CUDA_VISIBLE_DEVICES='' hides the GPUs"),
        ({"driver": driver(H200), "visible": "0"}, "problem", "pip install 'tensorflow[and-cuda]' (nvidia-cudnn-cu12)"),
        ({"driver": driver(H200)}, "problem", "TensorFlow cannot load CUDA's libraries; pip install 'tensorflow[and"),
        (
            {"driver": driver(H200), "build": BUILD},
            "problem",
            "although they are installed; unset LD_LIBRARY_PATH if it leads to others",
        ),
        (
            {"driver": driver(H200), "build": Build("2.21.0", "3.15.1")},
            "problem",
            "this TensorFlow is built without CUDA; pip install 'tensorflow[and-cuda]'",
        ),
        ({"driver": Driver(loaded=True)}, "problem", "start the container with docker run --gpus all"),
        (
            {"driver": driver(H200, forbidden=("/dev/nvidia0",))},
            "problem",
            "/dev/nvidia0 may not be opened by this user",
        ),
        (
            {"driver": driver(H200, cuda=(11, 4))},
            "problem",
            "runs CUDA 11.4 at most, and TensorFlow is built with 12.5",
        ),
        ({"driver": driver(K80)}, "problem", "K80 (compute capability 3.7) is older than 6.0, the oldest generation"),
        (
            {"driver": replace(driver(H200), gpus=(), error="cuInit fails with 803, its library")},
            "problem",
            "a GPU is not used: cuInit fails with 803, its library",
        ),
        ({"driver": Driver(amd=True)}, "problem", "AMD has builds of its own, tensorflow-rocm"),
    ],
)
def test_why_tensorflow_has_no_gpu_and_what_to_do(facts, level, words):
    machine = replace(MACHINE, build=replace(BUILD, missing=("nvidia-cudnn-cu12",)))
    machine = replace(machine, **facts)
    [line] = advised(machine)
    assert line.startswith(f"{level}: ") and words in line
    assert Diagnosis(machine, CHOICES, Speed(), findings(machine, CHOICES, Speed())).healthy == (level == "note")


def test_what_training_refuses_and_xla_cannot_are_problems_only_where_they_matter():
    broken = replace(with_gpus(L4), xla_error="libdevice not found at ./libdevice.10.bc")
    [line] = advised(broken)
    assert line.startswith("problem: XLA cannot compile here (libdevice not found")
    assert "XLA_FLAGS=--xla_gpu_cuda_data_dir=DIR to a CUDA toolkit; set xla: false in the recipe" in line
    [line] = advised(broken, replace(CHOICES, xla=False))
    assert line.startswith("note: ") and line.endswith("auto does without it")
    [line] = advised(with_gpus(L4), replace(CHOICES, refusal="batch_size: 64 cannot be split"))
    assert line == "problem: training would be refused: batch_size: 64 cannot be split"


def test_a_failed_step_is_a_problem_with_what_helped_others():
    [line] = advised(with_gpus(L4), speed=Speed(failure="DNN library initialization failed."))
    assert line.startswith("problem: a training step fails: DNN library") and "nvidia-smi" in line
    [line] = advised(with_gpus(L4), speed=Speed(failure="something else"))
    assert line == "problem: a training step fails: something else"


def test_an_input_that_is_too_slow_for_a_gpu_is_a_warning_with_the_cores_it_needs():
    slow = Speed(step=3000.0, input=600.0, data="folder:x", images=1000)
    [line] = advised(with_gpus(L4), speed=slow)
    assert line.startswith("warning: the input makes 600 images/s and the steps could take 3,000; use about 40 cores")
    assert (slow.expected, slow.bottleneck) == (600.0, "input")
    assert advised(with_gpus(L4), speed=replace(slow, input=9000.0)) == []
    shared = Speed(step=100.0, input=300.0, shared=True)
    assert shared.expected == pytest.approx(75) and shared.bottleneck == "compute"
    assert Speed(step=5.0).expected == 5.0 and Speed(step=5.0).bottleneck is None


def test_limits_and_places_are_named():
    tight = replace(with_gpus(L4), processors=64, place=Place("/ro", 1 << 30, "saved_models: read-only"))
    lines = advised(tight, replace(CHOICES, run_bytes=2 << 30))
    assert lines == [
        "warning: runs cannot be written here: saved_models: read-only; use --out",
        "note: a limit (affinity, container or job) leaves 8 cores of 64; images are decoded on them",
    ]
    [full] = advised(replace(with_gpus(L4), place=Place("/", 1 << 30)), replace(CHOICES, run_bytes=2 << 30))
    assert full.startswith("warning: a run of net takes about 2.0 GiB with its training states and models, and 1.0 GiB")
    lines = advised(replace(MACHINE, halves=()))
    assert "note: this processor has no bf16 units (AVX512_BF16, AMX); training computes in float32" in lines
