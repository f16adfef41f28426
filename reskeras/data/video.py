"""Video files: their frames as pixels, one after the other, and frames written as a video."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from pathlib import Path
from typing import Any

import numpy as np

from reskeras.data.decode import LARGEST_IMAGE
from reskeras.errors import ReskerasError, failure, first_line
from reskeras.files import reason

# demuxers that read nothing but the file itself; a playlist, say, opens others and the network
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,asf,ogg,flv"
OPTIONS = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
H264, MPEG4 = "libx264", "mpeg4"
LARGEST_UNIT = 10**6  # the largest denominator of H.264's
RATE = Fraction(25)  # frames per second of a file that does not say
FINEST = 65535  # the largest denominator of MPEG-4's unit of time
COMMON = Fraction(1, 60000)  # seconds; a frame of most rates takes a whole multiple of it
QUALITY, BITS = "18", 0.2  # of H.264, smaller is better; of MPEG-4, bits per pixel
BT709 = 1  # the colours of high definition, as FFmpeg numbers them

WHOLE = Fraction(19, 20)  # of the length that a file says; a second less is no sign of a break either
INSTALL = "pip install 'reskeras[video]'"
Broken = Callable[[str, ReskerasError], None]
Draw = Callable[[np.ndarray, Fraction], None]


@dataclass(frozen=True)
class Frame:
    """Frame number `number`, from 0: `pixels` uint8 (height, width, 3) as displayed, `time` seconds after the first."""

    number: int
    time: Fraction
    pixels: np.ndarray


@dataclass(frozen=True)
class Video:
    """A video file: height and width of its frames as displayed, mean frames per second, how many frames it says to
    have (0 if it does not), its unit of time in seconds, how wide a pixel is, over its height, and how many seconds it
    says to last, if it does."""

    path: Path
    size: tuple[int, int]
    rate: Fraction
    count: int
    unit: Fraction
    aspect: Fraction
    length: Fraction | None

    def frames(self) -> Iterator[Frame]:
        """All frames, in the order of their display, of which one at a time is held. `failure` where it breaks off."""
        av, last, start = _library(self.path), Fraction(-1), None
        with _told(self.path, av) as at, _opened(self.path, av) as container:
            for number, frame in enumerate(container.decode(container.streams.video[0])):
                at.append(number + 1)
                del at[:-1]
                if frame.is_corrupt:
                    raise failure(f"video: {self.path} is broken at frame {number:,}")
                moment = frame.pts * frame.time_base if frame.pts is not None and frame.time_base else None
                start = moment if start is None else start
                regular = number / self.rate
                time = regular if moment is None or start is None else moment - start
                if abs(time - regular) <= self.unit:  # as far as the file's unit of time can tell
                    time = regular
                if time <= last:  # of a file that is not in order
                    time = last + 1 / self.rate
                last = time
                yield Frame(number, time, _pixels(frame, self.path, self.size))
            if self.length is not None and last < self.length * WHOLE - 1:
                raise failure(f"video: {self.path} breaks off after {float(last):.1f} of {float(self.length):.1f} s")


def open_video(path: str | Path) -> Video:
    """A video whose first frame was decoded. Raises ReskerasError: status 2 for a missing file or library, 1 for what
    is no video, is broken, has no frames, or frames of more than LARGEST_IMAGE pixels."""
    path = Path(path)
    if not path.is_file():
        raise ReskerasError(f"video: file not found: {path}")
    av = _library(path)
    with _told(path, av), _opened(path, av) as container:
        stream = container.streams.video[0]
        first = next(container.decode(stream), None)
        if first is None:
            raise failure(f"video: {path} has no frames")
        height, width, _ = _pixels(first, path).shape
        rate = stream.average_rate or stream.guessed_rate
        aspect = stream.sample_aspect_ratio or Fraction(1)
        turned = (height, width) != (first.height, first.width)
        return Video(
            path,
            (height, width),
            Fraction(rate) if rate and 0 < rate <= 1000 else RATE,
            max(stream.frames, 0),
            Fraction(stream.time_base or COMMON),
            1 / aspect if turned else aspect,
            _length(container, stream),
        )


def _length(container: Any, stream: Any) -> Fraction | None:
    """Seconds that the frames should last, as the file says; with sound, which may last longer, only of their own."""
    if stream.duration is not None and stream.time_base:
        return stream.duration * stream.time_base
    return Fraction(container.duration, 10**6) if container.duration and len(container.streams) == 1 else None


def opened(paths: Sequence[str | Path], broken: Broken | None = None) -> list[Video]:
    """The videos at `paths`. With `broken`, which is called with the path and the error, without those that cannot be
    read."""
    videos = []
    for path in paths:
        with skipped(path, broken):
            videos.append(open_video(path))
    return videos


@contextmanager
def skipped(path: str | Path, broken: Broken | None) -> Iterator[None]:
    """Call `broken`, if it is given, with the path and a ReskerasError of the block, which then ends."""
    try:
        yield
    except ReskerasError as error:
        if broken is None:
            raise
        broken(str(path), error)


@contextmanager
def written_video(path: Path, like: Video) -> Iterator[Draw]:
    """Write the MP4 file `path`: a function that takes each frame, uint8 of the size of `like`, and its time, for as
    long as the block runs. H.264 where the library has it, else MPEG-4; sides are made even, without sound.

    The block should be within one that removes the file if it fails. `failure` where it cannot be written.
    """
    av = _library(like.path)
    height, width = like.size
    codec = H264 if H264 in av.codecs_available else MPEG4
    unit = Fraction(1, lcm(like.unit.denominator, like.rate.numerator))
    if unit.denominator > (FINEST if codec == MPEG4 else LARGEST_UNIT):
        unit = COMMON
    try:
        with av.open(f"file:{path}", "w", format="mp4") as container:
            stream = container.add_stream(codec, rate=like.rate)
            context = stream.codec_context
            stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
            context.time_base, context.max_b_frames, context.sample_aspect_ratio = unit, 0, like.aspect
            context.colorspace = context.color_primaries = context.color_trc = BT709
            if codec == H264:
                context.options = {"crf": QUALITY}
            else:
                context.bit_rate = int(BITS * width * height * like.rate)
            step, last = max(round(1 / like.rate / unit), 1), -1

            def draw(pixels: np.ndarray, time: Fraction) -> None:
                nonlocal last
                even = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
                frame = av.VideoFrame.from_ndarray(even, format="rgb24")
                frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
                last = max(round(time / unit), last + 1)
                frame.pts, frame.time_base, frame.duration = last, unit, step
                container.mux(stream.encode(frame))

            yield draw
            container.mux(stream.encode(None))
    except av.FFmpegError as error:
        raise failure(f"video: {path.name} cannot be written: {first_line(error)}") from error


def _library(path: Path) -> Any:
    try:
        import av
    except ImportError as error:
        raise ReskerasError(f"video: reading {path} needs PyAV, which is not installed; {INSTALL}") from error
    av.logging.set_level(av.logging.PANIC)  # what FFmpeg finds wrong is in the errors
    return av


@contextmanager
def _opened(path: Path, av: Any) -> Iterator[Any]:
    with av.open(f"file:{path}", options=dict(OPTIONS)) as container:
        if not container.streams.video:
            raise failure(f"video: {path} has no video track")
        context = container.streams.video[0].codec_context
        if context is None:
            raise failure(f"video: {path} is of a kind that cannot be decoded, or is broken")
        _check_size(path, context)
        yield container


@contextmanager
def _told(path: Path, av: Any) -> Iterator[list[int]]:
    """Raise FFmpeg's errors as a `failure` that names the file, and the frame where the block has put its number."""
    at: list[int] = []
    try:
        yield at
    except av.FFmpegError as error:
        if isinstance(error, OSError) and error.errno is not None and 0 < error.errno < 1000:
            raise failure(f"video: {path} cannot be read: {reason(error)}") from error
        what = f"is broken at frame {at[0]:,}" if at else "is not a video, or is broken"
        raise failure(f"video: {path} {what}: {error.strerror}") from error


def _check_size(path: Path, shown: Any) -> None:
    """`failure` for frames of too many pixels; `shown` has their width and height."""
    if shown.width * shown.height > LARGEST_IMAGE:
        raise failure(f"video: {path} has frames of {shown.width * shown.height} pixels, more than {LARGEST_IMAGE}")


def _pixels(frame: Any, path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """uint8 (height, width, 3), turned as it is displayed; scaled to `size` where a video changes its own."""
    _check_size(path, frame)
    quarters = round(frame.rotation / 90) % 4  # counter-clockwise
    wanted = {}
    if size is not None:
        height, width = size[::-1] if quarters % 2 else size
        wanted = {"height": height, "width": width}
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24", **wanted), quarters))
