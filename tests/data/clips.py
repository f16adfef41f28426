"""Short videos made by FFmpeg itself: a red bar that grows by four columns a frame, a green strip above it."""

from fractions import Fraction

import numpy as np

RED, GREEN = (200, 30, 30), (20, 200, 20)
SIZE = 48, 64


def picture(number, size=SIZE):
    pixels = np.zeros((*size, 3), np.uint8)
    pixels[:, : 4 + 4 * number] = RED
    pixels[:10] = GREEN
    return pixels


def clip(path, codec="libx264", pictures=12, rate=30, rotation=None, times=None, pixels="yuv420p"):
    """Write a video of so many pictures, or of the arrays that `pictures` are; `times` are in milliseconds."""
    import av

    arrays = [picture(number) for number in range(pictures)] if isinstance(pictures, int) else pictures
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        (stream.height, stream.width), stream.pix_fmt = arrays[0].shape[:2], pixels
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for place, array in enumerate(arrays):
            frame = av.VideoFrame.from_ndarray(array, format="rgb24")
            if times is not None:
                stream.codec_context.time_base = frame.time_base = Fraction(1, 1000)
                frame.pts = times[place]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def song(path):
    """Write a file with sound alone."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        frame.rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
