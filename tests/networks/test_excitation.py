"""The middle of squeeze-and-excitation, and the ratio and multiple read back from it."""

import pytest

from reskeras.networks.excitation import middle, squeeze_of

# timm's make_divisible(channels / 16, 8, round_limit=0), as its se-networks have them
TIMM = {64: 8, 128: 8, 160: 8, 192: 16, 256: 16, 320: 24, 512: 32, 2048: 128}


@pytest.mark.parametrize(("channels", "expected"), TIMM.items())
def test_timms_rounding(channels, expected):
    assert middle(channels, 16, 8) == expected


def test_without_a_multiple_it_is_the_whole_part():
    assert [middle(channels, 16) for channels in (8, 31, 32, 64)] == [1, 1, 2, 4]


@pytest.mark.parametrize("squeeze", [1, 2, 4, 7, 16])
@pytest.mark.parametrize("multiple", [1, 2, 8])
@pytest.mark.parametrize("widths", [(64,), (64, 128, 256, 512), (16, 24, 40), (256, 512, 1024, 2048)])
def test_what_is_read_back_gives_the_same_middles(squeeze, multiple, widths):
    pairs = [(width, middle(width, squeeze, multiple)) for width in widths]
    found = squeeze_of(pairs)
    assert [middle(width, *found) for width in widths] == [inside for _, inside in pairs]


def test_middles_of_no_rule_give_the_commonest_ratio_and_none_no_squeeze():
    assert squeeze_of([(64, 4), (128, 8), (256, 9)]) == (16, 1)
    assert squeeze_of([]) == (None, 1)
