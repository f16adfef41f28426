"""Classes of two runs that should be the same: how they differ is told in words."""

import pytest

from reskeras.data.class_labels import check_classes, other_classes
from reskeras.errors import ReskerasError


def test_classes_that_differ_are_told():
    assert other_classes(["a", "b"], ["b", "a"]) == ""
    assert other_classes(["a", "b"], ["b", "c"]) == "lacks c and adds a"
    assert other_classes(["a"], [*"abcdefg"]) == "lacks b, c, d, e, f and 1 more"


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (["b", "a"], "with: here has the classes of there in a different order"),
        (["a", "b", "z"], "with: here has different classes from there: it adds z"),
    ],
)
def test_only_the_same_classes_in_the_same_order_pass(classes, said):
    check_classes("with", "here", ["a", "b"], "there", ("a", "b"))
    with pytest.raises(ReskerasError) as caught:
        check_classes("with", "here", classes, "there", ("a", "b"))
    assert str(caught.value) == said and caught.value.status == 2
