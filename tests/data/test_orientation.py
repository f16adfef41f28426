"""EXIF orientation is followed as Pillow's `exif_transpose` does, in pixels, sizes, windows and boxes; broken tags are
not, and cost bounded work."""

import io
import itertools
import struct
import time
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from reskeras.data.decode import decode
from reskeras.data.orientation import orientation_of, stored_window, turned, turned_boxes, turned_size
from reskeras.data.windows import decode_window, shape_of
from tests.data.images import encoded, picture

PHOTO = picture(61, 34)
ALL = range(1, 9)
TAG, SHORT, LONG = 0x0112, 3, 4


def tiff(order, entries=((TAG, SHORT, 1, 6),), offset=8, count=None, following=b"\0\0\0\0"):
    """An EXIF block: a header, `offset` to its first directory, and entries of (tag, type, count, value)."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", offset)
    rows = b"".join(
        struct.pack(order + "HHI", *entry[:3])
        + (struct.pack(order + "HH", entry[3], 0) if entry[1] == SHORT else struct.pack(order + "I", entry[3]))
        for entry in entries
    )
    return head + struct.pack(order + "H", len(entries) if count is None else count) + rows + following


def segment(marker, data):
    return bytes((0xFF, marker)) + struct.pack(">H", len(data) + 2) + data


def jpeg(*segments):
    """PHOTO with segments after its APP0."""
    data = encoded(PHOTO, "JPEG", quality=95)
    after = 4 + struct.unpack(">H", data[4:6])[0]
    return data[:after] + b"".join(segments) + data[after:]


def jpeg_with(exif):
    return jpeg(segment(0xE1, b"Exif\0\0" + exif))


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_with(exif, last=False):
    """PHOTO as a PNG with an eXIf chunk, before or after its pixels."""
    data, made = encoded(PHOTO, "PNG"), chunk(b"eXIf", exif)
    place = len(data) - 12 if last else 33
    return data[:place] + made + data[place:]


def webp_with(exif, **options):
    data = encoded(PHOTO, "WEBP", exif=b"Exif\0\0xx", lossless=True, **options)
    place = data.index(b"EXIF")
    body = data[8:place] + b"EXIF" + struct.pack("<I", len(exif)) + exif + b"\0" * (len(exif) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


KINDS = {"jpeg": jpeg_with, "png": png_with, "webp": webp_with}


def shown(data):
    """The pixels that Pillow shows of a file."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


@pytest.fixture(scope="module")
def read():
    """Bytes to (pixels, size, orientation) through one graph."""
    made = tf.function(
        lambda data: (decode(data, 3), shape_of(data), orientation_of(data)),
        [tf.TensorSpec([], tf.string)],
        autograph=False,
    )

    def reading(data):
        pixels, size, found = (each.numpy() for each in made(data))
        assert tuple(size) == pixels.shape[:2]
        return pixels, int(found)

    return reading


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("value", range(10))
def test_images_are_turned_as_pillow_turns_them(read, kind, order, value):
    data = KINDS[kind](tiff(order, [(0x010F, 2, 4, 7), (TAG, SHORT, 1, value), (0x0132, 2, 20, 9)]))
    pixels, found = read(data)
    np.testing.assert_array_equal(pixels, shown(data))
    assert found == (value if value in ALL else 1)


def test_the_eight_orientations_are_eight_images():
    images = {turned(np.asarray(PHOTO), tf.constant(value)).numpy().tobytes() for value in ALL}
    assert len(images) == 8


