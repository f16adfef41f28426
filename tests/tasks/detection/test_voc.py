"""`voc:PATH` with the annotations that people really have, and some that nobody should."""

import numpy as np
import pytest
import tensorflow as tf

from reskeras.errors import ReskerasError
from reskeras.tasks.detection.opening import open_objects
from tests.tasks.detection.folders import SIZE, picture, voc_image, voc_lists, voc_object, voc_xml

HEIGHT, WIDTH = SIZE


def opened(root):
    return open_objects(f"voc:{root}")


def two(root, objects=None, **more):
    """A folder of one image for training, `a`, with `objects`, and one for test."""
    pixels = voc_image(root, "a", objects, **more)
    voc_image(root, "testing")
    voc_lists(root, train=["a"], test=["testing"])
    return pixels


def refusal(root, status=2):
    with pytest.raises(ReskerasError) as caught:
        opened(root)
    assert caught.value.status == status
    return str(caught.value)


def test_corners_counted_from_one_become_continuous_pixels(tmp_path):
    pixels = two(tmp_path, [voc_object("dog", (1, 1, WIDTH, HEIGHT)), voc_object("cat", (11, 6, 30, 20.5))])
    source = opened(tmp_path)
    boxes, labels, ignored = source.train.rows(0)
    np.testing.assert_array_equal(boxes, np.array([[0, 0, HEIGHT, WIDTH], [5, 10, 20.5, 30]], np.float32))
    assert [source.classes[label] for label in labels] == ["dog", "cat"]
    assert source.classes == ("cat", "dog")
    assert not ignored.any()
    assert (source.train.ids, source.test.ids, source.notes) == (("a",), ("testing",), ())
    assert (source.name, source.label, source.divided) == (f"voc:{tmp_path}", tmp_path.name, "the list test.txt")
    np.testing.assert_array_equal(source.train.sizes, [SIZE])
    np.testing.assert_array_equal(source.train.images().example(tf.constant(0, tf.int64))[0], pixels)
    assert source.train.read(tf.constant(0, tf.int64)) == (tmp_path / "JPEGImages" / "a.png").read_bytes()


@pytest.mark.parametrize(
    ("box", "kept", "note"),
    [
        ((10, 5, 10, 20), None, "1 box without height or width is skipped: a.xml"),
        ((10, 20, 30, 5), None, "1 box without height or width is skipped: a.xml"),
        ((70, 5, 90, 20), None, "1 box outside its image is skipped: a.xml"),
        ((-90, 5, 1, 20), (4, 0, 20, 1), "1 box extends beyond its image and is clipped: a.xml"),
        ((-90, 5, 0, 20), None, "1 box outside its image is skipped: a.xml"),
        ((0, 0, WIDTH + 1, 20), (0, 0, 20, WIDTH), "1 box extends beyond its image and is clipped: a.xml"),
        (("nan", 5, 10, 20), None, "1 object without a box of four finite numbers is skipped: a.xml"),
        ((1, 5, "inf", 20), None, "1 object without a box of four finite numbers is skipped: a.xml"),
        ((1, 5, "1e400", 20), None, "1 object without a box of four finite numbers is skipped: a.xml"),
        ((1, 5, "", 20), None, "1 object without a box of four finite numbers is skipped: a.xml"),
        ((-1e300, 5, 1e300, 20), (4, 0, 20, WIDTH), "1 box extends beyond its image and is clipped: a.xml"),
    ],
)
def test_each_box_is_kept_cut_or_left_out_and_told(tmp_path, box, kept, note):
    two(tmp_path, [voc_object(), voc_object("cat", box)])
    source = opened(tmp_path)
    boxes, _, _ = source.train.rows(0)
    assert [tuple(each) for each in boxes[1:]] == ([kept] if kept else [])
    assert source.notes == (note,)


def test_an_object_without_a_name_is_left_out_and_parts_of_objects_are_none(tmp_path):
    person = voc_object("person").replace("</object>", f"<part>{voc_object('head')}</part></object>")
    two(tmp_path, [person, voc_object(" "), voc_object().replace("<name>cat</name>", "")])
    source = opened(tmp_path)
    assert source.classes == ("person",)
    assert len(source.train.labels) == 1
    assert any("2 objects have no class" in note for note in source.notes)


def test_difficult_objects_are_ignored_and_images_without_objects_are_background(tmp_path):
    two(tmp_path, [voc_object(difficult=1), voc_object("dog")])
    voc_image(tmp_path, "bare", [])
    voc_lists(tmp_path, train=["a", "bare"])
    source = opened(tmp_path)
    np.testing.assert_array_equal(source.train.ignored, [True, False])
    assert not source.train.crowd.any()
    np.testing.assert_array_equal(source.train.labels, [0, 1])
    np.testing.assert_array_equal(source.train.in_graph(tf.constant(0, tf.int64))[1], [-2, 1])
    assert source.train.count == 2
    assert source.notes == (
        "1 difficult object is ignored: it counts neither when found nor when missed",
        "1 image has no object and is kept as background",
    )


