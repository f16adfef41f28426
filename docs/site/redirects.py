"""Where the sections of the README of old are now: links to them lead on, by a script on the first page."""

from __future__ import annotations

# the headings that README.md had while it was all the documentation; a target is a page, or an anchor in one
OLD_ANCHORS = {
    "get-started": "index.md",
    "inspect-networks": "commands/list.md",
    "build": "commands/build.md",
    "train-deep-networks": "commands/train.md#recompute",
    "train-evaluate-predict": "commands/train.md",
    "train-on-several-classes-per-image": "commands/train.md",
    "choose-a-recipe": "reference/recipes.md",
    "resume-and-distribute-training": "commands/launch.md",
    "port-pretrained-weights": "commands/port.md",
    "fine-tune": "commands/train.md#from",
    "search-networks-and-recipes": "commands/tune.md",
    "analyse-networks": "commands/analyse.md",
    "reproduce-the-papers": "commands/reproduce.md",
    "identify-a-model": "commands/conform.md",
    "export": "commands/export.md",
    "detect-objects": "commands/detect.md",
    "say-where-the-object-is": "commands/localise.md",
    "use-the-command-line": "commands/index.md",
    "use-from-python": "api.md",
    "differences-from-other-resnets": "catalogue.md",
}