PLACES = {
    "first": encoded(PHOTO, "JPEG", exif=b"Exif\0\0" + tiff(">")),
    "after a profile": jpeg(segment(0xE2, b"ICC_PROFILE\0" + bytes(60_000)), segment(0xE1, b"Exif\0\0" + tiff("<"))),
    "after a comment that has one": jpeg(
        segment(0xFE, b"Exif\0\0" + tiff("<", [(TAG, SHORT, 1, 3)])), segment(0xE1, b"Exif\0\0" + tiff("<"))
    ),
    "after XMP": jpeg(
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x>Exif\0\0</x>"), segment(0xE1, b"Exif\0\0" + tiff(">"))
    ),
    "after fill bytes": jpeg(b"\xff\xff\xff" + segment(0xE1, b"Exif\0\0" + tiff(">"))),
    "after tables": (
        lambda data: data[:-2].replace(b"\xff\xc0", segment(0xE1, b"Exif\0\0" + tiff("<")) + b"\xff\xc0", 1) + data[-2:]
    )(encoded(PHOTO, "JPEG")),
    "after the pixels of a PNG": png_with(tiff("<"), last=True),
    "with its name in a PNG": png_with(b"Exif\0\0" + tiff("<")),
    "with its name in a WebP": webp_with(b"Exif\0\0" + tiff("<")),
    "named twice": jpeg_with(b"Exif\0\0" + tiff("<")),
    "of long numbers": jpeg_with(tiff("<", [(TAG, LONG, 1, 6)])),
    "in a far directory": jpeg_with(tiff("<", [], count=0, offset=200) + bytes(186) + tiff("<")[8:]),
    "twice, of which the first counts": jpeg_with(tiff("<", [(TAG, SHORT, 1, 6), (TAG, SHORT, 1, 3)])),
    "a directory that is cut off": jpeg_with(tiff("<", count=400, following=b"")),
}


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("place", PLACES)
def test_the_tag_is_found_wherever_it_may_stand(read, place):
    pixels, found = read(PLACES[place])
    assert found == 6
    np.testing.assert_array_equal(pixels, shown(PLACES[place]))


