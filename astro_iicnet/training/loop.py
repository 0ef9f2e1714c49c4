"""The training loop."""

import copy
import io
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from astropy.table import Table
from torch import Tensor, nn, optim
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from astro_iicnet.allwise.bands import zero_points
from astro_iicnet.cutouts.base import Cutouts
from astro_iicnet.exceptions import DivergedError, IICnetError
from astro_iicnet.labels import Status
from astro_iicnet.models.device import autocast, choose_device, choose_precision
from astro_iicnet.training.augmentation import dihedral, jitter_flux
from astro_iicnet.training.batchnorm import restart_statistics, settling_step
from astro_iicnet.training.datasets import class_labels
from astro_iicnet.training.distillation import Teacher, ask
from astro_iicnet.training.finetune import check_trainable
from astro_iicnet.training.settings import TrainingSettings, learning_rate
from astro_iicnet.training.simulated import SimulatedStream
from astro_iicnet.training.state import load_state, read_record, save_state, write_whole

__all__ = ["HISTORY_COLUMNS", "TrainingSettings", "predict_logits", "train"]

HISTORY_COLUMNS: tuple[str, ...] = (
    "epoch",
    "images_seen",
    "learning_rate",
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "seconds",
)
"""Columns of the history of a training, one row per epoch."""

_EVALUATION_BATCH = 256


class _Samples(NamedTuple):
    pixels: Tensor
    offset: Tensor
    labels: Tensor
    taught: Tensor
    """(N, 3) probabilities of the teacher; (N, 0) without one."""


def train(
    model: nn.Module,
    preprocess: nn.Module,
    train_data: tuple[Cutouts, Table] | SimulatedStream,
    validation_data: tuple[Cutouts, Table],
    settings: TrainingSettings,
    *,
    teacher: Teacher | None = None,
    checkpoint: str | Path | None = None,
    device: str = "auto",
    progress: bool = True,
) -> Table:
    """Train a network; afterwards it is on the CPU, with the weights of its best epoch.

    The best epoch is the one of lowest validation loss. Order, augmentation and fresh data of an
    epoch follow from the seeds and its number, so a training that was interrupted and started
    again with the same arguments ends, on the CPU, in the same weights bit for bit.

    Parameters
    ----------
    model : torch.nn.Module
        Network input to (N, 3) logits; changed in place.
    preprocess : torch.nn.Module
        ``(pixels, offset)`` to network input; nothing in it is trained.
    train_data : tuple of Cutouts and `~astropy.table.Table`, or SimulatedStream
        Labelled cutouts that every epoch repeats, or a stream that makes new ones. Rows that
        are not ok are left out.
    validation_data : tuple of Cutouts and `~astropy.table.Table`
        Labelled cutouts, neither augmented nor jittered.
    settings : TrainingSettings
        All else.
    teacher : callable, optional
        ``(pixels, offset)`` to (N, 3) probabilities, as `~astro_iicnet.training.distillation.Teacher`:
        the network learns these beside the labels, in the share ``settings.distillation``.
    checkpoint : path, optional
        File that holds the state after each epoch, and from which a training goes on; the
        history so far is beside it, with the ending ``.ecsv``.
    device : str, default "auto"
        A torch device; "auto" is CUDA where there is one, else the CPU.
    progress : bool, default True
        Show progress on stderr.

    Returns
    -------
    `~astropy.table.Table`
        The history: `HISTORY_COLUMNS`, one row per epoch; ``meta`` has the settings, the data,
        the best epoch (from 1) and the reason for the end. Training loss and accuracy are those
        of augmented batches on the way, with the label smoothing of the settings.

    Raises
    ------
    IICnetError
        If the data do not fit together, the checkpoint is of another training, or the network is not one
        that learns from images by gradient.
    DivergedError
        If the loss is no longer a number.
    """
    check_trainable(model)
    path = None if checkpoint is None else Path(checkpoint)
    run = _Run(model, preprocess, settings, choose_device(device))
    record: dict[str, Any] = {
        "settings": settings.to_dict(),
        "preprocess": repr(preprocess),
        "teacher": repr(teacher),
        "train_data": _describe(train_data),
        "validation_data": _describe(validation_data),
        "history": [],
    }
    if path is not None and path.exists():
        record = run.resume(path, record)
    history: list[dict[str, Any]] = record["history"]
    validation = _samples(validation_data, run.device)
    samples_of = _source(train_data, settings.epochs, run.device, teacher)
    bar = _progress_bar(train_data, record, progress)
    try:
        while _end(history, settings) is None:
            epoch = len(history)
            history.append(run.epoch(epoch, samples_of(epoch), validation, bar))
            run.keep_best(history)
            if path is not None:
                save_state(path, run.model, run.best, run.optimizer, record)
                _write_history(path.with_suffix(".ecsv"), record)
    finally:
        bar.close()
        if isinstance(train_data, SimulatedStream):
            train_data.close()
    model.load_state_dict(run.best)
    model.to("cpu").eval()
    return _history_table(record)


