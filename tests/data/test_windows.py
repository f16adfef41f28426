"""Random windows: their area, aspect and place; JPEGs decoded in part equal what is cut from the whole."""

import io
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from PIL import ExifTags, Image

from reskeras.data import windows
from reskeras.data.decode import decode
from reskeras.data.orientation import stored_window, turned
from reskeras.data.resample import resampled
from reskeras.data.windows import decode_window, resized_crop_window, shorter_side_window, window_of
from reskeras.errors import ReskerasError
from reskeras.recipes.augment import AugmentSpec, ResizedCropSpec
from tests.data.images import batches, encoded, encoded_split, picture, raw


def drawn(choose, shape, count=600):
    """Windows (count, 4) for as many draws."""
    numbers = tf.random.stateless_uniform([count, windows.TRIES, windows.NUMBERS], [1, 2])
    return tf.map_fn(lambda draws: choose(tf.constant(shape), draws), numbers, fn_output_signature=tf.int32).numpy()


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(400, 500), (333, 120)])
def test_resized_crops_have_the_area_and_aspect_asked_for(shape):
    spec = ResizedCropSpec(area=(0.2, 0.5), aspect=(0.5, 1.5))
    top, left, height, width = drawn(lambda size, draws: resized_crop_window(size, draws, spec), shape).T
    assert (top >= 0).all() and (left >= 0).all()
    assert (top + height <= shape[0]).all() and (left + width <= shape[1]).all()
    area, aspect = height * width / (shape[0] * shape[1]), width / height
    assert 0.19 < area.min() < 0.23 and 0.47 < area.max() < 0.51
    assert aspect.min() > 0.49 and aspect.max() < 1.52
    if shape == (400, 500):  # nothing is thrown away for not fitting: area uniform, aspect log-uniform
        assert abs(area.mean() - 0.35) < 0.015
        assert abs(np.log(aspect).mean() - (np.log(0.5) + np.log(1.5)) / 2) < 0.05
    places = top / np.maximum(shape[0] - height, 1)
    assert abs(places.mean() - 0.5) < 0.05 and places.min() < 0.05 and places.max() > 0.95


def test_the_aspect_of_a_resized_crop_is_its_width_by_its_height():
    spec = ResizedCropSpec(area=(0.1, 0.2), aspect=(2.0, 3.0))
    _, _, height, width = drawn(lambda size, draws: resized_crop_window(size, draws, spec), (400, 300), 60).T
    assert 1.95 < (width / height).min() < 2.2 and 2.7 < (width / height).max() < 3.05
    assert 0.09 < (width * height).min() / 120_000 < (width * height).max() / 120_000 < 0.21


def test_both_ends_of_the_shorter_sides_lengths_are_drawn():
    _, _, height, width = drawn(
        lambda size, draws: shorter_side_window(size, draws, (16, 17), (16, 8)), (340, 400), 200
    ).T
    sides, counts = np.unique(np.stack([height, width]), axis=1, return_counts=True)
    assert sides.T.tolist() == [[320, 160], [340, 170]]
    assert counts.min() > 70


@pytest.mark.parametrize(("shape", "expected"), [((1000, 10), (13, 10)), ((10, 1000), (10, 13)), ((1, 1), (1, 1))])
def test_where_no_window_fits_the_largest_central_one_of_an_allowed_aspect_is_taken(shape, expected):
    spec = ResizedCropSpec(area=(0.9, 1.0))
    for top, left, height, width in drawn(lambda size, draws: resized_crop_window(size, draws, spec), shape, 20):
        assert (height, width) == expected
        assert abs(top - (shape[0] - height) / 2) <= 1 and abs(left - (shape[1] - width) / 2) <= 1


@pytest.mark.sample(1)
@pytest.mark.parametrize("shape", [(300, 400), (700, 350), (40, 50)])
def test_shorter_side_windows_are_random_crops_of_the_resized_image(shape):
    top, left, height, width = drawn(
        lambda size, draws: shorter_side_window(size, draws, (256, 480), (224, 192)), shape
    ).T
    assert (top >= 0).all() and (left >= 0).all()
    assert (top + height <= shape[0]).all() and (left + width <= shape[1]).all()
    sides = 224 * min(shape) / height  # the length that the shorter side was resized to
    blur = 224 * min(shape) * (1 / (height.min() - 0.5) - 1 / height.min())  # windows are whole pixels
    assert 256 - blur <= sides.min() < 265 + blur and 471 - blur < sides.max() <= 480 + blur
    assert abs(sides.mean() - 368) < 10
    np.testing.assert_allclose(width, height * 192 / 224, atol=1)


