"""Which cluster a process is in: TF_CONFIG and Slurm's variables, right and wrong."""

import json

import pytest
import tensorflow as tf
from tensorflow.python.distribute.cluster_resolver import slurm_cluster_resolver

from reskeras.errors import ReskerasError
from reskeras.launch.cluster import Cluster, cluster, expand_nodes

WORKERS = ["a:1", "b:2", "c:3"]


def configured(cluster_part, task):
    return {"TF_CONFIG": json.dumps({"cluster": cluster_part, "task": task})}


@pytest.mark.parametrize("index", [0, 1, 2])
def test_tf_config_is_read_as_tensorflow_reads_it(index, monkeypatch):
    environ = configured({"worker": WORKERS}, {"type": "worker", "index": index})
    monkeypatch.setenv("TF_CONFIG", environ["TF_CONFIG"])
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    found = cluster()
    assert found == cluster(environ) == Cluster(tuple(WORKERS), index)
    assert list(found.workers) == resolver.cluster_spec().job_tasks("worker")
    assert found.index == resolver.task_id
    assert found.is_chief == (index == 0)
    assert found.tf_config() == json.loads(environ["TF_CONFIG"])


def test_a_chief_is_the_first_worker():
    parts = {"worker": ["b:2", "c:3"], "chief": ["a:1"]}
    assert cluster(configured(parts, {"type": "chief", "index": 0})) == Cluster(tuple(WORKERS), 0)
    assert cluster(configured(parts, {"type": "worker", "index": "1"})) == Cluster(tuple(WORKERS), 2)


VERTEX = {
    "workerpool0": ["cmle-training-workerpool0-ab-0:2222"],
    "workerpool1": ["cmle-training-workerpool1-ab-0:2222", "cmle-training-workerpool1-ab-1:2222"],
    "workerpool3": ["cmle-training-workerpool3-ab-0:2222"],
}
KUBEFLOW = {
    "chief": ["mnist-chief-0.kubeflow.svc:2222"],
    "worker": ["mnist-worker-0.kubeflow.svc:2222", "mnist-worker-1.kubeflow.svc:2222"],
    "evaluator": ["mnist-evaluator-0.kubeflow.svc:2222"],
    "ps": [],
}
SAGEMAKER = {
    "master": ["algo-1:2222"],
    "ps": ["algo-1:2223", "algo-2:2223", "algo-3:2223"],
    "worker": ["algo-2:2222", "algo-3:2222"],
}


@pytest.mark.parametrize(
    ("variable", "jobs", "members", "others"),
    [
        ("CLUSTER_SPEC", VERTEX, ("workerpool0", "workerpool1"), ["workerpool2", "workerpool3"]),
        ("TF_CONFIG", KUBEFLOW, ("chief", "worker"), ["evaluator", "ps"]),
        ("TF_CONFIG", SAGEMAKER, ("master", "worker"), ["ps"]),
    ],
)
def test_what_clouds_set_is_understood_and_tasks_that_take_no_part_are_refused(variable, jobs, members, others):
    def read(kind, index):
        task = {"type": kind, "index": index, "cloud": "what the trainer does not need"}
        return cluster({variable: json.dumps({"cluster": jobs, "task": task, "environment": "cloud", "job": "{}"})})

    workers = (*jobs[members[0]], *jobs[members[1]])
    assert [read(members[0], 0), read(members[1], 0), read(members[1], 1)] == [
        Cluster(workers, index) for index in range(3)
    ]
    for kind in others:
        with pytest.raises(ReskerasError, match=f"{variable}: task.type: {kind}: .*; ") as told:
            read(kind, 0)
        assert (told.value.status, "\n" in str(told.value)) == (2, False)


def test_an_evaluator_is_told_what_to_do_though_no_cluster_lists_it():
    parts = {"chief": ["a:1"], "worker": ["b:2"]}  # as tf.estimator wanted it
    with pytest.raises(ReskerasError, match=r"the chief evaluates after each epoch.*unset TF_CONFIG.*evaluate RUN"):
        cluster(configured(parts, {"type": "evaluator", "index": 0}))


def test_a_worker_that_knows_only_itself_is_told_why():
    text = '{"sparseCluster": {"worker": {"1": "a:1"}, "ps": []}, "task": {"type": "worker", "index": 1}}'
    with pytest.raises(ReskerasError, match=r"sparseCluster lists only some.*enableDynamicWorker"):
        cluster({"TF_CONFIG": text})


def test_tf_config_goes_before_vertex_own_variable_and_a_single_replica_is_a_cluster_of_one():
    spec = {"cluster": {"workerpool0": ["localhost:2222"]}, "task": {"type": "workerpool0", "index": 0}}
    alone = {"CLUSTER_SPEC": json.dumps(spec)}
    assert cluster(alone) == Cluster(("localhost:2222",), 0)
    parts = {"worker": WORKERS}
    assert cluster({**alone, **configured(parts, {"type": "worker", "index": 1})}) == Cluster(tuple(WORKERS), 1)


