"""A search goes on with the images that it began with; one of before fingerprints with any."""

from dataclasses import replace

from reskeras.data.fingerprint import fingerprint
from reskeras.data.registry import open_source
from reskeras.tuning.search import SearchRequest
from tests.data.test_folder import picture, two_classes

ASKED = SearchRequest({}, {}, {}, "folder:photos", "random", ["max val_accuracy"], 3, 1, 0, {})


def test_other_images_make_another_search(tmp_path):
    two_classes(tmp_path, 6)
    before = replace(ASKED, images=fingerprint(open_source(f"folder:{tmp_path}")).facts)
    picture(tmp_path / "cat" / "new.png")
    after = replace(ASKED, images=fingerprint(open_source(f"folder:{tmp_path}")).facts)
    assert "images." in before.difference(after)
    assert before.difference(before) == ASKED.difference(after) == ""
