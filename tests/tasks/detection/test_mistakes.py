"""Mistakes of a detector are sorted by kind, and mending a kind is worth what it is worth."""

import json

import numpy as np
import pytest

from reskeras.tasks.detection.average_precision import Detections, voc_precision
from reskeras.tasks.detection.mistakes import (
    BACKGROUND,
    BOTH,
    CONFUSED,
    CORRECT,
    DUPLICATE,
    IGNORED,
    KINDS,
    LOCALISATION,
    MISSED,
    WORDS,
    mistakes,
)
from tests.tasks.detection.scenes import annotated, detected, drawn

CAT, DOG = 0, 1
NAMES = ("cat", "dog")
BOX = (0, 0, 100, 100)
HALF = (0, 0, 100, 30)  # of BOX, an overlap of 0.3


def kinds_of(objects, rows):
    return mistakes(detected(rows), objects, NAMES).kinds.tolist()


@pytest.mark.parametrize(
    ("label", "box", "kind"),
    [
        (CAT, BOX, CORRECT),
        (CAT, (0, 0, 100, 50), CORRECT),
        (CAT, (0, 0, 100, 49), LOCALISATION),
        (CAT, (0, 0, 100, 10), LOCALISATION),
        (CAT, (0, 0, 100, 9), BACKGROUND),
        (DOG, BOX, CONFUSED),
        (DOG, HALF, BOTH),
        (DOG, (0, 0, 100, 9), BACKGROUND),
        (CAT, (110, 110, 150, 150), BACKGROUND),
        (CAT, (5, 5, 5, 5), BACKGROUND),
    ],
)
def test_one_detection_near_one_cat(label, box, kind):
    assert kinds_of(annotated([[(*BOX, CAT)]]), [(0, label, 0.9, *box)]) == [kind]


def test_the_surest_is_correct_and_the_others_are_duplicates_whatever_their_order():
    rows = [(0, CAT, 0.3, *BOX), (0, CAT, 0.9, 0, 0, 100, 80), (0, CAT, 0.5, *BOX)]
    found = mistakes(detected(rows), annotated([[(*BOX, CAT)]]), NAMES)
    assert found.kinds.tolist() == [CORRECT, DUPLICATE, DUPLICATE]
    np.testing.assert_array_equal(found.detections.scores, np.float32([0.9, 0.5, 0.3]))


def test_sure_mistakes_are_those_of_a_score_of_a_half_or_more():
    rows = [(0, DOG, score, *BOX) for score in (0.9, 0.5, 0.49)] + [(0, CAT, 0.5, 110, 110, 150, 150)]
    found = mistakes(detected(rows), annotated([[(*BOX, CAT)], [(*BOX, DOG)]]), NAMES)
    table = {each.name: each for each in found.table}
    assert (table[CONFUSED].count, table[CONFUSED].sure) == (3, 2)
    assert (table[BACKGROUND].count, table[BACKGROUND].sure) == (1, 1)
    assert (table[MISSED].count, table[MISSED].sure) == (1, None)


def test_an_image_without_objects_has_only_background():
    assert kinds_of(annotated([[], [(*BOX, CAT)]]), [(0, CAT, 0.9, *BOX)]) == [BACKGROUND]


def test_what_is_said_of_an_ignored_object_is_no_mistake():
    objects = annotated([[(*BOX, CAT, "difficult")]])
    found = mistakes(detected([(0, CAT, 0.9, *BOX), (0, CAT, 0.8, *BOX), (0, DOG, 0.7, *BOX)]), objects, NAMES)
    assert found.kinds.tolist() == [IGNORED, IGNORED, CONFUSED]
    assert not found.found.any() and not found.missed.any()


def test_an_object_is_missed_when_nothing_is_about_it():
    far = (110, 110, 200, 200)
    objects = annotated([[(*BOX, CAT), (*far, DOG)], [(*BOX, CAT)], [(*BOX, DOG)], [(*BOX, CAT, "difficult")]])
    rows = [(0, CAT, 0.9, *BOX), (1, CAT, 0.8, *HALF), (2, DOG, 0.7, 0, 0, 5, 5)]
    found = mistakes(detected(rows), objects, NAMES)
    assert found.missed.tolist() == [False, True, False, True, False]
    assert found.found.tolist() == [True, False, False, False, False]


