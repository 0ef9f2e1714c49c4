"""Training of the networks that look at magnitudes; these are measured from the pixels, never the truth."""

import copy
import math
from typing import NamedTuple

import numpy as np
import torch
from astropy.table import Table
from torch import Tensor, nn, optim
from torch.nn.functional import cross_entropy

from astro_iicnet.allwise.bands import zero_points
from astro_iicnet.cutouts.base import Cutouts
from astro_iicnet.exceptions import DivergedError, IICnetError
from astro_iicnet.fusion.colours import from_cutouts
from astro_iicnet.fusion.networks import ColorNet, FusionNet, drop_bands, photometry_tensor
from astro_iicnet.labels import Status
from astro_iicnet.models.device import choose_device
from astro_iicnet.models.iicnet import IICnet
from astro_iicnet.training.datasets import class_labels
from astro_iicnet.training.distillation import Teacher, ask
from astro_iicnet.training.loop import predict_logits
from astro_iicnet.training.settings import TrainingSettings, learning_rate

HISTORY_COLUMNS: tuple[str, ...] = ("epoch", "train_loss", "validation_loss", "validation_accuracy")
"""Columns of the history of a training, one row per epoch."""


class MeasuredSources(NamedTuple):
    """N labelled sources as a colour or fusion network sees them, on the CPU."""

    embedding: Tensor
    """(N, 512) float32 features of the image; (N, 0) for a colour network."""
    photometry: Tensor
    """(N, 2, B) float32 of `~astro_iicnet.fusion.networks.photometry_tensor`."""
    labels: Tensor
    """(N,) int64 index into `~astro_iicnet.labels.CLASSES`."""
    taught: Tensor
    """(N, 3) float32 probabilities of a teacher; (N, 0) without one."""


class _Embedding(nn.Module):
    """An image network without its last layer."""

    def __init__(self, image: IICnet) -> None:
        super().__init__()
        self.image = image

    def forward(self, x: Tensor) -> Tensor:
        return self.image.embed(x)


def measure_sources(
    data: tuple[Cutouts, Table],
    image: IICnet | None = None,
    preprocess: nn.Module | None = None,
    *,
    teacher: Teacher | None = None,
    device: str = "auto",
) -> MeasuredSources:
    """Measure magnitudes on labelled cutouts, and the features of their images once and for all.

    Parameters
    ----------
    data : tuple of Cutouts and `~astropy.table.Table`
        Labelled cutouts. Rows that are not ok are left out.
    image : IICnet, optional
        The image network of a fusion network; its features stay as they are. Default: none, for a
        colour network.
    preprocess : torch.nn.Module, optional
        ``(pixels, offset)`` to input of the image network; needed with it.
    teacher : Teacher, optional
        Weights whose probabilities are learnt beside the labels, see
        `~astro_iicnet.training.distillation.Teacher`; on the device. Default: none.
    device : str, default "auto"
        A torch device for the image network; "auto" is CUDA where there is one, else the CPU.

    Returns
    -------
    MeasuredSources
        For `train_on_magnitudes`.

    Raises
    ------
    IICnetError
        If no cutout is ok, or an image network comes without preprocessing.
    """
    cutouts, table = data
    ok = np.asarray(cutouts.status) == Status.OK
    if not ok.any():
        raise IICnetError(f"None of the {len(cutouts)} cutouts has the status ok: nothing to learn from.")
    cutouts = cutouts[ok].at_zero_points(zero_points(cutouts.bands))
    labels = torch.from_numpy(class_labels(table)[ok])
    photometry = photometry_tensor(from_cutouts(cutouts))
    taught = torch.empty(len(labels), 0)
    if teacher is not None:
        # FITS is big-endian, which torch does not know.
        pixels, offset = (
            torch.from_numpy(np.asarray(values, dtype=np.float32))
            for values in (cutouts.pixels, cutouts.offset)
        )
        taught = ask(teacher, pixels, offset, choose_device(device))
    if image is None:
        return MeasuredSources(torch.empty(len(labels), 0), photometry, labels, taught)
    if preprocess is None:
        raise IICnetError("An image network was given without preprocess: give that of its weights.")
    embedding = predict_logits(_Embedding(image), preprocess, cutouts, device=device)
    return MeasuredSources(torch.from_numpy(embedding), photometry, labels, taught)


