import torch

from astro_iicnet.preprocessing import orientations


def test_eight_different_ones_and_the_first_is_the_image():
    image = torch.arange(2 * 3 * 4 * 4.0).reshape(2, 3, 4, 4)
    found = list(orientations(image))
    assert torch.equal(found[0], image)
    assert len({tuple(one.flatten().tolist()) for one in found}) == 8


def test_they_are_the_turns_of_the_image_and_of_its_mirror():
    image = torch.rand(1, 2, 5, 5)
    truth = [torch.rot90(one, k, (2, 3)) for one in (image, image.flip(3)) for k in range(4)]
    found = list(orientations(image))
    assert all(any(torch.equal(one, other) for other in found) for one in truth)
