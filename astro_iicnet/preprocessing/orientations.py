"""The eight ways to look at a square image."""

from collections.abc import Iterator

from torch import Tensor


def orientations(images: Tensor) -> Iterator[Tensor]:
    """Give images in the eight orientations that map a square onto itself.

    The network input is centred on the target, so each of them shows the same source.

    Parameters
    ----------
    images : torch.Tensor
        (N, B, H, H) images.

    Yields
    ------
    torch.Tensor
        (N, B, H, H) images; the first as they are.
    """
    for image in (images, images.transpose(-1, -2)):
        for dimensions in ((), (-1,), (-2,), (-2, -1)):
            yield image.flip(dimensions)
