"""Images decode to the pixels that Pillow reads, whatever their format, in a graph and out of it."""

import io
import os
import struct
import subprocess
import threading
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageSequence

from reskeras.data import image_opener
from reskeras.data.decode import LARGEST_IMAGE, decode, decode_file, read_image, with_channels
from reskeras.data.image_opener import PixelBudget, opened_image
from reskeras.errors import ReskerasError
from tests.data.images import encoded, picture

PHOTO = picture(93, 71)


def graph(channels=3):
    """`decode` as it stands in pipelines and exports."""
    return tf.function(lambda data: decode(data, channels), [tf.TensorSpec([], tf.string)], autograph=False)


@pytest.fixture(scope="module")
def decoded():
    """Bytes to pixels, through a graph."""
    in_colour = graph()
    return lambda data: in_colour(data).numpy()


def pillow(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def with_alpha(image):
    """RGBA whose alpha runs from left to right, and whose colours differ where it is zero."""
    image = image.convert("RGBA")
    image.putalpha(
        Image.fromarray(
            np.linspace(0, 255, image.width * image.height).astype(np.uint8).reshape(image.height, image.width)
        )
    )
    return image


@pytest.mark.parametrize(
    "options",
    [
        {"subsampling": "4:4:4"},
        {"subsampling": "4:2:2"},
        {"subsampling": "4:2:0"},
        {"subsampling": "4:1:1"},
        {"progressive": True},
        {"quality": 99},
        {"optimize": True, "restart_marker_blocks": 2},
    ],
    ids=str,
)
def test_jpegs_have_pillows_pixels_to_the_last_bit(decoded, options):
    data = encoded(PHOTO, "JPEG", **{"quality": 90, **options})
    np.testing.assert_array_equal(decoded(data), pillow(data))


def test_grey_jpegs_have_pillows_pixels(decoded):
    data = encoded(PHOTO.convert("L"), "JPEG")
    np.testing.assert_array_equal(decoded(data), pillow(data))
    np.testing.assert_array_equal(graph(1)(data)[..., 0], pillow(data)[..., 0])


def test_cmyk_jpegs_have_nearly_pillows_pixels(decoded):
    data = encoded(PHOTO.convert("CMYK"), "JPEG", quality=90)
    assert np.abs(decoded(data).astype(int) - pillow(data)).max() <= 5


def test_a_jpeg_and_a_png_of_its_pixels_are_the_same_image(tmp_path):
    PHOTO.save(tmp_path / "photo.jpg", quality=80)
    Image.open(tmp_path / "photo.jpg").save(tmp_path / "photo.png")
    np.testing.assert_array_equal(decode_file(tmp_path / "photo.jpg", 3), decode_file(tmp_path / "photo.png", 3))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_pngs_of_every_mode_have_pillows_pixels(decoded, mode):
    data = encoded(with_alpha(PHOTO).convert(mode), "PNG")
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))[..., :3]
    np.testing.assert_array_equal(decoded(data), expected)


def test_sixteen_bits_of_grey_are_scaled_to_eight(decoded):
    values = np.arange(65_536, dtype=np.uint16).reshape(256, 256)
    found = decoded(encoded(Image.fromarray(values), "PNG"))
    np.testing.assert_array_equal(found, np.round(values / 257)[..., np.newaxis].repeat(3, axis=-1))


def test_sixteen_bits_of_colour_are_scaled_to_eight(decoded):
    values = tf.constant(np.random.default_rng(0).integers(0, 65_536, (20, 30, 3), np.uint16))
    data = tf.io.encode_png(values).numpy()
    np.testing.assert_array_equal(decoded(data), np.round(values.numpy() / 257))
    assert np.abs(decoded(data).astype(int) - pillow(data)).max() <= 1  # Pillow drops the lower eight


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 80}], ids=str)
@pytest.mark.parametrize("tagged", [False, True])
@pytest.mark.parametrize("alpha", [False, True])
def test_webps_have_pillows_pixels_without_the_alpha(decoded, options, tagged, alpha):
    image = with_alpha(PHOTO) if alpha else PHOTO
    data = encoded(image, "WEBP", **options, **({"exif": Image.Exif()} if tagged else {}))
    np.testing.assert_array_equal(decoded(data), np.asarray(Image.open(io.BytesIO(data)))[..., :3])


@pytest.mark.parametrize("form", ["GIF", "PNG"])
def test_of_a_film_the_first_frame_is_read(decoded, form):
    frames = [PHOTO.convert("P"), PHOTO.rotate(180).convert("P")]
    data = encoded(frames[0], form, save_all=True, append_images=frames[1:])
    with Image.open(io.BytesIO(data)) as image:
        first, second = (frame.convert("RGB") for frame in ImageSequence.Iterator(image))
    np.testing.assert_array_equal(decoded(data), first)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_bmps_have_pillows_pixels(decoded, mode):
    data = encoded(PHOTO.convert(mode), "BMP")
    np.testing.assert_array_equal(decoded(data), pillow(data))


def test_grey_stays_grey_and_colour_becomes_its_luma():
    grey = tf.range(256)[:, tf.newaxis, tf.newaxis]
    grey = tf.cast(grey, tf.uint8)
    np.testing.assert_array_equal(with_channels(with_channels(grey, 3), 1), grey)
    luma = with_channels(tf.constant(np.asarray(PHOTO)), 1)[..., 0].numpy()
    assert np.abs(luma.astype(int) - np.asarray(PHOTO.convert("L"))).max() <= 1


