"""What may change about a source without changing its class."""

import torch


def dihedral(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Turn and mirror each image into one of its eight orientations, at random.

    It acts on the network input, not on native pixels: the input is centred on the target, so
    turning it is the same as turning native pixels and offset together before preprocessing.

    Parameters
    ----------
    images : torch.Tensor
        (N, B, H, H) images.
    generator : torch.Generator
        On the CPU; three bits are drawn per image.

    Returns
    -------
    torch.Tensor
        (N, B, H, H) images.
    """
    bits = torch.randint(0, 2, (3, len(images), 1, 1, 1), generator=generator, dtype=torch.bool)
    flip_x, flip_y, transpose = bits.to(images.device)
    images = torch.where(flip_x, images.flip(-1), images)
    images = torch.where(flip_y, images.flip(-2), images)
    return torch.where(transpose, images.transpose(-1, -2), images)


def jitter_flux(pixels: torch.Tensor, magnitudes: float, generator: torch.Generator) -> torch.Tensor:
    """Make each source brighter or fainter by one factor in all its bands.

    Colours, shapes and signal-to-noise stay; the scale in DN loses its meaning. Noise, neighbours
    and the saturated core scale along, so the result is not a rendering of the same source at another
    distance, and as Atlas noise is nearly the same everywhere, brightness can still be read from it:
    this serves an ablation, and does not undo what a survey selected.

    Parameters
    ----------
    pixels : torch.Tensor
        (N, B, S, S) DN, NaN where there are no data.
    magnitudes : float
        Largest change [mag]; the change is uniform within plus and minus this.
    generator : torch.Generator
        On the CPU.

    Returns
    -------
    torch.Tensor
        (N, B, S, S) DN; the median of each image, its background, is unchanged.
    """
    shift = (2 * torch.rand(len(pixels), 1, 1, 1, generator=generator) - 1) * magnitudes
    factor = (10 ** (-0.4 * shift)).to(pixels)
    level = pixels.flatten(2).nanmedian(dim=2).values[..., None, None]
    return level + factor * (pixels - level)
