"""Parameters and multiply-adds of IICnet and the paper's six peers, beside its Table 3.

    python benchmarks/network_sizes.py

Needs torchvision and timm (extra ``train``). The paper counts its peers at 224 x 224 and IICnet at
80 x 80, and counts 4 operations for each value that is normalised; both sizes are printed, and the
sum with normalisation at the paper's size.
"""

import torch
from astropy.table import Table
from torch import nn

from astro_iicnet.models import build_model
from astro_iicnet.models.counting import count_multiply_adds, count_parameters

PAPER = {
    "iicnet": (80, 218.66, 1.75),
    "vgg16": (224, 15.5e3, 134.27),
    "googlenet": (224, 1.59e3, 5.98),
    "resnet34": (224, 12.25e3, 46.99),
    "mobilenet_v1": (224, 587.94, 3.22),
    "efficientnet_v2_s": (224, 2.97e3, 24.18),
    "repvgg": (224, 3.83e3, 30.07),
}


def normalised(model: nn.Module, size: int) -> int:
    """Values that pass through batch normalisation."""
    values = []
    hooks = [
        layer.register_forward_hook(lambda layer, inputs, output: values.append(output.numel()))
        for layer in model.modules()
        if isinstance(layer, nn.BatchNorm2d)
    ]
    with torch.no_grad():
        model.eval()(torch.zeros(1, 3, size, size))
    for hook in hooks:
        hook.remove()
    return sum(values)


def main() -> None:
    """Count and print."""
    rows = []
    for name, (size, operations, parameters) in PAPER.items():
        model = build_model(name)
        at_80, at_224 = (count_multiply_adds(model, size=s) / 1e6 for s in (80, 224))
        paper_way = (at_80 if size == 80 else at_224) + 4 * normalised(model, size) / 1e6
        own = count_parameters(model) / 1e6
        rows.append((name, own, parameters, at_80, at_224, size, paper_way, operations))
    names = ["network", "parameters", "paper", "at 80", "at 224"]
    table = Table(rows=rows, names=[*names, "paper's size", "with normalisation", "Table 3"])
    for name, column in table.columns.items():
        if column.dtype.kind == "f":
            column.format = ".2f"
            column.info.unit = "1e6"
        table[name] = column
    table.pprint_all()


if __name__ == "__main__":
    main()