def test_a_class_that_only_test_has_is_left_out_of_it(tmp_path):
    two(tmp_path)
    voc_image(tmp_path, "testing", [voc_object("yak"), voc_object("cat")])
    source = opened(tmp_path)
    assert (source.classes, len(source.test.labels)) == (("cat",), 1)
    assert source.notes == ("1 object of a class not in the training images is skipped: testing.xml (yak)",)


@pytest.mark.parametrize(
    ("lists", "train", "test"),
    [
        ({"train": "ab", "val": "cd", "test": "ef"}, "abcd", "ef"),
        ({"train": "ab", "val": "cd", "trainval": "abcd", "test": "ef"}, "abcd", "ef"),
        ({"train": "ab", "val": "cd"}, "ab", "cd"),
        ({"train": "ab", "val": "cd", "trainval": "abcd"}, "ab", "cd"),
        ({"val": "cd", "trainval": "abcd"}, "ab", "cd"),
        (
            {"train": "ab", "val": "cd", "test": "xyz"},
            "ab",
            "cd",
        ),  # a test list of withheld annotations, as of VOC 2012
        ({"train": "bac", "test": "cd"}, "ba", "cd"),
    ],
)
def test_lists_divide_the_images_and_none_is_for_both(tmp_path, lists, train, test):
    for stem in "abcdef":
        voc_image(tmp_path, stem)
    voc_lists(tmp_path, **lists)
    source = opened(tmp_path)
    assert ("".join(source.train.ids), "".join(source.test.ids)) == (train, test)


@pytest.mark.parametrize("lists", [{}, {"trainval": [f"i{index}" for index in range(10)]}])
def test_without_lists_for_test_one_image_in_five_is_for_it_always_the_same(tmp_path, lists):
    for index in range(10):
        voc_image(tmp_path, f"i{index}")
    voc_lists(tmp_path, **lists)
    source, again = opened(tmp_path), opened(tmp_path)
    assert (source.train.count, source.test.count) == (8, 2)
    assert {*source.train.ids, *source.test.ids} == {f"i{index}" for index in range(10)}
    assert source.test.ids == again.test.ids
    assert source.notes == ("no test images: 2 of 10 images are held out for testing",)
    for name in ("train", "test"):
        stored = [getattr(source, name).read(tf.constant(index, tf.int64)) for index in range(2)]
        files = [tmp_path / "JPEGImages" / f"{stem}.png" for stem in getattr(source, name).ids[:2]]
        assert stored == [file.read_bytes() for file in files]


def test_what_is_listed_twice_or_not_there_is_told(tmp_path):
    two(tmp_path)
    voc_image(tmp_path, "gone")
    (tmp_path / "JPEGImages" / "gone.png").unlink()
    voc_image(tmp_path, "torn")
    (tmp_path / "JPEGImages" / "torn.png").write_bytes(b"no image")
    voc_lists(tmp_path, train=["a", "", "a", "gone", "torn", "nobody", "../../etc/passwd", "testing"])
    source = opened(tmp_path)
    assert source.train.ids == ("a",)
    assert source.notes == (
        "2 listed images have no annotation and are skipped: nobody, ../../etc/passwd",
        "2 annotated images are missing or cannot be read and are skipped: gone, torn.png",
        "1 image is listed twice and used once: a",
        "1 training image is also a test image and is removed from training: testing.xml",
    )


def test_five_places_are_named_and_the_others_counted(tmp_path):
    two(tmp_path)
    voc_lists(tmp_path, train=["a", *(f"none{index}" for index in range(1200))])
    [note] = opened(tmp_path).notes
    assert note == (
        "1,200 listed images have no annotation and are skipped: none0, none1, none2, none3, none4 and 1,195 more"
    )


def test_an_image_is_found_by_its_stem_and_else_by_the_name_in_its_annotation(tmp_path):
    two(tmp_path, filename="elsewhere.jpg")
    voc_image(tmp_path, "b", filename="photo 7.png")
    (tmp_path / "JPEGImages" / "b.png").rename(tmp_path / "JPEGImages" / "photo 7.png")
    picture(tmp_path.parent / "outside.png")
    voc_image(tmp_path, "c", filename="../../outside.png")
    (tmp_path / "JPEGImages" / "c.png").unlink()
    voc_lists(tmp_path, train=["a", "b", "c"])
    source = opened(tmp_path)
    assert source.train.ids == ("a", "b")
    assert "1 annotated image is missing or cannot be read and is skipped: c" in source.notes


def test_of_two_sizes_the_files_is_right(tmp_path):
    two(tmp_path)
    text = voc_xml([voc_object(box=(1, 1, 100, 20))], size=(80, 120))
    (tmp_path / "Annotations" / "a.xml").write_text(text)
    source = opened(tmp_path)
    np.testing.assert_array_equal(source.train.sizes, [SIZE])
    np.testing.assert_array_equal(source.train.boxes, [[0, 0, 20, WIDTH]])
    assert any("differs in size from its annotation" in note for note in source.notes)
    (tmp_path / "Annotations" / "a.xml").write_text(voc_xml([voc_object()], size=(0, 0)))  # many tools leave it empty
    assert opened(tmp_path).notes == ()


