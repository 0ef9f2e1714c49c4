"""Settings, as in ``astro_iicnet.conf.timeout = 60``; all are read when they are used."""

from pathlib import Path
from typing import Any

from astropy.config import ConfigItem, ConfigNamespace, get_cache_dir, get_config_dir_path

from astro_iicnet.exceptions import IICnetError

__all__ = ["Conf", "cache_folder", "conf"]


class _Item(ConfigItem):
    """A setting whose line in the configuration file needs no section."""

    rootname = "astro_iicnet"

    def __init__(self, default: object, description: str, cfgtype: str) -> None:
        super().__init__(default, description, cfgtype, module="astro_iicnet")

    def __call__(self) -> Any:
        """The value in force; a file that cannot be understood is an error that names it."""
        try:
            return super().__call__()
        except (TypeError, SyntaxError) as error:
            path = get_config_dir_path("astro_iicnet") / "astro_iicnet.cfg"
            raise IICnetError(f"Cannot use the setting {self.name} in {str(path)!r}: {error}") from None


class Conf(ConfigNamespace):
    """Settings of astro_iicnet, see `astropy.config`.

    Assign an attribute for the session, use ``conf.set_temp(name, value)`` for a while, or write
    lines as ``timeout = 60`` to the configuration file ``astro_iicnet.cfg`` for good; its folder is
    ``astropy.config.get_config_dir_path("astro_iicnet")``.
    """

    rootname = "astro_iicnet"

    irsa_server = _Item(
        "https://irsa.ipac.caltech.edu",
        "Where images='irsa' finds the AllWISE Atlas (service IBE) and verify=True its index (SIA).",
        cfgtype="string",
    )
    aws_server = _Item(
        "https://nasa-irsa-wise.s3.us-west-2.amazonaws.com",
        "Where images='aws' finds the public copy of the AllWISE Atlas.",
        cfgtype="string",
    )
    hips_servers = _Item(
        [
            "https://alasky.cds.unistra.fr/hips-image-services/hips2fits",
            "https://alaskybis.cds.unistra.fr/hips-image-services/hips2fits",
        ],
        "Services that images='hips' asks, one after the other.",
        cfgtype="string_list",
    )
    timeout = _Item(120.0, "Seconds to wait for an answer of a server.", cfgtype="float(min=0.001, max=1e6)")
    retries = _Item(5, "How often a request that failed is sent again.", cfgtype="integer(min=0)")
    max_connections = _Item(
        8, "Connections to one server at a time, over all threads.", cfgtype="integer(min=1)"
    )
    tile_threshold = _Item(
        100,
        "Sources in one tile from which its rows are fetched rather than a cutout for each source.",
        cfgtype="integer(min=1)",
    )
    cache_dir = _Item(
        "",
        "Folder of the store of cutouts and of fetched weights; empty for the cache folder of astropy.",
        cfgtype="string",
    )
    cache_size = _Item(
        10.0, "Size of the store of cutouts [GB]; 0 keeps nothing.", cfgtype="float(min=0, max=1e6)"
    )
    offline = _Item(False, "Open no connection: use what is on disk.", cfgtype="boolean")


conf = Conf()
"""The settings in force."""


def cache_folder() -> Path:
    """Folder for what is fetched and kept, as the settings are now.

    Returns
    -------
    pathlib.Path
        ``conf.cache_dir``, or the cache folder of astropy where that is empty; it need not exist.
    """
    try:
        folder = conf.cache_dir or get_cache_dir("astro_iicnet")
    except OSError:  # it cannot be made: the attempt to write says so to the user
        folder = "~/.astro_iicnet/cache"
    return Path(folder).expanduser().absolute()
