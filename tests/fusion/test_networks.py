import numpy as np
import pytest
import torch

from astro_iicnet.exceptions import IICnetError
from astro_iicnet.fusion.colours import make_magnitudes
from astro_iicnet.fusion.networks import ColorNet, FusionNet, build_model, drop_bands, photometry_tensor
from astro_iicnet.models.iicnet import IICnet

NAN = float("nan")


def photometry(rows, limits=None) -> torch.Tensor:
    mag = np.array(rows, dtype=float)
    limit = np.zeros(mag.shape, bool) if limits is None else np.array(limits, bool)
    bands = ("W1", "W2", "W3", "W4")[: mag.shape[1]]
    return photometry_tensor(make_magnitudes(bands, mag, np.full(mag.shape, 0.1), limit))


@pytest.fixture
def sample(rng) -> torch.Tensor:
    return photometry(rng.normal((15, 14.5, 12), (1, 0.8, 1.2), (500, 3)))


@pytest.fixture
def color(sample) -> ColorNet:
    torch.manual_seed(3)
    network = ColorNet()
    network.fit_standardisation(sample)
    network(sample)  # for the statistics of BatchNorm
    return network.eval()


def test_shapes_and_sizes():
    network, x = FusionNet().eval(), torch.zeros(2, 3, 80, 80)
    data = photometry([[15, 14, 12], [15, 14, NAN]])
    assert network(x, data).shape == (2, 3)
    assert network.head.in_features == 512 + 128
    assert network.color.embed(data).shape == (2, 128)
    assert ColorNet(4).eval()(photometry([[15, 14, 12, 9]])).shape == (1, 3)


def test_features_are_standardised_by_constants_that_are_saved(sample):
    network = ColorNet()
    network.fit_standardisation(sample)
    mag = sample[:, 0].numpy()
    features = np.column_stack([mag, mag[:, 0] - mag[:, 1], mag[:, 1] - mag[:, 2]])
    np.testing.assert_allclose(network.mean, features.mean(0), rtol=1e-5)
    np.testing.assert_allclose(network.scale, features.std(0), rtol=1e-4)
    assert {"mean", "scale"} <= network.state_dict().keys()
    holes = sample.clone()
    holes[::2, 0, 2] = NAN
    network.fit_standardisation(holes)
    np.testing.assert_allclose(network.mean[2], mag[1::2, 2].mean(), rtol=1e-5)
    holes[:, 0, 2] = NAN
    with pytest.raises(IICnetError, match="two or more of each"):
        network.fit_standardisation(holes)


def test_unknown_is_neither_zero_nor_the_mean(color):
    mean = color.mean[:3].tolist()
    known, unknown = photometry([mean]), photometry([[*mean[:2], NAN]])
    zero = photometry([[*mean[:2], 0.0]])
    answers = [color(data) for data in (known, unknown, zero)]
    assert all(torch.isfinite(answer).all() for answer in answers)
    assert not torch.allclose(answers[0], answers[1])
    assert not torch.allclose(answers[1], answers[2])


def test_a_limit_is_not_a_detection_and_its_value_counts(color):
    flags = [[False, False, True]]
    limit, detection = photometry([[15, 14, 12]], flags), photometry([[15, 14, 12]])
    deeper = photometry([[15, 14, 12.5]], flags)
    assert not torch.allclose(color(limit), color(detection))
    assert not torch.allclose(color(limit), color(deeper))


def test_colours_alone_do_not_see_the_brightness(sample):
    network = ColorNet(features="colours")
    network.fit_standardisation(sample)
    network.eval()
    fainter = sample.clone()
    fainter[:, 0] += 3
    torch.testing.assert_close(network(sample), network(fainter), atol=1e-4, rtol=0)
    magnitudes = ColorNet().eval()
    assert not torch.allclose(magnitudes(sample), magnitudes(fainter))


def test_what_there_is_to_look_at():
    data = photometry([[15, 14, 12], [NAN, 14, NAN], [15, NAN, 12], [NAN, NAN, NAN]])
    assert ColorNet().is_known(data).tolist() == [True, True, True, False]
    assert ColorNet(features="colours").is_known(data).tolist() == [True, False, False, False]


def test_a_row_does_not_depend_on_its_neighbours(color):
    data = photometry([[15, 14, 12], [NAN, 14, NAN], [NAN, NAN, NAN]])
    together = color(data)
    for i in range(3):
        torch.testing.assert_close(color(data[i : i + 1])[0], together[i])


def test_fusion_starts_as_the_image_network(color):
    torch.manual_seed(5)
    image, x = IICnet().eval(), torch.randn(2, 3, 80, 80)
    fusion = FusionNet().eval()
    fusion.start_from(image, color)
    data = photometry([[15, 14, 12], [12, 11.9, NAN]])
    torch.testing.assert_close(fusion(x, data), image(x))
    torch.testing.assert_close(fusion.color(data), color(data))
    torch.testing.assert_close(fusion.join(image.embed(x), data), fusion(x, data))
    with pytest.raises(IICnetError, match="same options"):
        fusion.start_from(IICnet(4), color)


def test_bands_are_dropped_but_never_the_last(rng):
    data = photometry(np.where(rng.random((4000, 3)) < 0.3, NAN, 15.0), rng.random((4000, 3)) < 0.5)
    generator = torch.Generator().manual_seed(1)
    found = drop_bands(data, generator, share=0.5)
    before, after = (torch.isfinite(x[:, 0]) for x in (data, found))
    assert not (after & ~before).any()
    assert torch.equal(after.any(1), before.any(1))
    assert (found[:, 1][~after] == 0).all()
    assert torch.equal(found[:, 1][after], data[:, 1][after])
    full = before.all(1)
    # Each is lost in 1/2 of the half that is hit, less the 1/8 where all would be and one of three stays.
    expected = 0.5 * (1 / 2 - 1 / 8 / 3)
    assert (before & ~after)[full].float().mean().item() == pytest.approx(expected, abs=0.02)
    assert torch.equal(drop_bands(data, generator, share=0.0).isnan(), data.isnan())


def test_build_model():
    assert isinstance(build_model("color", features="colours"), ColorNet)
    assert isinstance(build_model("fusion", in_channels=4), FusionNet)
    assert isinstance(build_model("iicnet"), IICnet)
    with pytest.raises(IICnetError, match="'color'"):
        build_model("colour")
    with pytest.raises(IICnetError, match="'features'"):
        build_model("color", feature="colours")
    with pytest.raises(IICnetError, match="'colours'"):
        ColorNet(features="colors")
    with pytest.raises(IICnetError, match="at least 2"):
        ColorNet(1)
