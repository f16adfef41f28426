"""Saving and loading: deep networks in a fresh process, broken and hostile files refused."""

import json
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest

import reskeras
from reskeras.errors import ReskerasError
from reskeras.graph.load import load_model, save_model
from tests.graph.by_hand import distance

FRESH = """
import sys
import numpy as np
import reskeras
assert sys.getrecursionlimit() == 1000
model = reskeras.load(sys.argv[1])
np.save(sys.argv[2], model(np.load(sys.argv[3]), training=False))
"""


def same_in_a_fresh_process(folder, **fields):
    """Build, save, load in a new Python at its default recursion limit, and compare the answers."""
    assert sys.getrecursionlimit() == 1000
    model = reskeras.build(seed=0, **fields)
    rng = np.random.default_rng(0)
    for _ in range(3):  # a fresh deep net overflows in inference: let its statistics see numbers first
        model(rng.normal(size=(8, *model.input_shape[1:])).astype(np.float32), training=True)
    save_model(model, folder / "net.keras")
    size = model.input_shape[1]
    images = rng.normal(size=(2, size, size, 3)).astype(np.float32)
    np.save(folder / "images.npy", images)
    subprocess.run(
        [sys.executable, "-c", FRESH, folder / "net.keras", folder / "out.npy", folder / "images.npy"],
        check=True,
        timeout=300,
    )
    assert distance(np.load(folder / "out.npy"), model(images, training=False)) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(("order", "skip"), [("original", "identity"), ("full_preact", "dropout")])
def test_a_net_too_deep_for_one_flat_graph_is_built_saved_and_loaded(tmp_path, order, skip):
    same_in_a_fresh_process(
        tmp_path,
        family="cifar",
        stages=[{"units": 260, "width": 4}],
        input_shape=[8, 8, 3],
        stem={"convs": [{"width": 4}]},
        block="single",
        order=order,
        skip=skip,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("units", "fields"),
    [
        (197, {"order": "original"}),
        (390, {"order": "full_preact"}),
        (390, {"order": "full_preact", "skip": "scale"}),
        (131, {"order": "bn_after_add"}),
        (131, {"shortcut": "none"}),
        (98, {"shortcut": "C"}),
    ],
)
def test_the_deepest_flat_graphs_are_built_saved_and_loaded(tmp_path, units, fields):
    fields = {
        "family": "cifar",
        "stages": [{"units": units, "width": 4}],
        "input_shape": [8, 8, 3],
        "block": "single",
        "stem": {"convs": [{"width": 4}]},
        **fields,
    }
    longer = {**fields, "stages": [{"units": units + 8, "width": 4}]}
    assert not any(isinstance(layer, keras.Model) for layer in reskeras.build(**fields).layers)
    assert any(isinstance(layer, keras.Model) for layer in reskeras.build(**longer).layers)
    same_in_a_fresh_process(tmp_path, **fields)


@pytest.mark.slow
def test_1202_layers_are_built_saved_and_loaded(tmp_path):
    same_in_a_fresh_process(tmp_path, family="cifar", depth=1202)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "net.keras"
    save_model(reskeras.build(family="cifar", stages=[1], input_shape=[8, 8, 3]), path)
    return path.read_bytes()


@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.99])
def test_a_truncated_file_is_broken(saved, tmp_path, keep):
    path = tmp_path / "cut.keras"
    path.write_bytes(saved[: keep if isinstance(keep, int) else int(len(saved) * keep)])
    with pytest.raises(ReskerasError, match=r"cut\.keras is broken") as caught:
        load_model(path)
    assert caught.value.status == 1
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("member", ["config.json", "model.weights.h5"])
def test_a_file_without_a_part_is_broken(saved, tmp_path, member):
    (tmp_path / "whole.keras").write_bytes(saved)
    with zipfile.ZipFile(tmp_path / "whole.keras") as whole, zipfile.ZipFile(tmp_path / "part.keras", "w") as part:
        for name in whole.namelist():
            if name != member:
                part.writestr(name, whole.read(name))
    with pytest.raises(ReskerasError, match=r"part\.keras is broken") as caught:
        load_model(tmp_path / "part.keras")
    assert caught.value.status == 1


def test_weights_of_another_network_are_broken(saved, tmp_path):
    wider = {"convs": [{"width": 12}]}
    save_model(reskeras.build(family="cifar", stages=[1], stem=wider, input_shape=[8, 8, 3]), tmp_path / "other.keras")
    (tmp_path / "one.keras").write_bytes(saved)
    with (
        zipfile.ZipFile(tmp_path / "one.keras") as one,
        zipfile.ZipFile(tmp_path / "other.keras") as other,
        zipfile.ZipFile(tmp_path / "mixed.keras", "w") as mixed,
    ):
        for name in one.namelist():
            mixed.writestr(name, (other if name.endswith("h5") else one).read(name))
    with pytest.raises(ReskerasError, match=r"mixed\.keras is broken"):
        load_model(tmp_path / "mixed.keras")