class _Run:
    """A training under way: network, optimiser and the best weights so far."""

    def __init__(
        self,
        model: nn.Module,
        preprocess: nn.Module,
        settings: TrainingSettings,
        device: torch.device,
    ) -> None:
        self.device = device
        self.settings = settings
        self.precision = choose_precision(settings.precision, device)
        self.model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.preprocess = preprocess.to(device)
        self.optimizer = _optimizer(model, settings)
        self.best: dict[str, Tensor] = {}

    def resume(self, path: Path, expected: dict[str, Any]) -> dict[str, Any]:
        """Put network and optimiser back where a saved training left them; its record."""
        record = read_record(path)
        for key in ("settings", "preprocess", "teacher", "train_data", "validation_data"):
            if record[key] != expected[key]:
                raise IICnetError(
                    f"The checkpoint {path} is of a training with other {key.replace('_', ' ')}: "
                    f"{record[key]}, not {expected[key]}. Remove it, or give another path."
                )
        self.best = load_state(path, self.model, self.optimizer)
        return record

    def keep_best(self, history: list[dict[str, Any]]) -> None:
        if _best_epoch(history) == len(history):
            self.best = copy.deepcopy(self.model.state_dict())

    def epoch(self, epoch: int, samples: _Samples, validation: _Samples, bar: tqdm) -> dict[str, Any]:
        """Train for one epoch and validate; one row of the history."""
        start = time.perf_counter()
        generator = torch.Generator().manual_seed(_epoch_seed(self.settings.seed, epoch))
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(generator.initial_seed())
            loss, accuracy, rate = self._train(epoch, samples, generator, bar)
        logits = _logits(self.model, self.preprocess, validation, self.device, self.precision)
        validation_loss = cross_entropy(logits, validation.labels.cpu()).item()
        if not (math.isfinite(loss) and math.isfinite(validation_loss)):
            raise DivergedError(
                f"The loss is no longer a number in epoch {epoch + 1} (training {loss}, validation "
                f"{validation_loss}): lower learning_rate={self.settings.learning_rate}."
            )
        right = (logits.argmax(1) == validation.labels.cpu()).double().mean().item()
        bar.set_postfix_str(f"epoch {epoch + 1}, validation loss {validation_loss:.4f}, accuracy {right:.4f}")
        seen = (epoch + 1) * len(samples.labels)
        seconds = round(time.perf_counter() - start, 2)
        values = (epoch + 1, seen, rate, loss, accuracy, validation_loss, right, seconds)
        return dict(zip(HISTORY_COLUMNS, values, strict=True))

    def _train(
        self, epoch: int, samples: _Samples, generator: torch.Generator, bar: tqdm
    ) -> tuple[float, float, float]:
        n = len(samples.labels)
        steps = math.ceil(n / self.settings.batch_size)
        rate = 0.0
        # Summed on the device: asking for each value would make the device wait.
        totals = torch.zeros(2, dtype=torch.float64, device=self.device)
        self.model.train()
        for step, rows in enumerate(torch.randperm(n, generator=generator).tensor_split(steps)):
            if step == settling_step(steps):
                restart_statistics(self.model)
            rate = learning_rate(self.settings, epoch * steps + step, steps)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            totals += self._step(samples, rows, generator)
            bar.update(len(rows))
        loss, accuracy = (totals / n).tolist()
        return loss, accuracy, rate

    def _step(self, samples: _Samples, rows: Tensor, generator: torch.Generator) -> Tensor:
        """One step of the optimiser; summed loss and number of right answers."""
        pixels, offset, labels, taught = _batch(samples, rows, self.device)
        with torch.no_grad():
            if self.settings.flux_jitter:
                pixels = jitter_flux(pixels, self.settings.flux_jitter, generator)
            images = dihedral(self.preprocess(pixels, offset), generator)
            images = images.contiguous(memory_format=torch.channels_last)
        with autocast(self.device, self.precision):
            logits = self.model(images)
        loss = cross_entropy(logits.float(), labels, label_smoothing=self.settings.label_smoothing)
        if taught.shape[1]:
            loss = torch.lerp(loss, cross_entropy(logits.float(), taught), self.settings.distillation)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        right = (logits.argmax(1) == labels).sum()
        return torch.stack([loss.detach() * len(rows), right]).double()