BROKEN = {
    "empty": b"",
    "one byte": b"I",
    "no header": b"XX*\0" + tiff("<")[4:],
    "a header alone": tiff("<")[:8],
    "a directory beyond the end": tiff("<", offset=2**32 - 1),
    "a directory before the header": tiff(">", offset=0),
    "a directory at the end": tiff("<", offset=len(tiff("<"))),
    "an entry that is cut off": tiff("<")[:20],
    "more entries than there are": tiff("<", [(0x0100, SHORT, 1, 6)], count=65_535),
    "no such tag": tiff("<", [(0x0113, SHORT, 1, 6)]),
    "of text": tiff("<", [(TAG, 2, 1, 6)]),
    "of two numbers": tiff("<", [(TAG, SHORT, 2, 6)]),
    "of no number": tiff("<", [(TAG, SHORT, 0, 6)]),
    "too large": tiff("<", [(TAG, SHORT, 1, 9)]),
    "much too large": tiff("<", [(TAG, LONG, 1, 2**31 + 6)]),
    "other byte order": tiff("<", [(TAG, SHORT, 1, 6 * 256)]),
    "a loop of directories": tiff("<", [(0x8769, LONG, 1, 8)], following=struct.pack("<I", 8)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", BROKEN)
def test_an_image_with_a_broken_tag_is_read_as_it_lies(read, kind, what):
    pixels, found = read(KINDS[kind](BROKEN[what]))
    assert found == 1 and pixels.shape == (34, 61, 3)
    np.testing.assert_array_equal(pixels, read(KINDS[kind](tiff("<", [])))[0])


def test_bytes_that_only_look_like_a_tag_are_not_followed(read):
    hidden = b"Exif\0\0" + tiff("<")
    for data in (
        jpeg(segment(0xFE, segment(0xE1, hidden))),
        jpeg() + segment(0xE1, hidden),
        encoded(PHOTO, "GIF") + b"eXIf" + tiff("<"),
        encoded(PHOTO, "PNG") + chunk(b"eXIf", tiff("<")),
    ):
        assert read(data)[1] == 1


def test_random_tags_are_read_as_pillow_reads_them_and_never_fail(read):
    rng, base = np.random.default_rng(0), tiff("<", [(0x010F, 2, 4, 7), (TAG, SHORT, 1, 6), (0x0132, 2, 20, 9)])
    for _ in range(150):
        spoiled = bytearray(base)
        for place in rng.integers(0, len(base), rng.integers(1, 4)):
            spoiled[place] = rng.integers(0, 256)
        data = jpeg_with(bytes(spoiled[: rng.integers(1, len(base) + 1)]))
        pixels, found = read(data)
        assert found in ALL
        assert pixels.shape in ((34, 61, 3), (61, 34, 3))


def test_the_search_for_a_tag_is_bounded():
    """Files of megabytes whose parts are as small as can be."""
    exif = b"Exif\0\0" + tiff("<")
    endless = {
        "jpeg": jpeg(segment(0xFE, b"") * 1_000_000, segment(0xE1, exif)),
        "png": png_with(tiff("<"))[:33] + chunk(b"teXt", b"") * 400_000 + chunk(b"eXIf", tiff("<")),
        "webp": webp_with(tiff("<"))[:12] + (b"JUNK" + bytes(4)) * 600_000 + b"EXIF" + bytes(4),
    }
    assert orientation_of(endless["png"][:33]) == 1  # which makes its graph
    start = time.process_time()
    assert [int(orientation_of(data)) for data in endless.values()] == [1, 1, 1]
    assert time.process_time() - start < 20  # to the end would take some minutes
    assert orientation_of(jpeg(segment(0xFE, b"") * 1000, segment(0xE1, exif))) == 6


def windows(height, width, count, seed):
    """Random windows (top, left, height, width), and some at the edges."""
    rng = np.random.default_rng(seed)
    yield from ((0, 0, height, width), (height - 1, width - 1, 1, 1), (0, 0, 1, width), (0, 0, height, 1))
    for _ in range(count):
        top, left = rng.integers(0, height), rng.integers(0, width)
        yield top, left, rng.integers(1, height - top + 1), rng.integers(1, width - left + 1)


@pytest.fixture(scope="module")
def window():
    made = tf.function(
        lambda data, box: decode_window(data, 3, lambda size: box),
        [tf.TensorSpec([], tf.string), tf.TensorSpec([4], tf.int32)],
        autograph=False,
    )
    return lambda data, box: made(data, np.array(box, np.int32)).numpy()


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0", "4:1:1"])
@pytest.mark.parametrize("value", ALL)
def test_a_window_of_a_turned_jpeg_is_that_of_the_turned_image(window, subsampling, value):
    image = picture(131, 94, value)
    data = encoded(
        image,
        "JPEG",
        quality=92,
        subsampling=subsampling,
        progressive=value % 2 == 0,
        exif=b"Exif\0\0" + tiff(">", [(TAG, SHORT, 1, value)]),
    )
    whole = shown(data)
    for box in windows(*whole.shape[:2], 25, value):
        top, left, height, width = box
        np.testing.assert_array_equal(window(data, box), whole[top : top + height, left : left + width], str(box))


@pytest.mark.parametrize("kind", ["png", "webp"])
def test_a_window_of_another_turned_format_is_that_of_the_turned_image(window, kind):
    data = KINDS[kind](tiff("<"))
    np.testing.assert_array_equal(window(data, (5, 3, 40, 20)), shown(data)[5:45, 3:23])


@pytest.mark.parametrize("value", ALL)
def test_sizes_windows_and_boxes_follow_the_pixels(value):
    pixels = np.arange(7 * 11, dtype=np.uint8).reshape(7, 11, 1)
    image = turned(tf.constant(pixels), tf.constant(value)).numpy()
    size = image.shape[:2]
    np.testing.assert_array_equal(turned_size(tf.constant([7, 11]), tf.constant(value)), size)
    for top, left, bottom, right in itertools.product((0, 2), (1, 5), (3, 7), (6, 11)):
        [box] = turned_boxes(np.array([[top, left, bottom, right]], float), (7, 11), value).astype(int)
        part = image[box[0] : box[2], box[1] : box[3]]
        assert sorted(part.ravel()) == sorted(pixels[top:bottom, left:right].ravel())
        there = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
        back = stored_window(tf.constant(there, tf.int32), tf.constant(size), tf.constant(value))
        np.testing.assert_array_equal(back, [top, left, bottom - top, right - left])


def test_batches_and_loops_decode_turned_images():
    files = [jpeg_with(tiff("<", [(TAG, SHORT, 1, value)])) for value in (5, 6, 7, 8)]
    dataset = tf.data.Dataset.from_tensor_slices(files).map(lambda data: decode(data, 3), num_parallel_calls=2).batch(4)
    loop = tf.function(
        lambda data: tf.map_fn(
            lambda one: decode(one, 3), data, fn_output_signature=tf.TensorSpec([61, 34, 3], tf.uint8)
        )
    )
    expected = np.stack([shown(data) for data in files])
    np.testing.assert_array_equal(next(iter(dataset)), expected)
    np.testing.assert_array_equal(loop(tf.constant(files)), expected)


def test_a_saved_model_turns_images(tmp_path):
    module = tf.Module()
    module.read = tf.function(lambda data: decode(data, 3), [tf.TensorSpec([], tf.string)])
    tf.saved_model.save(module, str(tmp_path / "saved"))
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    for kind, value in itertools.product(KINDS.values(), (1, 3, 6)):
        data = kind(tiff(">", [(TAG, SHORT, 1, value)]))
        np.testing.assert_array_equal(loaded.read(data), shown(data))