def test_of_the_missed_objects_those_without_a_proposal_are_told():
    objects = annotated([[(*BOX, CAT), (110, 110, 200, 200, CAT)], [(*BOX, DOG)]])
    proposals = [np.float32([HALF, BOX]), np.zeros((0, 4), np.float32)]
    found = mistakes(detected([]), objects, NAMES, proposals=proposals)
    assert found.unproposed.tolist() == [False, True, True]
    assert (found.missed.sum(), found.missed_unproposed) == (3, 2)
    assert mistakes(detected([]), objects, NAMES).missed_unproposed is None


def gains(found):
    """The kinds that are worth something, and what."""
    return {
        each.name: pytest.approx(each.mended - found.map_area)
        for each in found.table
        if each.mended != pytest.approx(found.map_area)
    }


def test_a_better_box_mends_localisation_alone():
    objects = annotated([[(*BOX, CAT)], [(*BOX, CAT)]])
    found = mistakes(detected([(0, CAT, 0.9, *BOX), (1, CAT, 0.8, *HALF)]), objects, NAMES)
    assert found.map_area == pytest.approx(0.5)
    assert gains(found) == {LOCALISATION: 0.5}


def test_the_right_class_mends_confusion_alone():
    objects = annotated([[(*BOX, CAT)], [(*BOX, DOG)]])
    found = mistakes(detected([(0, CAT, 0.9, *BOX), (1, CAT, 0.8, *BOX)]), objects, NAMES)
    assert found.map_area == pytest.approx(0.5)
    assert gains(found) == {CONFUSED: 0.5}


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ((0, CAT, 0.9, 0, 0, 100, 90), DUPLICATE),
        ((0, CAT, 0.9, 150, 150, 190, 190), BACKGROUND),
        ((0, CAT, 0.9, 100, 100, 145, 200), BOTH),
    ],
)
def test_what_has_no_object_of_its_own_is_mended_by_its_removal(row, kind):
    """Sure and false, it stands before the second of two cats."""
    objects = annotated([[(*BOX, CAT), (100, 100, 145, 145, DOG)], [(*BOX, CAT)]])
    rows = [(0, CAT, 0.95, *BOX), row, (1, CAT, 0.5, *BOX), (0, DOG, 0.9, 100, 100, 145, 145)]
    found = mistakes(detected(rows), objects, NAMES)
    assert found.map_area == pytest.approx((0.5 + 0.5 * 2 / 3 + 1) / 2)
    assert gains(found) == {kind: 1 - found.map_area}
    assert {each.name: each.count for each in found.table}[kind] == 1


def test_missed_objects_mended_are_not_asked_for():
    objects = annotated([[(*BOX, CAT)], [(*BOX, CAT)], [(*BOX, CAT)], [(*BOX, CAT)]])
    found = mistakes(detected([(0, CAT, 0.9, *BOX)]), objects, NAMES)
    assert found.map_area == pytest.approx(0.25)
    assert gains(found) == {MISSED: 0.75}
    assert next(each for each in found.table if each.name == MISSED).sure is None


def test_of_several_mistakes_about_an_object_only_the_surest_is_put_right():
    objects = annotated([[(*BOX, CAT)], [(*BOX, CAT)]])
    rows = [(0, CAT, 0.9, *HALF), (0, CAT, 0.8, *HALF), (1, CAT, 0.7, *BOX), (1, CAT, 0.95, *HALF)]
    found = mistakes(detected(rows), objects, NAMES)
    assert found.kinds.tolist() == [LOCALISATION, LOCALISATION, LOCALISATION, CORRECT]
    # the one about the found cat goes, one of the two about the other becomes right, its rival goes
    assert next(each for each in found.table if each.name == LOCALISATION).mended == pytest.approx(1.0)


