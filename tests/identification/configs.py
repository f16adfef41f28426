"""Models as configurations, without their weights: what a test reads, renames and breaks."""

from __future__ import annotations

import json
import random
import string
import zipfile

import reskeras


def described(config):
    """What Keras writes of a Functional model of this configuration, as `conform` reads it in a file."""
    return {"module": "keras", "class_name": "Functional", "config": config, "registered_name": None}


def config_of(spec=None, **fields):
    """The configuration of a compiled network of small images."""
    return json.loads(json.dumps(reskeras.build(spec, **fields).get_config()))


def renamed(config, seed=0):
    """`config` with every layer and model called something random, wherever its name stands."""
    rng = random.Random(seed)

    def fresh():
        return "".join(rng.choices(string.ascii_lowercase, k=12))

    names = {}
    for layer in config["layers"]:
        names[layer["name"]] = fresh()
        layer["name"] = layer["config"]["name"] = names[layer["name"]]
    config["name"] = fresh()

    def walk(value):
        if isinstance(value, dict):
            return {key: walk(part) for key, part in value.items()}
        if isinstance(value, list):
            if len(value) == 3 and isinstance(value[0], str) and value[0] in names:
                return [names[value[0]], *value[1:]]
            return [walk(part) for part in value]
        return value

    for layer in config["layers"]:
        if isinstance(layer["config"].get("layers"), list):
            layer["config"] = {**renamed(layer["config"], rng.random()), "name": layer["name"]}
        layer["inbound_nodes"] = walk(layer["inbound_nodes"])
    return {**config, "input_layers": walk(config["input_layers"]), "output_layers": walk(config["output_layers"])}


def all_names(config):
    """Every name of a layer in a configuration."""
    for layer in config["layers"]:
        yield layer["name"]
        if isinstance(layer["config"].get("layers"), list):
            yield from all_names(layer["config"])


def archive(path, config, kind="Functional"):
    """A `.keras` archive that holds the configuration alone."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("config.json", json.dumps({"module": "keras", "class_name": kind, "config": config}))
    return path
