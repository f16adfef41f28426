"""Videos: frames as they are displayed and when, written again at the same times, and files that are no videos."""

import sys
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from reskeras.data import video as module
from reskeras.data.video import open_video, opened, written_video
from reskeras.errors import ReskerasError
from tests.data.clips import GREEN, RED, SIZE, clip, picture, song

av = pytest.importorskip("av")

KINDS = {
    "clip.mp4": "libx264",
    "clip.mkv": "libx264",
    "clip.webm": "libvpx-vp9",
    "clip.avi": "mpeg4",
    "clip.mpg": "mpeg2video",
}


def near(pixel, colour):
    return np.abs(np.int32(pixel) - colour).max() < 25


@pytest.mark.parametrize("name", KINDS)
def test_every_frame_is_read_at_its_time_in_its_colours(tmp_path, name):
    video = open_video(clip(tmp_path / name, KINDS[name]))
    frames = list(video.frames())
    assert (video.size, video.rate) == (SIZE, 30)
    assert [frame.number for frame in frames] == list(range(12))
    assert [frame.time for frame in frames] == [Fraction(number, 30) for number in range(12)]
    for frame in frames:
        assert (frame.pixels.shape, frame.pixels.dtype) == ((*SIZE, 3), np.uint8)
        assert near(frame.pixels[30, 2], RED) and near(frame.pixels[4, 60], GREEN)
        assert np.abs(frame.pixels.astype(int) - picture(frame.number)).mean() < 12


@pytest.mark.parametrize("codec", ["libx264", "none"])
@pytest.mark.parametrize("name", KINDS)
def test_a_written_video_has_the_frames_the_times_and_the_length_of_the_one_it_is_like(
    tmp_path, monkeypatch, name, codec
):
    monkeypatch.setattr(module, "H264", codec)
    video = open_video(clip(tmp_path / name, KINDS[name]))
    frames = list(video.frames())
    with written_video(tmp_path / "again.mp4", video) as draw:
        for frame in frames:
            draw(frame.pixels, frame.time)
    again = open_video(tmp_path / "again.mp4")
    assert (again.size, again.rate, again.count) == (SIZE, 30, 12)
    assert again.length == Fraction(12, 30)
    for one, other in zip(frames, again.frames(), strict=True):
        assert one.time == other.time
        assert np.abs(one.pixels.astype(int) - other.pixels).mean() < 5
    with av.open(str(tmp_path / "again.mp4")) as container:
        assert container.streams.video[0].codec_context.name == ("h264" if codec == "libx264" else "mpeg4")


def test_frames_of_uneven_times_keep_them(tmp_path):
    times = [0, 30, 90, 120, 400, 410, 900]
    video = open_video(clip(tmp_path / "uneven.mkv", pictures=7, times=times))
    frames = list(video.frames())
    assert [round(frame.time * 1000) for frame in frames] == times
    with written_video(tmp_path / "again.mp4", video) as draw:
        for frame in frames:
            draw(frame.pixels, frame.time)
    again = open_video(tmp_path / "again.mp4")
    assert [round(frame.time * 1000) for frame in again.frames()] == times
    assert abs(again.length - frames[-1].time - 1 / video.rate) < Fraction(1, 100)  # the last one's own time


def test_a_video_that_is_displayed_turned_is_read_turned(tmp_path):
    video = open_video(clip(tmp_path / "turned.mp4", rotation=-90))  # a quarter clockwise, as phones do
    assert video.size == SIZE[::-1]
    for frame in video.frames():
        assert frame.pixels.shape[:2] == SIZE[::-1]
        assert near(frame.pixels[30, -4], GREEN) and near(frame.pixels[2, 4], RED)


def test_odd_sides_are_made_even_by_repeating_the_last_pixels(tmp_path):
    video = open_video(clip(tmp_path / "even.mp4"))
    odd = replace(video, size=(47, 61))
    with written_video(tmp_path / "odd.mp4", odd) as draw:
        for number in range(3):
            draw(picture(number)[:47, :61], Fraction(number, 30))
    assert open_video(tmp_path / "odd.mp4").size == (48, 62)


PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nclip.mp4\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("text.mp4", b"some text\n" * 100, "is not a video, or is broken"),
        ("empty.mp4", b"", "is not a video, or is broken"),
        (
            "list.mp4",
            PLAYLIST.encode(),
            "is not a video, or is broken",
        ),  # which would open other files, and the network
        ("concat.mp4", b"ffconcat version 1.0\nfile clip.mp4\n", "is not a video, or is broken"),
    ],
)
def test_what_is_no_video_is_refused_by_name(tmp_path, name, content, told):
    clip(tmp_path / "clip.mp4")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ReskerasError, match=rf"^video: \S+{name} {told}") as refused:
        open_video(tmp_path / name)
    assert refused.value.status == 1
    assert "\n" not in str(refused.value)


def test_sound_alone_and_what_is_not_there_are_refused(tmp_path):
    with pytest.raises(ReskerasError, match="has no video track"):
        open_video(song(tmp_path / "song.mp4"))
    with pytest.raises(ReskerasError, match="file not found") as refused:
        open_video(tmp_path / "nowhere.mp4")
    assert refused.value.status == 2


def test_a_video_that_breaks_off_is_refused_at_its_place(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (120, 96, 128, 3), np.uint8)
    whole = clip(tmp_path / "whole.mkv", pictures=list(noise))
    avi = clip(tmp_path / "whole.avi", "mpeg4", pictures=list(noise))
    for path, told in ((whole, r"breaks off after 1\.\d of 4\.0 s"), (avi, r"is broken at frame \d+")):
        cut = path.with_name(f"cut{path.suffix}")
        cut.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 5])
        seen = 0
        with pytest.raises(ReskerasError, match=told) as refused:
            for _ in open_video(cut).frames():
                seen += 1
        assert (refused.value.status, seen > 10) == (1, True)
    (tmp_path / "cut.mp4").write_bytes(clip(tmp_path / "clip.mp4").read_bytes()[:-600])  # without its index
    with pytest.raises(ReskerasError, match="or is broken"):
        open_video(tmp_path / "cut.mp4")


def test_frames_too_large_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    path = clip(tmp_path / "clip.mp4")
    monkeypatch.setattr(module, "LARGEST_IMAGE", 1000)
    with pytest.raises(ReskerasError, match="has frames of 3072 pixels, more than 1000"):
        open_video(path)


def test_without_the_library_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    path = clip(tmp_path / "clip.mp4")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(
        ReskerasError, match=r"PyAV, which is not installed; pip install 'reskeras\[video\]'"
    ) as refused:
        open_video(path)
    assert refused.value.status == 2


def test_broken_ones_are_told_and_the_others_opened(tmp_path):
    (tmp_path / "text.mp4").write_text("text")
    told = []
    videos = opened([tmp_path / "text.mp4", clip(tmp_path / "clip.mp4")], lambda path, error: told.append(path))
    assert [video.path.name for video in videos] == ["clip.mp4"]
    assert told == [str(tmp_path / "text.mp4")]


def test_a_failed_writing_does_not_hide_the_reason(tmp_path):
    video = open_video(clip(tmp_path / "clip.mp4"))
    with pytest.raises(RuntimeError, match="mine"), written_video(tmp_path / "again.mp4", video):
        raise RuntimeError("mine")