def sorted_by_hand(detections, objects, overlap):
    """Each detection and object one at a time, from the docstring's words."""

    def iou(a, b):
        height, width = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        if height <= 0 or width <= 0:
            return 0.0
        area = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
        return height * width / (sum(area) - height * width)

    taken, kinds = set(), {}
    for place in sorted(range(len(detections.scores)), key=lambda place: -detections.scores[place]):
        image, box = detections.image[place], detections.boxes[place].astype(float)
        own, other, row = 0.0, 0.0, None
        for index in range(objects.starts[image], objects.starts[image + 1]):
            share = iou(box, objects.boxes[index].astype(float))
            if objects.labels[index] != detections.labels[place]:
                other = max(other, share)
            elif share > own:
                own, row = share, index
        if own >= overlap:
            kinds[place] = IGNORED if objects.ignored[row] else DUPLICATE if row in taken else CORRECT
            taken.add(row)
        elif other >= overlap:
            kinds[place] = CONFUSED
        else:
            kinds[place] = LOCALISATION if own >= 0.1 else BOTH if other >= 0.1 else BACKGROUND
    return list(kinds.values())


@pytest.mark.parametrize("seed", range(5))
def test_sorting_is_that_of_plain_loops_and_correct_is_what_voc_calls_true(seed):
    objects, detections = drawn(np.random.default_rng(seed), 4, images=30)
    found = mistakes(detections, objects, tuple("abcd"))
    assert found.kinds.tolist() == sorted_by_hand(detections, objects, 0.5)
    assert len(set(found.kinds)) >= 6  # the scenes have all there is
    precision = voc_precision(detections, objects, tuple("abcd"))
    hits = sum(round(each.recall[-1] * each.objects) for each in precision.classes if len(each.recall))
    assert hits == (found.kinds == CORRECT).sum() == found.found.sum()
    assert found.map_area == precision.map_area
    assert sum(each.count for each in found.table[:-1]) == np.isin(found.kinds, KINDS).sum()


@pytest.mark.parametrize("seed", range(5))
def test_no_mending_makes_it_worse_and_all_together_make_it_perfect(seed):
    objects, detections = drawn(np.random.default_rng(seed), 4, images=30, ties=False)
    found = mistakes(detections, objects, tuple("abcd"))
    for each in found.table[:5]:
        assert each.mended >= found.map_area - 1e-9, each
    kept = found.detections.part(found.kinds == CORRECT)
    assert kept.scores.size > 10
    again = mistakes(kept, objects, tuple("abcd"))
    assert sum(each.count for each in again.table[:-1]) == 0
    assert again.table[-1].mended == pytest.approx(1.0)


def test_nothing_found_and_nothing_to_find():
    for scene, rows in (([], []), ([(*BOX, CAT)], []), ([], [(0, CAT, 0.5, *BOX)])):
        found = mistakes(detected(rows), annotated([scene]), NAMES, proposals=[np.zeros((0, 4), np.float32)])
        assert found.map_area == 0
        json.dumps(found.as_dict(), allow_nan=False)


def test_what_is_no_number_is_left_out():
    broken = detected([(0, CAT, np.nan, *BOX), (0, CAT, 0.5, *BOX), (0, CAT, 0.9, 0, np.inf, 5, 5)])
    assert isinstance(broken, Detections)
    assert mistakes(broken, annotated([[(*BOX, CAT)]]), NAMES).kinds.tolist() == [CORRECT]


def test_the_figures_for_programs_say_counts_and_gains():
    objects = annotated([[(*BOX, CAT)], [(*BOX, CAT)]])
    found = mistakes(detected([(0, CAT, 0.9, *BOX), (1, CAT, 0.4, *HALF)]), objects, NAMES).as_dict()
    assert found["kinds"][LOCALISATION] == {"count": 1, "sure": 0, "mended": 1.0, "gain": 0.5}
    assert found["correct"] == 1
    assert set(found["kinds"]) == set(WORDS)
