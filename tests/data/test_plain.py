"""What is called plain is decoded to the same pixels with and without a look at its bytes; all else is not plain."""

import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from reskeras.data.decode import LARGEST_IMAGE, decode
from reskeras.data.plain import JPEG, PNG, one_plain_format, plain_format
from reskeras.data.registry import open_source
from reskeras.data.windows import decode_window
from tests.data.images import encoded
from tests.data.test_orientation import KINDS, PHOTO, jpeg, jpeg_with, png_with, segment, tiff

MOST = LARGEST_IMAGE
GREY, PALETTE = PHOTO.convert("L"), PHOTO.convert("P")
PLAIN = {
    "jpeg": (encoded(PHOTO, "JPEG"), JPEG),
    "progressive": (encoded(PHOTO, "JPEG", progressive=True), JPEG),
    "optimised": (encoded(PHOTO, "JPEG", optimize=True), JPEG),
    "grey": (encoded(GREY, "JPEG"), JPEG),
    "4:4:4": (encoded(PHOTO, "JPEG", subsampling=0), JPEG),
    "cmyk": (encoded(PHOTO.convert("CMYK"), "JPEG"), JPEG),
    "xmp": (jpeg(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0")), JPEG),
    "profile": (encoded(PHOTO, "JPEG", icc_profile=bytes(9000)), JPEG),
    "comment": (encoded(PHOTO, "JPEG", comment=b"Exif\0\0"), JPEG),
    "png": (encoded(PHOTO, "PNG"), PNG),
    "grey png": (encoded(GREY, "PNG"), PNG),
    "palette": (encoded(PALETTE, "PNG"), PNG),
    "alpha": (encoded(PHOTO.convert("RGBA"), "PNG"), PNG),
    "1 bit": (encoded(PHOTO.convert("1"), "PNG"), PNG),
}
PHOTO_JPEG = PLAIN["jpeg"][0]
FRAME = PHOTO_JPEG.index(b"\xff\xc0")
NOT_PLAIN = {
    **{f"{kind} with EXIF": make(tiff("<")) for kind, make in KINDS.items()},
    "EXIF behind other segments": jpeg(segment(0xFE, bytes(70_00)), segment(0xE1, b"Exif\0\0" + tiff(">"))),
    "EXIF after the pixels of a PNG": png_with(tiff("<"), last=True),
    "webp": encoded(PHOTO, "WEBP"),
    "bmp": encoded(PHOTO, "BMP"),
    "gif": encoded(PHOTO, "GIF"),
    "empty": b"",
    "text": b"text",
    "16 bits": encoded(Image.fromarray(np.full((4, 4), 40_000, np.uint16)), "PNG"),
    "a JPEG of too many pixels": PHOTO_JPEG[: FRAME + 5] + struct.pack(">HH", 60_000, 60_000) + PHOTO_JPEG[FRAME + 9 :],
    "a PNG of too many pixels": encoded(PHOTO, "PNG")[:16] + struct.pack(">II", 60_000, 60_000) + bytes(40),
    "no pixels": PHOTO_JPEG[:100],
    "junk between segments": PHOTO_JPEG[:20] + b"junk" + PHOTO_JPEG[20:],
}


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_image_has_the_same_pixels_and_windows_without_a_look_at_it(name):
    data, plain = PLAIN[name]
    assert plain_format(data, MOST) == plain
    for channels in (1, 3):
        np.testing.assert_array_equal(decode(tf.constant(data), channels, plain), decode(tf.constant(data), channels))
    windows = [
        decode_window(tf.constant(data), 3, lambda shape: tf.stack([3, 5, shape[0] - 7, 20]), each)
        for each in (plain, None)
    ]
    np.testing.assert_array_equal(*windows)


@pytest.mark.parametrize("name", NOT_PLAIN)
def test_what_needs_a_look_is_not_plain(name):
    assert plain_format(NOT_PLAIN[name], MOST) is None


def test_the_beginning_of_an_image_is_no_error():
    for data in (PHOTO_JPEG, PLAIN["png"][0], jpeg_with(tiff("<"))):
        for size in range(0, len(data), 7):
            plain_format(data[:size], MOST)


@pytest.mark.parametrize(
    ("formats", "one"),
    [([JPEG, JPEG], JPEG), ([PNG], PNG), ([JPEG, PNG], None), ([JPEG, None], None), ([None], None), ([], None)],
)
def test_one_that_is_not_plain_is_enough_for_a_look_at_all(formats, one):
    assert one_plain_format(formats) == one


@pytest.mark.parametrize(("last", "plain"), [("jpeg", JPEG), ("png", None), ("turned", None)])
def test_a_folder_is_plain_when_all_of_it_is_and_read_as_it_is_shown_when_not(tmp_path, last, plain):
    files = {"jpeg": PHOTO_JPEG, "png": encoded(PHOTO, "PNG"), "turned": jpeg_with(tiff("<"))}
    for index, kind in enumerate(["jpeg", "jpeg", "jpeg", last]):
        for name in ("train/a", "train/b", "test/a", "test/b"):
            (tmp_path / name).mkdir(parents=True, exist_ok=True)
            (tmp_path / name / f"{index}.{'png' if kind == 'png' else 'jpg'}").write_bytes(files[kind])
    train = open_source(f"folder:{tmp_path}").train
    assert train.plain == train.part("half", np.arange(2)).plain == plain
    image, _ = train.example(tf.constant(3, tf.int64))
    assert image.shape == ((61, 34, 3) if last == "turned" else (34, 61, 3))
