"""Train the colour network and the image + colour network, and compare them with the image alone.

    python benchmarks/train_fusion.py FOLDER [--image iicnet-sim-v3] [--teacher student-sim-v2]
                                      [--n-train 150000] [--epochs 20] [--learning-rate 5e-4]
                                      [--densest 64] [--n-test 20000] [--seed 1] [--workers N]

Everything is simulated; all magnitudes are measured from the rendered pixels. The image branch of the
fusion network is that of the weights ``--image``, and is not trained on; what the teacher says of an image
is half of what the fusion network learns. Written to the folder are magnitudes-sim-v3 (magnitudes and
colours), colours-sim-v3 (W1-W2 and W2-W3 alone) and fusion-sim-v3, each with its temperature fitted on
sources of a seed of their own. Printed is the accuracy on the same fresh sources in the paper's class
balance, with its 95 % interval and calibration error, with all magnitudes, without W3 and without W2 and W3,
and the 95 % interval of the difference to the image alone (paired bootstrap). "image, head taught" is a
fusion network trained in the same way on sources of which no magnitude is known: what fusion gains by its
teacher alone.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from astropy.table import Table

from astro_iicnet.analysis.metrics import expected_calibration_error, wilson_interval
from astro_iicnet.fusion import cuts
from astro_iicnet.labels import CLASSES
from astro_iicnet.models.device import choose_device
from astro_iicnet.training.calibration import fit_temperature
from astro_iicnet.training.distillation import Teacher
from astro_iicnet.training.fusion import new_fusion_weights
from astro_iicnet.training.magnitudes import (
    MeasuredSources,
    magnitude_logits,
    measure_sources,
    train_on_magnitudes,
)
from astro_iicnet.training.settings import TrainingSettings
from astro_iicnet.training.simulated import simulate_dataset
from astro_iicnet.weights.load import Weights, load_weights, new_weights, save_weights

TRAIN_SEED, VALIDATION_SEED, CALIBRATION_SEED, TEST_SEED = 2_100_001, 2_100_002, 2_100_003, 9_000_001
CONTROL = "image, head taught"
PAPER_FRACTIONS = (7298 / 21736, 7215 / 21736, 7223 / 21736)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities from logits."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def gain(right: np.ndarray, reference: np.ndarray, n: int = 2000) -> tuple[float, float]:
    """95 % interval of the difference of two accuracies on the same sources, by paired bootstrap."""
    rng = np.random.default_rng(0)
    difference = right.astype(float) - reference
    means = [difference[rng.integers(0, len(difference), len(difference))].mean() for _ in range(n)]
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def without(data: MeasuredSources, *bands: int) -> MeasuredSources:
    """The same sources with some bands unknown."""
    photometry = data.photometry.clone()
    photometry[:, 0, list(bands)] = torch.nan
    photometry[:, 1, list(bands)] = 0
    return data._replace(photometry=photometry)


def train(
    weights: Weights, data: dict[str, MeasuredSources], settings: TrainingSettings, folder: Path, about: str
) -> float:
    """Train, calibrate and save one network; its temperature."""
    history = train_on_magnitudes(weights.model, data["train"], data["validation"], settings)
    best = history[int(np.argmin(history["validation_loss"]))]
    calibration = magnitude_logits(weights.model, data["calibration"])
    labels = data["calibration"].labels.numpy()
    temperature = fit_temperature(calibration, labels)
    accuracy = float((calibration.argmax(axis=1) == labels).mean())
    print(f"{weights.name}: best epoch {best['epoch']} of {len(history)}, temperature {temperature:.3f}")
    save_weights(
        folder / f"{weights.name}.safetensors",
        weights,
        temperature=temperature,
        training_data=about,
        metrics={f"simulated calibration set, {len(labels)} sources": {"accuracy": round(accuracy, 4)}},
        licence="BSD-3-Clause",
        citation="Zhao et al. 2023, RAA 23, 085010, doi:10.1088/1674-4527/acd67e",
    )
    return temperature


def main() -> None:
    """Simulate, train, save, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--image", default="iicnet-sim-v3")
    parser.add_argument("--teacher", default="student-sim-v2")
    parser.add_argument("--n-train", type=int, default=150_000)
    parser.add_argument("--n-test", type=int, default=20_000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--learning-rate", type=float, default=5e-4, help="the highest, of fusion alone")
    parser.add_argument(
        "--densest", type=float, default=64.0, help="highest star density to learn from, see train_default.py"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, help="processes that simulate; default: one for each core")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    image = load_weights(options.image)
    if image.record["architecture"] != "iicnet":
        parser.error(f"--image {options.image}: expected weights of an IICnet")
    sizes = {"train": options.n_train, "validation": 5_000, "calibration": 20_000, "test": options.n_test}
    seeds = (TRAIN_SEED, VALIDATION_SEED, CALIBRATION_SEED, TEST_SEED)
    teacher = Teacher(load_weights(options.teacher))
    data = {}
    for (part, n), seed in zip(sizes.items(), seeds, strict=True):
        sky = {"fractions": PAPER_FRACTIONS} if part == "test" else {}
        sky |= {"densest": options.densest} if part == "train" else {}
        made = simulate_dataset(n, seed=seed, workers=options.workers, **sky)
        asked = teacher if part == "train" else None
        data[part] = measure_sources(made, image.model, image.preprocess, teacher=asked)
    image.model.to("cpu")

    settings = TrainingSettings.preset("one-cycle", epochs=options.epochs, batch_size=256, seed=options.seed)
    about = (
        f"{options.n_train} simulated AllWISE-like sources (astro_iicnet.simulation), classes in equal "
        f"numbers, at up to {options.densest:g} times the stars of a high latitude, magnitudes measured from "
        f"their pixels, {options.epochs} times with bands dropped at "
        f"random; {settings.schedule} schedule, batches of {settings.batch_size}, seed {options.seed}; on "
        f"the CPU, image features on {choose_device('auto').type}. No observed source was used."
    )
    common = {
        "bands": image.bands, "recipe": image.preprocess.recipe.name,
        "size": image.preprocess.recipe.size, "seed": options.seed,
    }  # fmt: skip
    color = new_weights("magnitudes-sim-v3", architecture="color", **common)
    colours = new_weights("colours-sim-v3", architecture="color", features="colours", **common)
    taught = data["train"]
    # What they know is to be their own: they are there to compare with the image.
    data["train"] = taught._replace(taught=taught.taught[:, :0])
    temperature = {
        weights.name: train(weights, data, settings, options.folder, about) for weights in (color, colours)
    }
    data["train"] = taught
    fusion = new_fusion_weights("fusion-sim-v3", image, color, seed=options.seed)
    # It answers as the image network from the start; a high rate would forget what that one has learnt.
    gentle = replace(settings, learning_rate=options.learning_rate)
    above = (
        f"{about} Image branch: {image.name} (SHA-256 {image.record['sha256']}), as it was; learning rate to "
        f"{gentle.learning_rate:g}. Half of the target are the probabilities of {teacher.name}."
    )
    temperature[fusion.name] = train(fusion, data, gentle, options.folder, above)
    control = new_fusion_weights(CONTROL, image, color, seed=options.seed)
    blind = {part: without(sources, 0, 1, 2) for part, sources in data.items()}
    train_on_magnitudes(control.model, blind["train"], blind["validation"], gentle)
    logits = magnitude_logits(control.model, blind["calibration"])
    temperature[CONTROL] = fit_temperature(logits, blind["calibration"].labels.numpy())
    report(image, [color, colours, control, fusion], temperature, data["test"])


def report(
    image: Weights, networks: list[Weights], temperature: dict[str, float], test: MeasuredSources
) -> None:
    """Print the table of accuracies on the test sources."""
    labels = test.labels.numpy()
    with torch.no_grad():
        alone = image.model.head(test.embedding).numpy() / image.record["temperature"]
    reference = alone.argmax(axis=1) == labels
    rows = [("image alone", alone)]
    for weights in networks:
        cases = {"": test, ", W3 unknown": without(test, 2), ", W2 and W3 unknown": without(test, 1, 2)}
        if weights.name == CONTROL:
            cases = {"": without(test, 0, 1, 2)}
        for words, case in cases.items():
            logits = magnitude_logits(weights.model, case) / temperature[weights.name]
            rows.append((weights.name + words, logits))
    names = ["network", "accuracy", "low", "high", "ECE", "gain_low", "gain_high"]
    table = Table(names=names, dtype=[str] + [float] * 6)
    for name, logits in rows:
        right = logits.argmax(axis=1) == labels
        interval = wilson_interval(int(right.sum()), len(right))
        error = expected_calibration_error(labels, softmax(logits))
        table.add_row((name, right.mean(), *interval, error, *gain(right, reference)))
    for column in names[1:]:
        table[column].format = ".4f"
    table.pprint_all()
    print("\nclassical cuts, quasar against the rest: completeness and purity of the quasars")
    w1, w2, w3 = test.photometry[:, 0].numpy().T
    quasar = labels == CLASSES.index("quasar")
    chosen = {
        "Stern 2012": cuts.stern_2012(w1, w2), "Mateos 2012": cuts.mateos_2012(w1, w2, w3),
        "Jarrett 2011": cuts.jarrett_2011(w1, w2, w3), "Assef 2018 R90": cuts.assef_2018_r90(w1, w2),
    }  # fmt: skip
    chosen |= {
        name: logits.argmax(axis=1) == CLASSES.index("quasar") for name, logits in rows if "," not in name
    }
    for name, found in chosen.items():
        both = (found & quasar).sum()
        print(f"{name:18s} {both / quasar.sum():.4f} {both / max(found.sum(), 1):.4f}")


if __name__ == "__main__":
    main()
