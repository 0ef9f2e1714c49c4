"""Cutouts from the public copy of the Atlas on Amazon's S3."""

from astro_iicnet.config import conf
from astro_iicnet.cutouts.archive import Archive


class AwsArchive(Archive):
    """Image source ``"aws"``: the AllWISE Atlas in the public bucket ``nasa-irsa-wise``.

    The bucket holds whole files, so the header of a tile is fetched first and then the rows that hold
    the sources, by plain HTTPS. One source costs 0.6 MB in each band, many in one tile little more.

    References
    ----------
    AllWISE Atlas images, doi:10.26131/IRSA153; https://irsa.ipac.caltech.edu/cloud_access/
    """

    name = "aws"

    def _root(self) -> str:
        return f"{conf.aws_server.rstrip('/')}/wise/allwise/images/p3am_cdd"

    def rows_from(self) -> int:
        """Sources in one tile from which its rows are fetched: always.

        Returns
        -------
        int
            1.
        """
        return 1
