"""Where the sections of the README of old are now: links to them lead on, by a script on the first page."""

from __future__ import annotations

# the headings that README.md had while it was all the documentation; a target is a page, or an anchor in one
OLD_ANCHORS = {
    "get-started": "guides/install.md",
    "inspect-networks": "guides/networks.md",
    "build": "guides/networks.md",
    "train-deep-networks": "guides/networks.md#very-deep-networks",
    "train-evaluate-predict": "guides/train.md",
    "train-on-several-classes-per-image": "guides/multilabel.md",
    "choose-a-recipe": "guides/recipes.md",
    "resume-and-distribute-training": "guides/machines.md",
    "port-pretrained-weights": "guides/port.md",
    "fine-tune": "guides/fine-tune.md",
    "search-networks-and-recipes": "guides/search.md",
    "analyse-networks": "guides/analyse.md",
    "reproduce-the-papers": "guides/reproduce.md",
    "identify-a-model": "guides/identify.md",
    "export": "guides/serve.md",
    "detect-objects": "guides/detect.md",
    "say-where-the-object-is": "guides/localise.md",
    "use-the-command-line": "guides/command-line.md",
    "use-from-python": "guides/python.md",
    "differences-from-other-resnets": "guides/networks.md#how-these-networks-differ-from-other-libraries",
}