def train_on_magnitudes(
    model: ColorNet | FusionNet,
    train_data: MeasuredSources,
    validation_data: MeasuredSources,
    settings: TrainingSettings,
) -> Table:
    """Train a colour network, or all of a fusion network but its image branch.

    Afterwards the network has the weights of its epoch of lowest validation loss and is in evaluation
    mode. Bands are dropped at random on the way, see `~astro_iicnet.fusion.networks.drop_bands`. A
    colour network takes its standardisation from the training data.

    Parameters
    ----------
    model : ColorNet or FusionNet
        On the CPU; changed in place. A fusion network has been given its branches
        (`~astro_iicnet.fusion.networks.FusionNet.start_from`).
    train_data, validation_data : MeasuredSources
        With the features of ``model.image`` for a fusion network. Those for validation keep all bands.
    settings : TrainingSettings
        Epochs, rates, batches and seed; precision, patience and flux jitter are not used.

    Returns
    -------
    `~astropy.table.Table`
        The history: `HISTORY_COLUMNS`, one row per epoch.

    Raises
    ------
    DivergedError
        If the loss is no longer a number.
    IICnetError
        If the training data know too little of a band.
    """
    if isinstance(model, ColorNet):
        model.fit_standardisation(train_data.photometry)
    parts = [model] if isinstance(model, ColorNet) else [model.color, model.head]
    parameters = [parameter for part in parts for parameter in part.parameters()]
    optimizer = optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    generator = torch.Generator().manual_seed(settings.seed)
    history = Table(names=HISTORY_COLUMNS, dtype=[int, float, float, float])
    best, lowest = copy.deepcopy(model.state_dict()), math.inf
    for epoch in range(settings.epochs):
        train_loss = _epoch(model, train_data, settings, epoch, optimizer, generator)
        logits = torch.from_numpy(magnitude_logits(model, validation_data))
        loss = cross_entropy(logits, validation_data.labels).item()
        if not math.isfinite(train_loss + loss):
            raise DivergedError(
                f"The loss is no longer a number in epoch {epoch + 1}: "
                f"lower learning_rate={settings.learning_rate}."
            )
        right = (logits.argmax(1) == validation_data.labels).double().mean().item()
        history.add_row((epoch + 1, train_loss, loss, right))
        if loss < lowest:
            best, lowest = copy.deepcopy(model.state_dict()), loss
    model.load_state_dict(best)
    model.eval()
    return history


def _epoch(
    model: ColorNet | FusionNet,
    data: MeasuredSources,
    settings: TrainingSettings,
    epoch: int,
    optimizer: optim.Optimizer,
    generator: torch.Generator,
) -> float:
    """Train for one epoch; mean loss."""
    n = len(data.labels)
    steps = math.ceil(n / settings.batch_size)
    total = 0.0
    model.train()
    for step, rows in enumerate(torch.randperm(n, generator=generator).tensor_split(steps)):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(settings, epoch * steps + step, steps)
        photometry = drop_bands(data.photometry[rows], generator)
        logits = _forward(model, data.embedding[rows], photometry)
        loss = cross_entropy(logits, data.labels[rows], label_smoothing=settings.label_smoothing)
        if data.taught.shape[1]:
            loss = torch.lerp(loss, cross_entropy(logits, data.taught[rows]), settings.distillation)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(rows)
    return total / n


@torch.no_grad()
def magnitude_logits(model: ColorNet | FusionNet, data: MeasuredSources) -> np.ndarray:
    """Logits of a network for measured sources.

    Parameters
    ----------
    model : ColorNet or FusionNet
        On the CPU; it is put in evaluation mode.
    data : MeasuredSources
        N sources, with the features of ``model.image`` for a fusion network.

    Returns
    -------
    numpy.ndarray
        (N, 3) float32.
    """
    model.eval()
    return _forward(model, data.embedding, data.photometry).numpy()


def _forward(model: ColorNet | FusionNet, embedding: Tensor, photometry: Tensor) -> Tensor:
    if isinstance(model, FusionNet):
        return model.join(embedding, photometry)
    logits: Tensor = model(photometry)
    return logits
