"""Division of images into training and test, by a hash of each one's name, so that none changes sides when others are
added or removed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from reskeras.data.class_labels import members

DIVISION = 2  # version of the rule of division; kept in a run's provenance
BY_POSITION = 1  # the rule of runs that keep no version
HASHES = float(2**64)
SALT = "split-2062822"  # one of many tried: small sets numbered from 0 come out near one in five


def name_hash(name: str, salt: str = "") -> int:
    """64 bits of a name, the same on every machine and in every release."""
    digest = hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8, key=salt.encode()).digest()
    return int.from_bytes(digest, "little")


def name_hashes(names: Sequence[str], salt: str = "") -> np.ndarray:
    """uint64 (n,) of `names`."""
    return np.array([name_hash(name, salt) for name in names], np.uint64)


def divided(names: Sequence[str], labels: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Indices for training and for test, sorted: an image is for test when the hash of its name is in the lowest
    `share` of all hashes.

    A class of two images or more has at least one of either: where the hashes give it none for test, the lowest one is;
    where all would be, the highest is for training. Only such an image can change sides when its class gets more: the
    one for test goes to training. A class of one image trains. Where images are of several classes, training comes
    first: a rare class may have no image for test.
    """
    hashes, labels = name_hashes(names, SALT), np.asarray(labels)
    test = hashes < np.uint64(int(share * HASHES))
    groups = [group[np.argsort(hashes[group], kind="stable")] for group in members(labels)]
    for group in groups:
        if len(group) > 1 and not test[group].any():
            test[group[0]] = True
    for group in groups:  # the last word: what is held back for one class may be all that another has
        if test[group].all():
            test[group[-1]] = False
    return np.flatnonzero(~test), np.flatnonzero(test)


def held_out(names: Sequence[str], labels: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices to keep and to hold out, sorted: `share` of all images, of each class as near to it as whole images
    allow, those with the lowest hashes of `seed` and their names. No class of two images or more is held out whole."""
    hashes, labels = name_hashes(names, str(seed)), np.asarray(labels)
    if labels.ndim == 2:
        several = _held_of_several(hashes, labels, share)
        for group in members(labels):
            if several[group].all():
                several[group[-1]] = False
        return np.flatnonzero(~several), np.flatnonzero(several)
    groups = members(labels)
    quotas = np.array([len(group) * share for group in groups])
    counts = quotas.astype(int)
    missing = round(len(labels) * share) - counts.sum()
    firsts = np.array([hashes[group].min() for group in groups], np.float64)
    for place in np.lexsort((firsts, -(quotas - counts)))[: max(missing, 0)]:
        counts[place] += 1
    left = int(any(len(group) > 1 for group in groups))  # of each class, for training
    held = [
        group[np.argsort(hashes[group], kind="stable")][: min(count, len(group) - left)]
        for group, count in zip(groups, counts, strict=True)
    ]
    indices = np.sort(np.concatenate(held)) if held else np.empty(0, np.int64)
    return np.setdiff1d(np.arange(len(labels)), indices), indices


def _held_of_several(hashes: np.ndarray, labels: np.ndarray, share: float) -> np.ndarray:
    """bool (n,): which images of several classes to hold out, by iterative stratification (Sechidis et al., 2011).

    The class with the fewest images left is shared out first, in the order of hashes; each image goes to the side that
    lacks more of that class, and then counts for its other classes. Images without a class are shared out at the end.
    """
    waiting, held = np.ones(len(labels), bool), np.zeros(len(labels), bool)
    order, left = np.argsort(hashes, kind="stable"), labels.sum(axis=0, dtype=np.int64)
    lacking = np.outer([1 - share, share], np.append(left, len(labels)))  # of each class, and images; to keep, to hold
    while waiting.any():
        rarest = int(np.where(left > 0, left, len(labels) + 1).argmin()) if left.any() else len(left)
        of_class = labels[:, rarest] > 0 if rarest < len(left) else waiting
        for index in order[(of_class & waiting)[order]].tolist():
            side = int(tuple(lacking[1, [rarest, -1]]) > tuple(lacking[0, [rarest, -1]]))
            held[index], waiting[index] = side, False
            lacking[side, :-1] -= labels[index]
            lacking[side, -1] -= 1
            left -= labels[index]
    return held


def drawn(names: Sequence[str], labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Sorted indices of `count` images, stratified: one after the other is drawn for the class of whose images the
    smallest share is drawn so far, the rarest of several, and is the one with the lowest hash of `seed` and its name.

    So every class has an image as soon as there are enough, and fewer images are always among more of the same seed.
    """
    hashes = name_hashes(names, f"images-{seed}")
    groups = [group[np.argsort(hashes[group], kind="stable")] for group in members(np.asarray(labels))]
    sizes = np.array([len(group) for group in groups])
    of_image: list[list[int]] = [[] for _ in names]
    for place, group in enumerate(groups):
        for index in group.tolist():
            of_image[index].append(place)
    taken, next_in, chosen = np.zeros(len(groups)), np.zeros(len(groups), int), np.zeros(len(names), bool)
    for _ in range(count):
        # of several classes the images of one may all have been drawn for others
        shares = np.where(taken < sizes, taken / sizes, np.inf)
        place = np.lexsort((sizes, shares))[0]
        while chosen[groups[place][next_in[place]]]:
            next_in[place] += 1
        index = groups[place][next_in[place]]
        chosen[index] = True
        taken[of_image[index]] += 1
    return np.flatnonzero(chosen)


def held_by_position(count: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """As `held_out` divided before it used names: a random `share` of positions below `count`."""
    held = round(count * share)
    order = np.random.default_rng(seed).permutation(count)
    return np.sort(order[held:]), np.sort(order[:held])


def divided_by_position(labels: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """As `divided` did before it used names: of each class the same `share` of its positions for test."""
    generator, test = np.random.default_rng(1512_03385), []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        wanted = min(max(round(len(members) * share), 1), len(members) - 1)
        test.append(generator.permutation(members)[:wanted])
    test_indices = np.sort(np.concatenate(test))
    return np.setdiff1d(np.arange(len(labels)), test_indices), test_indices
