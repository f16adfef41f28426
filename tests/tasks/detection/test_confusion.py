"""The confusion matrix of detections, and images by what went wrong in them, against plain loops and by hand."""

import json

import numpy as np
import pytest

from reskeras.tasks.detection.confusion import confusion
from reskeras.tasks.detection.image_ranks import RANK_KINDS, image_ranks
from reskeras.tasks.detection.mistakes import mistakes
from tests.tasks.detection.by_hand import overlap
from tests.tasks.detection.scenes import annotated, detected, drawn

CAT, DOG = 0, 1
NAMES = ("cat", "dog")
BOX, OTHER = (0, 0, 100, 100), (100, 100, 150, 150)


def by_loops(detections, objects, classes, least=0.5, score=0.5):
    """Candidates sorted in plain Python, and taken while both are free."""
    table = [[0] * (classes + 1) for _ in range(classes + 1)]
    for image in range(objects.count):
        found = [
            (label, tuple(box))
            for at, label, sure, box in zip(
                detections.image, detections.labels, detections.scores, detections.boxes.tolist(), strict=True
            )
            if at == image and sure >= np.float32(score)
        ]
        own = range(objects.starts[image], objects.starts[image + 1])
        pairs = []
        for place, (label, box) in enumerate(found):
            for row in own:
                share = overlap(box, tuple(objects.boxes[row].tolist()))
                if share >= least:
                    pairs.append((bool(objects.ignored[row]), label != objects.labels[row], -share, place, row))
        free, open_ = set(range(len(found))), set(own)
        for ignored, _, _, place, row in sorted(pairs):
            if place in free and row in open_:
                free.remove(place)
                open_.remove(row)
                if not ignored:
                    table[objects.labels[row]][found[place][0]] += 1
        for place in free:
            if not any(pair[0] and pair[3] == place for pair in pairs):
                table[classes][found[place][0]] += 1
        for row in open_:
            if not objects.ignored[row]:
                table[objects.labels[row]][classes] += 1
    return table


@pytest.mark.parametrize("seed", range(20))
def test_the_matrix_is_that_of_plain_loops(seed):
    generator = np.random.default_rng(seed)
    objects, detections = drawn(generator, 4, images=12, whole=seed % 2 == 0)
    for score in (0.0, 0.5, 0.8):
        found = confusion(detections, objects, ("a", "b", "c", "d"), score=score)
        assert found.counts.tolist() == by_loops(detections, objects, 4, score=score)
        wanted = np.bincount(objects.labels[~objects.ignored], minlength=4)
        assert found.counts[:-1].sum(axis=1).tolist() == wanted.tolist()  # each object once
        sure = np.bincount(detections.labels[detections.scores >= score], minlength=4)
        assert (found.counts[:, :-1].sum(axis=0) <= sure).all()
        assert found.counts[-1, -1] == 0


def counted(objects, rows, **limits):
    return confusion(detected(rows), annotated([objects]), NAMES, **limits).counts.tolist()


def test_what_is_found_missed_confused_and_background():
    objects = [(*BOX, CAT), (*OTHER, DOG)]
    assert counted(objects, []) == [[0, 0, 1], [0, 0, 1], [0, 0, 0]]
    assert counted(objects, [(0, CAT, 0.9, *BOX), (0, CAT, 0.6, *OTHER)]) == [[1, 0, 0], [1, 0, 0], [0, 0, 0]]
    assert counted(objects, [(0, CAT, 0.9, *BOX), (0, CAT, 0.8, *BOX)]) == [[1, 0, 0], [0, 0, 1], [1, 0, 0]]
    assert counted(objects, [(0, CAT, 0.4, *BOX)]) == [[0, 0, 1], [0, 0, 1], [0, 0, 0]]
    assert counted(objects, [(0, CAT, 0.4, *BOX)], score=0.4) == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]
    assert counted(objects, [(0, CAT, 0.9, 0, 0, 100, 60)], overlap=0.7) == [[0, 0, 1], [0, 0, 1], [1, 0, 0]]


def test_an_object_of_its_own_class_comes_first():
    objects = [(*BOX, DOG), (0, 0, 100, 60, CAT)]
    assert counted(objects, [(0, CAT, 0.9, *BOX)]) == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]


def test_ignored_objects_count_nowhere():
    crowd = [(*BOX, CAT, "crowd")]
    rows = [(0, CAT, 0.9, *BOX), (0, CAT, 0.8, *BOX), (0, DOG, 0.7, *OTHER)]
    assert counted(crowd, rows) == [[0, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_it_is_told_by_name():
    found = confusion(detected([(0, CAT, 0.9, *OTHER), (0, DOG, 0.9, *BOX)]), annotated([[(*BOX, CAT)]]), NAMES)
    assert found.most_confused() == [("cat", "dog", 1), ("background", "cat", 1)]
    plain = json.loads(json.dumps(found.as_dict()))
    assert (plain["rows"], plain["columns"]) == (["cat", "dog", "background"], ["cat", "dog", "missed"])
    assert (plain["overlap"], plain["score"], plain["counts"]) == (0.5, 0.5, found.counts.tolist())


def test_images_are_ranked_by_how_much_went_wrong():
    scene = annotated([[(*BOX, CAT)], [(*BOX, CAT), (*OTHER, DOG)], [(*BOX, DOG, "difficult")], [(*BOX, CAT)]])
    rows = [
        (0, CAT, 0.9, *BOX),
        (1, DOG, 0.9, *BOX),
        (2, CAT, 0.4, *OTHER),
        (3, CAT, 0.8, *BOX),
        (3, CAT, 0.7, *BOX),
        (3, CAT, 0.3, *BOX),
    ]
    ranks = image_ranks(mistakes(detected(rows), scene, NAMES), scene)
    assert [each.image for each in ranks] == [1, 3]
    assert [each.describe() for each in ranks] == ["2 missed, 1 confused", "1 duplicate"]
    assert [each.wrong for each in ranks] == [3, 1]
    assert len(ranks[0].counts) == len(RANK_KINDS)
    unsure = mistakes(detected([(3, CAT, 0.4, *BOX)]), scene, NAMES)
    assert [each.image for each in image_ranks(unsure, scene)] == [1, 0, 3]  # what is found with 0.4 is missed
    assert [each.image for each in image_ranks(unsure, scene, score=0.4)] == [1, 0]


@pytest.mark.parametrize("seed", range(5))
def test_ranks_add_up_to_what_the_mistakes_count(seed):
    objects, detections = drawn(np.random.default_rng(seed), 3)
    found = mistakes(detections, objects, ("a", "b", "c"))
    ranks = image_ranks(found, objects)
    assert [each.wrong for each in ranks] == sorted((each.wrong for each in ranks), reverse=True)
    sums = np.sum([each.counts for each in ranks], axis=0)
    assert sums[1:].tolist() == [each.sure for each in found.table[:-1]]
    every = image_ranks(found, objects, score=0.0)
    assert sum(each.counts[0] for each in every) == (~objects.ignored & ~found.found).sum()
