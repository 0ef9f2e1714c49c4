"""Train, calibrate and save the weights that ship: the default ones, and with --architecture the student.

    python benchmarks/train_default.py OUTPUT.safetensors [--epochs 15] [--per-epoch 40000]
                                       [--architecture iicnet] [--size 80] [--teacher WEIGHTS]
                                       [--distillation 0.5] [--start WEIGHTS] [--bands W1,W2,W3]
                                       [--learning-rate 2e-3] [--batch-size 64]
                                       [--recipe calibrated] [--flux-jitter 0]
                                       [--densest 16] [--seed 1] [--same]
                                       [--workers N]

Every epoch is a fresh simulation and nothing is seen twice, but with --same: the epochs then repeat the
sources of the first, and a teacher, which costs more than the student, looks at each once. With --start a
training goes on from weights that have learnt something, on sources of another seed. --densest takes in
more of the galactic plane; validation and calibration stay with the default. Run again after
an interrupt, it goes on with the last finished epoch. The temperature is fitted on sources of a seed of
their own.

On a CPU under Linux, page faults take a good part of the time; huge pages that are not given back avoid them:

    GLIBC_TUNABLES=glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=4294967296 python ...
"""

import argparse
from pathlib import Path

import numpy as np
from astropy.table import Table

from astro_iicnet.analysis.metrics import expected_calibration_error
from astro_iicnet.cutouts.base import Cutouts
from astro_iicnet.models.device import choose_device, choose_precision
from astro_iicnet.simulation.render import DENSEST
from astro_iicnet.training.calibration import fit_temperature
from astro_iicnet.training.datasets import class_labels
from astro_iicnet.training.distillation import Teacher
from astro_iicnet.training.finetune import start_from
from astro_iicnet.training.loop import predict_logits, train
from astro_iicnet.training.settings import TrainingSettings
from astro_iicnet.training.simulated import SimulatedStream, simulate_dataset
from astro_iicnet.weights.load import load_weights, new_weights, save_weights

STREAM_SEED, VALIDATION_SEED, CALIBRATION_SEED = 2_000_001, 2_000_002, 2_000_003


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities from logits."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def main() -> None:
    """Train and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--per-epoch", type=int, default=40_000)
    parser.add_argument("--architecture", default="iicnet")
    parser.add_argument("--size", type=int, help="default: 80, and 36 for the student")
    parser.add_argument("--teacher", help="weights whose probabilities are learnt beside the labels")
    parser.add_argument(
        "--distillation", type=float, default=0.5, help="share of the loss that is the teacher's"
    )
    parser.add_argument("--start", help="weights to go on from; they may have fewer bands")
    parser.add_argument("--bands", default="W1,W2,W3")
    parser.add_argument("--learning-rate", type=float, default=2e-3, help="the highest")
    parser.add_argument("--batch-size", type=int, default=64, help="larger ones fill a GPU")
    parser.add_argument("--recipe", default="calibrated")
    parser.add_argument("--flux-jitter", type=float, default=0.0)
    parser.add_argument(
        "--densest", type=float, default=DENSEST, help="highest star density, relative to a high latitude"
    )
    parser.add_argument("--seed", type=int, default=1, choices=range(1, 11), help="of network and sources")
    parser.add_argument("--same", action="store_true", help="every epoch repeats the sources of the first")
    parser.add_argument("--workers", type=int, help="processes that simulate; default: one for each core")
    options = parser.parse_args()
    name = options.output.name.removesuffix(".safetensors")
    bands = tuple(options.bands.split(","))
    if options.start:
        weights = start_from(options.start, name, bands=bands)
    else:
        weights = new_weights(
            name,
            architecture=options.architecture,
            bands=bands,
            recipe=options.recipe,
            size=options.size,
            seed=options.seed,
        )
    teacher = Teacher(load_weights(options.teacher), bands=bands) if options.teacher else None
    settings = TrainingSettings.preset(
        "one-cycle",
        epochs=options.epochs,
        learning_rate=options.learning_rate,
        batch_size=options.batch_size,
        flux_jitter=options.flux_jitter,
        distillation=options.distillation,
        seed=options.seed,
    )
    stream_seed = STREAM_SEED + 100 * bool(options.start) + 10_000 * (options.seed - 1)
    sky = {"bands": bands, "densest": options.densest}
    data: SimulatedStream | tuple[Cutouts, Table]
    if options.same:
        data = simulate_dataset(options.per_epoch, seed=stream_seed, **sky, workers=options.workers)
    else:
        data = SimulatedStream(options.per_epoch, stream_seed, **sky, workers=options.workers)
    validation = simulate_dataset(4000, seed=VALIDATION_SEED, bands=bands)
    state = options.output.with_suffix(".state.safetensors")
    history = train(
        weights.model, weights.preprocess, data, validation, settings, teacher=teacher, checkpoint=state
    )
    history.pprint_all()

    cutouts, table = simulate_dataset(20_000, seed=CALIBRATION_SEED, bands=bands)
    labels = class_labels(table)
    logits = predict_logits(weights.model, weights.preprocess, cutouts)
    temperature = fit_temperature(logits, labels)
    accuracy = float((logits.argmax(axis=1) == labels).mean())
    before, after = (expected_calibration_error(labels, softmax(logits / t)) for t in (1.0, temperature))
    print(f"calibration set: accuracy {accuracy:.4f}, temperature {temperature:.3f}, ", end="")
    print(f"expected calibration error {before:.4f} before and {after:.4f} after")
    images = options.per_epoch * (1 if options.same else options.epochs)
    seen = f"seen {options.epochs} times, turned and mirrored" if options.same else "seen once"
    device = choose_device("auto")
    share = f"in {settings.distillation:.0%} of the loss"
    taught = f", and the probabilities of {teacher.name} for them {share}" if teacher else ""
    save_weights(
        options.output,
        weights,
        temperature=temperature,
        training_data=(
            f"{images} simulated AllWISE-like cutouts (astro_iicnet.simulation), classes in equal "
            f"numbers, at up to {options.densest:g} times the stars of a high latitude, each "
            f"{seen}{taught}; {settings.schedule} schedule to {settings.learning_rate:g}, "
            f"batches of {settings.batch_size}, seed {options.seed}; on {device.type} in "
            f"{choose_precision('auto', device)}. No observed source was used."
        ),
        metrics={"simulated calibration set, 20000 sources": {"accuracy": round(accuracy, 4)}},
        licence="BSD-3-Clause",
        citation="Zhao et al. 2023, RAA 23, 085010, doi:10.1088/1674-4527/acd67e",
    )


if __name__ == "__main__":
    main()
