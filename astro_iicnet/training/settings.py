"""How to train: settings, their two presets, and the learning rate they mean."""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from astro_iicnet.exceptions import IICnetError, unknown_name


@dataclass(frozen=True)
class TrainingSettings:
    """Everything about a training but the model and the data.

    Parameters
    ----------
    schedule : {"paper", "one-cycle"}, default "one-cycle"
        "paper": Adam, constant rate, halved after 50 epochs. "one-cycle": AdamW, cosine rise to
        ``learning_rate`` over the first 30 % of the steps, cosine fall to nothing.
    epochs : int, default 30
        Passes over the data (fresh data each, with a stream).
    learning_rate : float, default 2e-3
        First rate of "paper", highest rate of "one-cycle".
    batch_size : int, default 64
        Images per step.
    weight_decay : float, default 0.01
        Of AdamW, on weights of convolutions and linear layers; "paper" ignores it.
    label_smoothing : float, default 0
        Share of the target that is spread over all classes.
    flux_jitter : float, default 0
        Largest change of brightness [mag], one for all bands of a source; see
        `~astro_iicnet.training.augmentation.jitter_flux`.
    distillation : float, default 0.5
        Share of the loss that is the distance to the probabilities of a teacher, where there is one.
    patience : int, optional
        End when the validation loss has not improved for this many epochs; None never.
    precision : {"auto", "float32", "bfloat16"}, default "auto"
        "auto" takes bfloat16 (autocast) where that is quicker, see
        `~astro_iicnet.models.device.choose_precision`.
    seed : int, default 0
        Of order and augmentation. The model's own start is the caller's.

    Raises
    ------
    IICnetError
        If a value makes no sense.

    References
    ----------
    "paper": Zhao et al. 2023, RAA 23, 085010, Sec. 3.1. "one-cycle": Smith & Topin 2018,
    arXiv:1708.07120, in the form of `torch.optim.lr_scheduler.OneCycleLR`.
    """

    schedule: str = "one-cycle"
    epochs: int = 30
    learning_rate: float = 2e-3
    batch_size: int = 64
    weight_decay: float = 0.01
    label_smoothing: float = 0.0
    flux_jitter: float = 0.0
    distillation: float = 0.5
    patience: int | None = None
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.schedule not in ("paper", "one-cycle"):
            raise IICnetError(unknown_name("schedule", self.schedule, ("paper", "one-cycle")))
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise IICnetError(unknown_name("precision", self.precision, ("auto", "float32", "bfloat16")))
        least = {"epochs": 1, "batch_size": 2, "weight_decay": 0, "label_smoothing": 0, "flux_jitter": 0}
        for name, value in least.items():
            if not getattr(self, name) >= value:
                raise IICnetError(f"{name}={getattr(self, name)!r}: expected a number of at least {value}.")
        if not self.learning_rate > 0:
            raise IICnetError(f"learning_rate={self.learning_rate!r}: expected a number above 0.")
        if not 0 <= self.distillation <= 1:
            raise IICnetError(f"distillation={self.distillation!r}: expected a number from 0 to 1.")
        if not self.label_smoothing < 1:
            raise IICnetError(f"label_smoothing={self.label_smoothing!r}: expected a number below 1.")
        if self.patience is not None and self.patience < 1:
            raise IICnetError(f"patience={self.patience!r}: expected at least 1, or None.")

    @classmethod
    def preset(cls, name: str, **changes: Any) -> "TrainingSettings":
        """Make settings by name.

        Parameters
        ----------
        name : {"paper", "one-cycle"}
            "paper": Adam, 200 epochs, 1e-4 and 5e-5 after 50 epochs. "one-cycle": the defaults.
        **changes
            Fields that differ from the preset.

        Returns
        -------
        TrainingSettings
            The preset with these changes.

        Raises
        ------
        IICnetError
            If the name or a field is unknown.
        """
        presets = {
            "paper": cls(schedule="paper", epochs=200, learning_rate=1e-4, weight_decay=0.0),
            "one-cycle": cls(),
        }
        if name not in presets:
            raise IICnetError(unknown_name("preset", name, presets))
        for field in changes:
            if field not in cls.__dataclass_fields__:
                raise IICnetError(unknown_name("setting", field, cls.__dataclass_fields__))
        return replace(presets[name], **changes)

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain data.

        Returns
        -------
        dict
            Field name to value, ready for JSON.
        """
        return asdict(self)


def learning_rate(settings: TrainingSettings, step: int, steps_per_epoch: int) -> float:
    """Learning rate of a step; a function of its number, so there is no state to save.

    Parameters
    ----------
    settings : TrainingSettings
        Which schedule.
    step : int
        Number of the step, from 0.
    steps_per_epoch : int
        Steps in an epoch.

    Returns
    -------
    float
        The learning rate.
    """
    highest = settings.learning_rate
    if settings.schedule == "paper":
        return highest if step < 50 * steps_per_epoch else highest / 2
    first, last = highest / 25, highest / 25e4
    total = settings.epochs * steps_per_epoch
    peak = 0.3 * total - 1
    if step <= peak:
        return _cosine(first, highest, step / peak)
    return _cosine(highest, last, (step - peak) / max(total - 1 - peak, 1e-9))


def _cosine(start: float, end: float, fraction: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * min(fraction, 1.0)))