@pytest.mark.parametrize("channels", [0, 2, 4])
def test_other_numbers_of_channels_are_refused(channels):
    with pytest.raises(ReskerasError, match=f"channels: {channels} is not supported") as refused:
        decode(encoded(PHOTO, "PNG"), channels)
    assert refused.value.status == 2


def film(form, alpha):
    frames = [PHOTO, PHOTO.rotate(180)]
    frames = [with_alpha(frame) if alpha else frame for frame in frames]
    return encoded(frames[0], form, save_all=True, append_images=frames[1:])


def half(form):
    """The first half of a file."""
    data = encoded(PHOTO, form)
    return data[: len(data) // 2]


UNREAD = {
    "x.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", "is PostScript; supported are JPEG, PNG"),
    "scan.png": (encoded(PHOTO, "TIFF"), "is a TIFF; supported are JPEG, PNG, BMP, WebP and GIF"),
    "book.jpg": (b"%PDF-1.7\n", "is a PDF; "),
    "icon.png": (encoded(PHOTO, "ICO"), "is an icon; "),
    "new.jpg": (b"\0\0\0\x1cftypheic\0\0\0\0", "is a HEIF or AVIF; "),
    "lost.jpg": (b"<!DOCTYPE html><html>", "is a web page; "),
    "empty.jpg": (b"", "is empty; "),
    "words.jpg": (b"words", "is not an image; "),
    "pointer.jpg": (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
    "drawing.png": (b'<?xml version="1.0"?>\n<!-- x -->\n<svg>', "is an SVG; "),
    **{f"cut.{form.lower()}": (half(form), f"is a broken {form}$") for form in ("JPEG", "PNG", "GIF", "WebP")},
    "film.webp": (film("WEBP", alpha=False), "is an animated WebP, which TensorFlow cannot decode"),
    "clear.webp": (film("WEBP", alpha=True), "is an animated WebP, which TensorFlow cannot decode"),
    "one-bit.bmp": (encoded(PHOTO.convert("1"), "BMP"), "is a BMP with a palette, which TensorFlow cannot decode"),
    "palette.bmp": (encoded(PHOTO.convert("P"), "BMP"), "is a BMP with a palette, which TensorFlow cannot decode"),
}


@pytest.mark.parametrize("name", UNREAD)
def test_what_is_not_read_is_told_by_its_true_reason(tmp_path, name):
    data, why = UNREAD[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ReskerasError, match=why) as refused:
        read_image(tmp_path / name)
    assert str(refused.value).startswith(f"image: {tmp_path / name} is ") and "\n" not in str(refused.value)
    assert refused.value.status == 1


def test_an_eps_by_another_name_starts_no_program(tmp_path, monkeypatch):
    Image.new("RGB", (9, 9)).save(tmp_path / "x.eps")
    (tmp_path / "x.eps").rename(tmp_path / "x.png")
    started = []
    for module, name in ((subprocess, "Popen"), (os, "system"), (os, "posix_spawn")):
        monkeypatch.setattr(module, name, lambda *words, **_: started.append(words))
    with pytest.raises(ReskerasError, match="is PostScript"):
        read_image(tmp_path / "x.png")
    assert started == []


def test_a_queue_or_a_device_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "queue.png")
    for path in (tmp_path / "queue.png", "/dev/zero", tmp_path):
        with pytest.raises(ReskerasError, match="is not a regular file"):
            read_image(path)
    with pytest.raises(ReskerasError, match="cannot be read: No such file"):
        read_image(tmp_path / "nowhere.png")


def test_size_is_looked_at_before_pixels_are_decoded(tmp_path):
    small = encoded(Image.new("1", (8, 8)), "PNG")
    header = b"IHDR" + struct.pack(">II", 9000, 9000) + small[24:29]
    (tmp_path / "bomb.png").write_bytes(small[:12] + header + struct.pack(">I", zlib.crc32(header)) + small[33:])
    with pytest.raises(ReskerasError, match="has 81000000 pixels, more than 64000000"):
        read_image(tmp_path / "bomb.png")
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"more than {LARGEST_IMAGE} pixels"):
        decode((tmp_path / "bomb.png").read_bytes(), 3)


def test_nothing_else_opens_images():
    """One opener with a list of formats: a second one would run whatever plug-in fits."""
    room = os.path.dirname(os.path.dirname(image_opener.__file__))
    found = subprocess.run(
        ["grep", "-rnE", r"Image\.open\(|imread\(|load_img\(", "--include=*.py", room],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert len(found) == 1 and "image_opener.py" in found[0] and "formats=FORMATS" in found[0]


def test_threads_share_a_budget_of_pixels():
    budget, lock, now, most = PixelBudget(10), threading.Lock(), [0], []

    def work(pixels):
        with budget.spent(pixels):
            with lock:
                now[0] += pixels
                most.append(now[0])
            threading.Event().wait(0.002)
            with lock:
                now[0] -= pixels

    threads = [threading.Thread(target=work, args=(pixels,)) for pixels in [4, 10, 3, 6, 1, 5] * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(most) == len(threads) and 6 < max(most) <= 10


def test_files_in_memory_are_opened_too():
    with opened_image(io.BytesIO(encoded(PHOTO, "PNG")), LARGEST_IMAGE) as image:
        assert image.size == (93, 71)
    with (
        pytest.raises(ReskerasError, match="an image is a TIFF"),
        opened_image(io.BytesIO(encoded(PHOTO, "TIFF")), LARGEST_IMAGE),
    ):
        pass