WORKER = {"type": "worker", "index": 0}


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "null",
        "[]",
        '"x"',
        "[" * 100_000,
        json.dumps({"cluster": 1}),
        json.dumps({"task": WORKER}),
        *(
            json.dumps({"cluster": {"worker": workers}, "task": WORKER})
            for workers in (
                [],
                {"0": "a:1"},
                [None],
                ["a"],
                ["a:"],
                [":1"],
                ["a:99999"],
                ["a:²"],
                ["a b:1"],
                ["http://a:1"],
                ["a:1", "a:1"],
                ["A:1", "a:1"],
                ["a:" + "9" * 5000],
            )
        ),
        *(
            json.dumps({"cluster": {"worker": ["a:1"]}, "task": task})
            for task in (
                [],
                {},
                {"type": ["worker"], "index": 0},
                {"type": "worker"},
                {"type": "worker", "index": 1},
                {"type": "worker", "index": True},
                {"type": "worker", "index": "²"},
                {"type": "worker", "index": "9" * 5000},
            )
        ),
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": ' + "9" * 5000 + "}}",
    ],
)
def test_a_tf_config_of_an_odd_shape_is_told_in_a_line(text):
    with pytest.raises(ReskerasError, match="TF_CONFIG: ") as told:
        cluster({"TF_CONFIG": text})
    assert (told.value.status, "\n" in str(told.value)) == (2, False)


@pytest.mark.parametrize(
    "changes",
    [
        {"SLURM_NODELIST": "n[1-999999999]"},
        {"SLURM_NODELIST": "n[1-9999][1-9999]"},
        {"SLURM_NTASKS": "9" * 5000},
        {"SLURM_TASKS_PER_NODE": "1(x999999999)"},
        {"SLURM_PROCID": "²"},
    ],
)
def test_slurm_variables_that_would_fill_the_memory_are_refused(changes):
    with pytest.raises(ReskerasError, match=next(iter(changes))):
        cluster({"SLURM_PROCID": "0", "SLURM_NTASKS": "2", "SLURM_NODELIST": "n[1-2]", **changes})


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"TF_CONFIG": ""},
        {"TF_CONFIG": "{}"},
        # a single machine of AI Platform, and of Vertex AI
        {"TF_CONFIG": '{"environment": "cloud", "cluster": {}, "job": {"scale_tier": "BASIC"}, "task": {}}'},
        {"TF_CONFIG": '{"cluster": {}, "task": {"type": "chief", "index": 0}, "environment": "cloud"}'},
        {"CLUSTER_SPEC": "of something else"},
    ],
)
def test_without_anything_there_is_no_cluster(environ):
    assert cluster(environ) is None


def test_one_worker_is_a_cluster():
    alone = cluster(configured({"worker": ["a:1"]}, {"type": "worker", "index": 0}))
    assert alone == Cluster(("a:1",), 0)
    assert alone.is_chief


WORKER = {"type": "worker", "index": 0}


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"cluster": {"worker": WORKERS}}, "task is missing"),
        ({"task": WORKER}, "cluster is missing"),
        (
            {"cluster": {"worker": WORKERS}, "task": {"type": "worker", "index": 3}},
            "index: 3: should be an integer between 0 and 2",
        ),
        (
            {"cluster": {"worker": WORKERS}, "task": {"type": "worker", "index": -1}},
            "index: -1: should be an integer between 0 and 2",
        ),
        (
            {"cluster": {"worker": WORKERS}, "task": {"type": "worker", "index": True}},
            "index: True: should be an integer",
        ),
        ({"cluster": {"worker": WORKERS}, "task": {"type": "worker"}}, "index: None: should be an integer"),
        ({"cluster": {"worker": WORKERS}, "task": {"type": "chief", "index": 0}}, "type: 'chief' is not one of"),
        ({"cluster": {"worker": ["a"]}, "task": WORKER}, "'a' is not host:port"),
        ({"cluster": {"worker": ["a:99999"]}, "task": WORKER}, "'a:99999' is not host:port"),
        ({"cluster": {"worker": "a:1"}, "task": WORKER}, "not a list of host:port"),
        ({"cluster": {"worker": ["a:1", "a:1"]}, "task": WORKER}, "twice"),
        ({"cluster": {"worker": WORKERS, "pss": ["d:4"]}, "task": WORKER}, "'pss' is not one of chief, master, worker"),
        ({"cluster": {"chief": ["a:1"], "master": ["b:1"]}, "task": {"type": "chief", "index": 0}}, "are 2 chiefs"),
        ([1], "not an object"),
        ("{'cluster'", "is not JSON"),
    ],
)
def test_a_wrong_tf_config_is_told_by_name(config, told):
    text = config if isinstance(config, str) else json.dumps(config)
    with pytest.raises(ReskerasError) as caught:
        cluster({"TF_CONFIG": text})
    assert str(caught.value).startswith("TF_CONFIG: ")
    assert told in str(caught.value)
    assert caught.value.status == 2
    assert "\n" not in str(caught.value)


