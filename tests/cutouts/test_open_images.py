"""What a user calls an image source."""

import pytest

from astro_iicnet.cutouts import open_images
from astro_iicnet.cutouts.aws import AwsArchive
from astro_iicnet.cutouts.fallback import Fallback
from astro_iicnet.cutouts.hips import HipsArchive
from astro_iicnet.cutouts.irsa import IrsaArchive
from astro_iicnet.cutouts.simulated import SimulatedSky
from astro_iicnet.exceptions import ImagesError

SOURCES = {"irsa": IrsaArchive, "aws": AwsArchive, "hips": HipsArchive, "simulated": SimulatedSky}


@pytest.mark.parametrize("name", SOURCES)
def test_names(name):
    source = open_images(name)
    assert type(source) is SOURCES[name]
    assert source.name == name


def test_a_source_is_what_it_is():
    source = SimulatedSky()
    assert open_images(source) is source
    assert open_images([source]) is source


@pytest.mark.parametrize("kind", [list, tuple])
def test_several(kind):
    local = SimulatedSky()
    source = open_images(kind(["irsa", "hips", local]))
    assert isinstance(source, Fallback)
    assert [type(one) for one in source.sources] == [IrsaArchive, HipsArchive, SimulatedSky]
    assert source.sources[2] is local
    assert source.name == "irsa, hips, simulated"
    assert source.survey == "allwise-atlas, allwise-hips"


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ("irza", "Did you mean 'irsa'"),
        (["irsa", "asw"], "'asw'.*Did you mean 'aws'"),
        ([], "empty list"),
        ("", "images is empty"),
        (3, "int, not an image source"),
        ([["irsa"]], "list, not an image source"),
        (None, "NoneType, not an image source.*a list of these"),
    ],
)
def test_what_is_no_source(images, message):
    with pytest.raises(ImagesError, match=message):
        open_images(images)
