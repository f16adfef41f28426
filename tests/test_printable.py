"""Claims about texts for people: counts agree in number with what they count."""

import pytest

from reskeras.printable import counted, few


@pytest.mark.parametrize(
    ("count", "words", "text"),
    [
        (0, ("image",), "0 images"),
        (1, ("image",), "1 image"),
        (2_000, ("image",), "2,000 images"),
        (1, ("class", "classes"), "1 class"),
        (2, ("class", "classes"), "2 classes"),
        (1, ("image holds", "images hold"), "1 image holds"),
    ],
)
def test_a_count_is_singular_only_where_it_is_one(count, words, text):
    assert counted(count, *words) == text


def test_of_many_names_the_first_are_given_and_the_others_counted():
    assert few(["a", "b", "c", "d"], 2) == "a, b and 2 more"
    assert few(["a", "b"], 2) == "a, b"
