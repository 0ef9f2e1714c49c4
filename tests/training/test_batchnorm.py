"""Statistics of batch normalisation against means taken by hand."""

import pytest
import torch
from torch import nn

from astro_iicnet.training.batchnorm import restart_statistics, settling_step


def test_statistics_are_means_of_all_batches_since_the_restart():
    generator = torch.Generator().manual_seed(1)
    model = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()).train()
    model(100 + torch.randn(4, 3, 5, 5, generator=generator))
    restart_statistics(model)
    # The third batch is so bright that an average of the last few would show it alone.
    batches = [scale * torch.randn(4, 3, 5, 5, generator=generator) + scale for scale in (1, 2, 50, 1, 3)]
    for batch in batches:
        model(batch)
    means = torch.stack([batch.mean(dim=(0, 2, 3)) for batch in batches]).mean(dim=0)
    variances = torch.stack([batch.var(dim=(0, 2, 3)) for batch in batches]).mean(dim=0)
    torch.testing.assert_close(model[0].running_mean, means)
    torch.testing.assert_close(model[0].running_var, variances)


@pytest.mark.parametrize(("steps", "first"), [(1, 0), (2, 1), (8, 6), (272, 204), (4688, 4488)])
def test_averages_begin_a_quarter_before_the_end(steps, first):
    assert settling_step(steps) == first