SLURM = {
    "SLURM_JOB_ID": "77",
    "SLURM_STEP_ID": "0",
    "SLURM_PROCID": "3",
    "SLURM_NTASKS": "5",
    "SLURM_STEP_NODELIST": "node[01-02],gpu7",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2),1",
    "SLURM_NODEID": "1",
}


def test_slurm_tasks_stand_where_srun_puts_them():
    found = cluster(SLURM)
    hosts, ports = zip(*(worker.split(":") for worker in found.workers), strict=True)
    assert hosts == ("node01", "node01", "node02", "node02", "gpu7")
    assert found.index == 3
    first = int(ports[0])
    assert [int(port) - first for port in ports] == [0, 1, 0, 1, 0]
    assert 1024 < first < 32768
    everyone = [
        cluster({**SLURM, "SLURM_PROCID": str(task), "SLURM_NODEID": node}) for task, node in enumerate("00112")
    ]
    assert {each.workers for each in everyone} == {found.workers}
    assert [each.index for each in everyone] == [0, 1, 2, 3, 4]


def test_slurm_jobs_on_one_node_have_ports_of_their_own():
    workers = [
        cluster({**SLURM, "SLURM_JOB_ID": job, "SLURM_STEP_ID": step}).workers[4]
        for job, step in (("77", "0"), ("90", "0"), ("77", "1"))
    ]
    assert len(set(workers)) == 3


def test_slurm_needs_only_the_number_of_tasks_and_the_nodes():
    found = cluster({"SLURM_PROCID": "1", "SLURM_NTASKS": "4", "SLURM_JOB_NODELIST": "node[1-3,7]"})
    assert [worker.partition(":")[0] for worker in found.workers] == ["node1", "node2", "node3", "node7"]
    assert found.index == 1


def test_a_batch_script_is_no_task_and_tf_config_goes_first():
    batch = {"SLURM_JOB_ID": "77", "SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_JOB_NODELIST": "n[1-4]"}
    assert cluster(batch) is None
    assert cluster({**SLURM, **configured({"worker": WORKERS}, WORKER)}) == Cluster(tuple(WORKERS), 0)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"SLURM_PROCID": "5"}, "SLURM_PROCID: 5: should be between 0 and 4"),
        ({"SLURM_PROCID": "x"}, "SLURM_PROCID: 'x' is not an integer"),
        ({"SLURM_NTASKS": ""}, "SLURM_STEP_NUM_TASKS or SLURM_NTASKS: missing"),
        ({"SLURM_STEP_NODELIST": "node[1-"}, "SLURM_STEP_NODELIST: 'node[1-' is not a list of nodes"),
        ({"SLURM_STEP_TASKS_PER_NODE": "2,2"}, "SLURM_STEP_TASKS_PER_NODE: 2,2 means 4 tasks on 2 nodes"),
        ({"SLURM_STEP_TASKS_PER_NODE": "many"}, "SLURM_STEP_TASKS_PER_NODE: 'many' is not of the form"),
        ({"SLURM_NODEID": "2"}, "srun --distribution=block"),
    ],
)
def test_a_wrong_slurm_variable_is_told_by_name(change, told):
    with pytest.raises(ReskerasError) as caught:
        cluster({**SLURM, **change})
    assert told in str(caught.value)


def test_tasks_that_are_not_equally_many_need_their_variable():
    with pytest.raises(ReskerasError, match="SLURM_STEP_TASKS_PER_NODE: missing, and 5 tasks"):
        cluster({"SLURM_PROCID": "0", "SLURM_NTASKS": "5", "SLURM_JOB_NODELIST": "n[1-2]"})


@pytest.mark.parametrize("text", ["node[1-3,7]", "n[001-012],m5,o[3-4,6,7-9]", "alone", "a-b[09-11]", "x,y,z1"])
def test_node_lists_expand_as_in_tensorflow(text):
    assert expand_nodes(text) == slurm_cluster_resolver.expand_hostlist(text)


def test_brackets_multiply_and_may_stand_anywhere():
    assert expand_nodes("r[1-2]n[08-09].hpc") == ["r1n08.hpc", "r1n09.hpc", "r2n08.hpc", "r2n09.hpc"]


@pytest.mark.parametrize("text", ["", "n[1-3", "n1]", "n[3-1]", "n[]", "n[a-b]", "a,,b", "a,", "n[1-]", "n[1-2-3]"])
def test_what_is_no_node_list_is_refused(text):
    with pytest.raises(ReskerasError, match=r"nodes: .* is not a list of nodes"):
        expand_nodes(text)