def bomb(encoding="utf-8"):
    entities = "".join(f'<!ENTITY l{level} "{f"&l{level - 1};" * 10}">' for level in range(1, 10))
    return (
        f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE annotation [<!ENTITY l0 "cat">{entities}]>'
        "<annotation><object><name>&l9;</name></object></annotation>"
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (bomb().encode(), "it has a DOCTYPE"),
        (bomb("utf-16").encode("utf-16"), "it has a DOCTYPE"),
        (b'<!DOCTYPE annotation SYSTEM "file:///etc/passwd"><annotation/>', "it has a DOCTYPE"),
        (b"<annotation><object>", "not XML"),
        (b"", "not XML"),
        (b"\x00\xff" * 50, "not XML"),
        (b'<?xml version="1.0" encoding="nonsense"?><annotation/>', "not XML"),
        (b"<html></html>", "no <annotation>"),
        (b"<annotation>" + b" " * 10_000_000 + b"</annotation>", "larger than 10,000,000 bytes"),
    ],
)
def test_what_is_no_annotation_is_left_out_with_the_reason(tmp_path, data, reason):
    two(tmp_path)
    voc_image(tmp_path, "bad")
    (tmp_path / "Annotations" / "bad.xml").write_bytes(data)
    voc_lists(tmp_path, train=["a", "bad"])
    source = opened(tmp_path)
    assert source.train.ids == ("a",)
    assert source.notes == (f"1 annotation cannot be read and is skipped: bad.xml ({reason})",)


def test_an_absurd_number_of_objects_and_deep_nesting_do_no_harm(tmp_path):
    two(tmp_path)
    for stem, text in (
        ("many", f"<annotation>{'<object/>' * 100_001}</annotation>"),
        ("deep", f"<annotation>{'<object>' * 100_000}{'</object>' * 100_000}</annotation>"),
    ):
        voc_image(tmp_path, stem)
        (tmp_path / "Annotations" / f"{stem}.xml").write_text(text)
    voc_lists(tmp_path, train=["a", "many", "deep"])
    source = opened(tmp_path)
    assert source.train.ids == ("a",)
    assert "1 image is left out, because every object annotated in it is skipped: deep.xml" in source.notes
    assert "1 image has more than 100,000 objects and is skipped: many.xml" in source.notes


def test_names_from_files_cannot_write_to_the_terminal(tmp_path):
    two(tmp_path)
    voc_lists(tmp_path, train=["a", "\x1b[2Jgone", "n" * 5000])
    [note] = opened(tmp_path).notes
    assert "\\x1b[2Jgone" in note
    assert "\x1b" not in note
    assert len(note) < 300


def test_folders_of_another_kind_are_refused_by_what_they_lack(tmp_path):
    assert f"folder not found: {tmp_path / 'absent'}" in refusal(tmp_path / "absent")
    assert "no Annotations" in refusal(tmp_path)
    voc_image(tmp_path / "VOC2007", "a")
    assert f"did you mean {tmp_path / 'VOC2007'}?" in refusal(tmp_path)
    assert "no annotated image for test" in refusal(tmp_path / "VOC2007")
    two(tmp_path, [])
    assert "no object to learn from" in refusal(tmp_path)
    two(tmp_path, [voc_object(difficult=1)])
    assert "no object to learn from" in refusal(tmp_path)


def test_a_file_that_changes_after_it_was_opened_is_told_by_name(tmp_path):
    from reskeras.data.broken import reading_failure

    two(tmp_path)
    source = opened(tmp_path)
    file = tmp_path / "JPEGImages" / "a.png"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(tf.errors.OpError) as caught:
        list(tf.data.Dataset.range(1).map(source.train.read))
    assert str(file) in str(reading_failure(caught.value))


def test_opening_reads_headers_and_decodes_nothing(tmp_path, monkeypatch):
    from PIL.ImageFile import ImageFile

    for stem, suffix in (("a", ".jpg"), ("b", ".png"), ("c", ".webp"), ("d", ".gif"), ("e", ".jpg")):
        voc_image(tmp_path, stem, suffix=suffix)
    monkeypatch.delattr(ImageFile, "load")
    source = opened(tmp_path)
    assert source.train.count + source.test.count == 5


@pytest.mark.parametrize("name", ["voc", "voc:", "voc2007", "pascal:/data", "folder:/data", ""])
def test_unknown_names_of_sources_are_refused_with_the_choices(name):
    with pytest.raises(ReskerasError, match=r"voc:PATH, coco:PATH, yolo:PATH, .*tfds:NAME\[/CONFIG\]") as caught:
        open_objects(name)
    assert caught.value.status == 2