def predict_logits(
    model: nn.Module,
    preprocess: nn.Module,
    cutouts: Cutouts,
    *,
    device: str = "auto",
    precision: str = "float32",
) -> np.ndarray:
    """Logits of a network for cutouts, batch by batch.

    Parameters
    ----------
    model : torch.nn.Module
        Network input to (N, 3) logits; it is moved to the device and put in evaluation mode.
    preprocess : torch.nn.Module
        ``(pixels, offset)`` to network input.
    cutouts : Cutouts
        N cutouts; all rows are used, whatever their status.
    device : str, default "auto"
        A torch device; "auto" is CUDA where there is one, else the CPU.
    precision : {"float32", "bfloat16", "auto"}, default "float32"
        As in `TrainingSettings`.

    Returns
    -------
    numpy.ndarray
        (N, 3) float32.
    """
    chosen = choose_device(device)
    model.to(chosen, memory_format=torch.channels_last)  # type: ignore[call-overload]
    cutouts, n = cutouts.at_zero_points(zero_points(cutouts.bands)), len(cutouts)
    labels, taught = torch.zeros(n, dtype=torch.int64), torch.empty(n, 0)
    samples = _Samples(_tensor(cutouts.pixels), _tensor(cutouts.offset), labels, taught)
    return _logits(model, preprocess.to(chosen), samples, chosen, choose_precision(precision, chosen)).numpy()


@torch.no_grad()
def _logits(
    model: nn.Module, preprocess: nn.Module, samples: _Samples, device: torch.device, precision: str
) -> Tensor:
    """(N, 3) float32 logits, on the CPU."""
    model.eval()
    parts = []
    for rows in torch.arange(len(samples.labels)).split(_EVALUATION_BATCH):
        pixels, offset, _, _ = _batch(samples, rows, device)
        images = preprocess(pixels, offset).contiguous(memory_format=torch.channels_last)
        with autocast(device, precision):
            parts.append(model(images).float())
    return torch.cat(parts).cpu()


def _optimizer(model: nn.Module, settings: TrainingSettings) -> optim.Optimizer:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if settings.schedule == "paper":
        return optim.Adam(parameters, lr=settings.learning_rate, fused=True)
    # Biases and BatchNorm have one dimension; pulling them to zero only slows learning.
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return optim.AdamW(groups, lr=settings.learning_rate, fused=True)


def _epoch_seed(seed: int, epoch: int) -> int:
    return int(np.random.SeedSequence(seed, spawn_key=(epoch,)).generate_state(1, np.uint64)[0] >> 1)


def _tensor(values: np.ndarray) -> Tensor:
    # FITS is big-endian, which torch does not know.
    return torch.from_numpy(np.require(values, dtype=np.float32, requirements=["C", "W"]))