def test_a_shorter_side_below_the_networks_size_is_refused():
    with pytest.raises(ReskerasError, match=r"augment\.shorter_side: 256 is less than the network's input of 299x299"):
        window_of(AugmentSpec(shorter_side=(256, 480)), 299, 299)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_a_window_of_a_jpeg_equals_the_same_window_of_the_whole_image(mode, subsampling):
    image = picture(93, 71).convert(mode)
    options = {} if mode == "L" else {"subsampling": subsampling}
    split = encoded_split([image], quality=90, **options)
    data, _ = split.encoded(tf.constant(0))
    channels = 1 if mode == "L" else 3
    whole = decode(data, channels).numpy()
    for top, left, height, width in (
        [0, 0, 71, 93],
        [3, 5, 20, 31],
        [16, 32, 8, 8],
        [16, 33, 9, 15],
        [70, 92, 1, 1],
        [33, 1, 38, 92],
    ):
        window = decode_window(data, channels, lambda shape, box=(top, left, height, width): tf.constant(box)).numpy()
        np.testing.assert_array_equal(window, whole[top : top + height, left : left + width])


@pytest.mark.parametrize("format", ["PNG", "BMP", "GIF", "WEBP"])
def test_other_formats_are_decoded_whole_and_cut(format):
    image = picture(40, 30)
    data, _ = encoded_split([image], format).encoded(tf.constant(0))
    window = decode_window(data, 3, lambda shape: tf.concat([shape // 3, shape // 2], axis=0))
    np.testing.assert_array_equal(window, decode(data, 3)[10:25, 13:33])


@pytest.mark.parametrize("fields", [{"random_resized_crop": {}}, {"shorter_side": [32, 60]}])
def test_a_batch_of_jpegs_equals_the_same_images_decoded_before(fields):
    split = encoded_split([picture(50 + 9 * index, 44, index) for index in range(6)], quality=95)
    augment = AugmentSpec.model_validate({**fields, "flip": False})
    parts, whole = (
        batches(each, augment, raw(24), batch_size=6)[0][0] for each in (split, replace(split, encoded=None))
    )
    np.testing.assert_array_equal(parts, whole)


def test_pixels_of_a_window_are_those_that_pillow_resizes(monkeypatch):
    image = picture(64, 48)
    split = encoded_split([image], "PNG")
    box = (8, 4, 30, 40)
    monkeypatch.setattr("reskeras.data.training_batch.window_of", lambda *_: lambda shape, draws: tf.constant(box))
    resized = batches(split, AugmentSpec(pad_crop=0, flip=False), raw(16), batch_size=1)[0][0][0]
    window = image.crop((4, 8, 44, 38))
    expected = np.asarray(window.resize((16, 16), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(resized - expected).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("box", "ratio"), [((5, 9, 100, 130), 2), ((0, 0, 331, 413), 8), ((31, 22, 190, 250), 4)])
def test_a_large_window_is_decoded_as_small_as_will_do_as_pillow_drafts(orientation, box, ratio):
    size = (40, 52) if ratio < 8 else (41, 51)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    data = encoded(picture(413, 331), "JPEG", quality=92, exif=exif)
    taken = []

    def choose(shape):
        top, left, height, width = box
        taken.append(tf.constant([top, left, height, width] if shape[0] < shape[1] else [left, top, width, height]))
        return taken[-1]

    ours = decode_window(tf.constant(data), 3, choose, size=size if orientation < 5 else size[::-1]).numpy()
    image = Image.open(io.BytesIO(data))
    image.draft("RGB", (413 // ratio, 331 // ratio))
    assert image.width == -(-413 // ratio)
    window = stored_window(taken[-1], tf.constant([331, 413] if orientation < 5 else [413, 331]), orientation)
    top, left, height, width = (number / ratio for number in window.numpy().tolist())
    theirs = image.resize(size[::-1], Image.Resampling.BILINEAR, box=(left, top, left + width, top + height))
    expected = turned(tf.constant(np.asarray(theirs)), orientation).numpy().astype(np.float32)
    # Pillow rounds, and looks beyond the window, by less than a pixel of what was decoded
    assert np.abs(ours - expected)[1:-1, 1:-1].max() <= 2


@pytest.mark.parametrize("extent", [(130, 190), (240, 300)])  # a half, a quarter, and still to be resized
def test_what_is_decoded_smaller_is_antialiased(extent):
    data = tf.constant(encoded(picture(400, 300), "JPEG", quality=95))
    box = tf.constant([8, 16, *extent])
    window = decode_window(data, 3, lambda _: box)
    expected = resampled(window, (48, 64))

    def off(found):
        return float(tf.reduce_mean(tf.abs(found - expected)))

    aliased = off(tf.image.resize(window, (48, 64)))
    assert 0 < off(decode_window(data, 3, lambda _: box, size=(48, 64))) < 0.4 * aliased


def test_only_the_header_of_a_jpeg_is_read_for_its_size():
    data, _ = encoded_split([picture(93, 71)]).encoded(tf.constant(0))
    cut_off = tf.strings.substr(data, 0, 700)
    np.testing.assert_array_equal(windows.shape_of(cut_off), [71, 93])
