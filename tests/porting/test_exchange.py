"""Messages between processes arrive as they were sent, and a stream that breaks off is told from one."""

import io

import numpy as np
import pytest

from reskeras.porting.exchange import receive, send


def test_arrays_arrive_as_they_were_sent():
    stream = io.BytesIO()
    arrays = {
        "a number": np.float32(3.5),
        "none": np.zeros((0, 3)),
        "turned": np.arange(12.0).reshape(3, 4).T,
        "\n{": np.ones((2, 1, 3)),
    }
    send(stream, {"words": "a\nb", "list": [1, None]}, arrays)
    send(stream, {}, {})
    stream.seek(0)
    told, given = receive(stream)
    assert told == {"words": "a\nb", "list": [1, None]}
    assert given.keys() == arrays.keys()
    for name, values in arrays.items():
        assert given[name].dtype == np.float32
        np.testing.assert_array_equal(given[name], values)
        assert given[name].shape == np.shape(values)
    assert receive(stream) == ({}, {})
    with pytest.raises(EOFError):
        receive(stream)


@pytest.mark.parametrize("kept", [1, 10, -1])
def test_what_breaks_off_is_no_message(kept):
    stream = io.BytesIO()
    send(stream, {}, {"values": np.ones(9)})
    with pytest.raises(EOFError):
        receive(io.BytesIO(stream.getvalue()[:kept]))