def _samples(data: tuple[Cutouts, Table], device: torch.device) -> _Samples:
    """Usable rows as tensors, on the device where they take less than half of its free memory."""
    cutouts, table = data
    if len(cutouts) != len(table):
        raise IICnetError(f"{len(cutouts)} cutouts and {len(table)} labels: one each is needed.")
    labels = class_labels(table)
    ok = np.asarray(cutouts.status) == Status.OK
    if not ok.any():
        raise IICnetError(f"None of the {len(cutouts)} cutouts has the status ok: nothing to learn from.")
    if not ok.all():
        cutouts, labels = cutouts[ok], labels[ok]
    cutouts = cutouts.at_zero_points(zero_points(cutouts.bands))
    taught = torch.empty(len(labels), 0)
    samples = _Samples(_tensor(cutouts.pixels), _tensor(cutouts.offset), torch.from_numpy(labels), taught)
    if device.type == "cuda" and samples.pixels.nbytes < torch.cuda.mem_get_info(device)[0] / 2:
        return _Samples(*(tensor.to(device) for tensor in samples))
    return samples


def _batch(samples: _Samples, rows: Tensor, device: torch.device) -> _Samples:
    rows = rows.to(samples.labels.device)
    return _Samples(*(tensor[rows].to(device, non_blocking=True) for tensor in samples))


def _teach(samples: _Samples, teacher: Teacher | None, device: torch.device) -> _Samples:
    """Keep what the teacher says of each cutout: epochs that repeat the cutouts share the answer."""
    if teacher is None:
        return samples
    return samples._replace(taught=ask(teacher, samples.pixels, samples.offset, device))


def _source(
    data: tuple[Cutouts, Table] | SimulatedStream,
    epochs: int,
    device: torch.device,
    teacher: Teacher | None,
) -> Callable[[int], _Samples]:
    """Give a function from the number of an epoch to its samples."""
    if not isinstance(data, SimulatedStream):
        samples = _teach(_samples(data, device), teacher, device)
        return lambda epoch: samples

    def fresh(epoch: int) -> _Samples:
        made = data.epoch(epoch)
        if epoch + 1 < epochs:
            data.prefetch(epoch + 1)
        return _teach(_samples(made, device), teacher, device)

    return fresh


def _describe(data: tuple[Cutouts, Table] | SimulatedStream) -> str:
    """Enough to notice that a resumed training got other data."""
    if isinstance(data, SimulatedStream):
        return repr(data)
    cutouts, table = data
    counts = np.bincount(class_labels(table), minlength=3)
    some = np.asarray(cutouts.pixels[:: max(1, len(cutouts) // 100)], dtype=np.float64)
    return (
        f"{len(cutouts)} cutouts ({' '.join(map(str, counts))}), {'/'.join(cutouts.bands)}, "
        f"sum {np.nansum(some):.9g}"
    )


def _best_epoch(history: list[dict[str, Any]]) -> int:
    """Find the number, from 1, of the first epoch with the lowest validation loss."""
    losses = [row["validation_loss"] for row in history]
    return 1 + losses.index(min(losses)) if losses else 0


def _end(history: list[dict[str, Any]], settings: TrainingSettings) -> str | None:
    """Why the training is over; None while it is not."""
    if len(history) >= settings.epochs:
        return "epochs"
    if settings.patience is not None and len(history) - _best_epoch(history) >= settings.patience:
        return "patience"
    return None


def _history_table(record: dict[str, Any]) -> Table:
    history = record["history"]
    settings = TrainingSettings(**record["settings"])
    meta = {key: record[key] for key in ("settings", "train_data", "validation_data")}
    meta |= {"best_epoch": _best_epoch(history), "ended_by": _end(history, settings)}
    return Table({name: [row[name] for row in history] for name in HISTORY_COLUMNS}, meta=meta)


def _write_history(path: Path, record: dict[str, Any]) -> None:
    text = io.StringIO()
    _history_table(record).write(text, format="ascii.ecsv")
    write_whole(path, text.getvalue().encode())


def _progress_bar(data: tuple[Cutouts, Table] | SimulatedStream, record: dict[str, Any], show: bool) -> tqdm:
    n = len(data) if isinstance(data, SimulatedStream) else int(np.sum(data[0].status == Status.OK))
    return tqdm(
        total=n * record["settings"]["epochs"],
        initial=n * len(record["history"]),
        desc="Training",
        unit=" images",
        unit_scale=True,
        disable=not show,
        # In a log file every update is a line.
        mininterval=0.5 if sys.stderr.isatty() else 60,
    )