def rewritten(saved, path, member, change, compression=zipfile.ZIP_STORED):
    """The archive `saved` at `path`, with `change` made to the bytes of one member, checksums right."""
    path.write_bytes(saved)
    with zipfile.ZipFile(path) as whole:
        parts = {name: whole.read(name) for name in whole.namelist()}
    with zipfile.ZipFile(path, "w", compression) as changed:
        for name, content in parts.items():
            changed.writestr(name, change(content) if name == member else content)


def layer_changed(name, **fields):
    """A change of config.json that sets fields of the config of one layer."""

    def change(content):
        config = json.loads(content)
        found = [layer for layer in config["config"]["layers"] if layer["name"] == name]
        found[0]["config"].update(fields)
        return json.dumps(config).encode()

    return change


DAMAGE = {
    # what is changed, and what zlib, h5py, Keras, Python or TensorFlow raise for it
    "weights cut": ("model.weights.h5", lambda content: content[: len(content) // 2]),
    "weights without B-trees": ("model.weights.h5", lambda content: content.replace(b"TREE", b"EERT")),
    "weights without names": ("model.weights.h5", lambda content: content.replace(b"HEAP", b"PAEH")),
    "weights of text": ("model.weights.h5", lambda content: b"weights"),
    "configuration cut": ("config.json", lambda content: content[:-20]),
    "configuration of a list": ("config.json", lambda content: b"[]"),
    "configuration without end": ("config.json", lambda content: b"[" * 100_000),
    "an unknown layer": ("config.json", lambda content: content.replace(b'"Conv2D"', b'"Conv9D"')),
    "a policy of a number": ("config.json", layer_changed("stem_conv", dtype=1)),
    "a momentum of text": ("config.json", layer_changed("stem_bn", momentum="x")),
    "a kernel of nothing": ("config.json", layer_changed("stem_conv", kernel_size=[])),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_behind_a_right_checksum_is_named(saved, tmp_path, damage):
    rewritten(saved, tmp_path / "bad.keras", *DAMAGE[damage])
    with pytest.raises(ReskerasError, match=r"bad\.keras is broken") as caught:
        load_model(tmp_path / "bad.keras")
    assert caught.value.status == 1
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_flipped_byte_is_noticed(saved, tmp_path, compression):
    path = tmp_path / "flipped.keras"
    rewritten(saved, path, "", bytes, compression)
    load_model(path)
    content = bytearray(path.read_bytes())
    for place in range(len(content) // 3, len(content) // 3 + 64):
        content[place] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ReskerasError, match=r"flipped\.keras is broken") as caught:
        load_model(path)
    assert caught.value.status == 1


def test_python_code_in_a_file_is_refused_and_not_run(tmp_path):
    ran, image = tmp_path / "ran", keras.Input((4,))
    code = keras.layers.Lambda(lambda x, path: (open(path, "w").close(), x)[1], arguments={"path": str(ran)})
    model = keras.Model(image, code(image))
    ran.unlink()  # building the model ran it
    model.save(tmp_path / "code.keras")
    with pytest.raises(ReskerasError, match=r"code\.keras is broken or not a Keras model: .*[Ll]ambda") as caught:
        load_model(tmp_path / "code.keras")
    assert caught.value.status == 1
    assert not ran.exists()
    # the file is dangerous indeed: without safe mode it runs
    keras.saving.load_model(tmp_path / "code.keras", safe_mode=False)
    assert ran.exists()


@pytest.mark.parametrize(("module", "function"), [("builtins", "print"), ("os", "system"), ("keras.utils", "get_file")])
def test_functions_that_are_no_activations_are_refused(saved, tmp_path, module, function):
    named = {"module": module, "class_name": "function", "config": function, "registered_name": function}
    change = layer_changed("stem_conv", activation=named)
    rewritten(saved, tmp_path / "named.keras", "config.json", change)
    with pytest.raises(ReskerasError, match=r"named\.keras is broken"):
        load_model(tmp_path / "named.keras")


def test_a_missing_file_and_another_kind_of_file_are_wrong_requests(tmp_path):
    (tmp_path / "net.h5").write_bytes(b"")
    for path, named in ((tmp_path / "absent.keras", "file not found"), (tmp_path / "net.h5", "not a .keras file")):
        with pytest.raises(ReskerasError, match=named) as caught:
            load_model(path)
        assert caught.value.status == 2


def test_an_archive_that_unpacks_to_too_much_is_refused(saved, tmp_path, monkeypatch):
    (tmp_path / "net.keras").write_bytes(saved)
    monkeypatch.setattr("reskeras.bounded.LARGEST_UNPACKED", 1000)
    with pytest.raises(ReskerasError, match="unpacks to"):
        load_model(tmp_path / "net.keras")


def test_a_failed_save_leaves_the_file_that_was_there(tmp_path, monkeypatch):
    model = reskeras.build(family="cifar", stages=[1], input_shape=[8, 8, 3])
    save_model(model, tmp_path / "net.keras")
    before = (tmp_path / "net.keras").read_bytes()

    def half(self, path, *args, **kwargs):
        path.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(keras.Model, "save", half)
    with pytest.raises(ReskerasError, match=r"net\.keras cannot be written: no space left"):
        save_model(model, tmp_path / "net.keras")
    assert (tmp_path / "net.keras").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["net.keras"]
