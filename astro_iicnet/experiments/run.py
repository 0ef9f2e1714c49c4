"""One run of the experiments: its folder, its budget, its sample."""

import io
import json
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table, vstack

from astro_iicnet.cutouts.base import Cutouts
from astro_iicnet.exceptions import IICnetError
from astro_iicnet.experiments.budgets import BUDGETS, Budget
from astro_iicnet.labels import CLASSES, Status
from astro_iicnet.training.datasets import SURVEY, Split, class_labels, read_dataset, survey_of, write_dataset
from astro_iicnet.training.simulated import simulate_dataset
from astro_iicnet.training.splits import dataset_split
from astro_iicnet.weights.registry import sha256

BANDS = ("W1", "W2", "W3", "W4")
"""Bands of the sample; most networks look at the first three."""


@dataclass(frozen=True)
class Run:
    """Where the experiments work, and with what.

    Parameters
    ----------
    folder : pathlib.Path
        Everything is kept here, and not done again.
    budget : Budget
        How much work.
    seed : int
        Of the sample, its split, and every network.
    device : str
        A torch device, or "auto".
    progress : bool
        Show progress on stderr.
    data : pathlib.Path, optional
        Labelled cutouts in W1 to W4, a file of `~astro_iicnet.training.datasets.write_dataset`, in
        place of the budget's simulated sample. Its column ``split`` counts, if there is one.
    """

    folder: Path
    budget: Budget
    seed: int
    device: str
    progress: bool
    data: Path | None = None

    def open(self) -> None:
        """Make the folder, or see that it is of the same run.

        Raises
        ------
        IICnetError
            If it holds another run, or the data cannot be used.
        """
        mine: dict[str, Any] = {"budget": self._facts(), "seed": self.seed}
        if self.data is not None:
            self._check_data()
            mine["data_sha256"] = sha256(self.data)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "run.json"
        if not path.exists():
            write_text(path, json.dumps(mine, indent=1))
        theirs = json.loads(path.read_text(encoding="utf-8"))
        if theirs != mine:
            raise IICnetError(
                f"{self.folder} holds experiments of {theirs}, not of {mine}: give another folder, "
                "or remove it."
            )

    @cached_property
    def sample(self) -> tuple[Cutouts, Table]:
        """The labelled cutouts that all networks see: those given, or simulated once and kept."""
        if self.data is not None:
            return read_dataset(self.data)
        path = self.folder / "sample.fits"
        if not path.exists():
            write_dataset(path, *self._simulate())
        return read_dataset(path)

    @cached_property
    def labels(self) -> np.ndarray:
        """(N,) label indices of the sample."""
        return class_labels(self.sample[1])

    @cached_property
    def split(self) -> Split:
        """Rows of the sample for training, test and validation, all with usable pixels."""
        cutouts, table = self.sample
        ok = np.flatnonzero(cutouts.status == Status.OK)
        return Split(*(ok[part] for part in dataset_split(table[ok], seed=self.seed)))

    @property
    def about(self) -> str:
        """What the sample is, in words."""
        return (
            "simulated AllWISE-like cutouts (astro_iicnet.simulation)"
            if self.data is None
            else self.data.name
        )

    @cached_property
    def search_rows(self) -> np.ndarray:
        """Rows of the training set, drawn at random, on which learning rates are tried."""
        rows = np.random.default_rng(self.seed).permutation(self.split.train)
        return np.sort(rows[: self.budget.search_sources])

    def part(self, rows: np.ndarray, bands: tuple[str, ...]) -> tuple[Cutouts, Table]:
        """Rows of the sample in some bands.

        Parameters
        ----------
        rows : numpy.ndarray
            Row numbers.
        bands : tuple of str
            Band names.

        Returns
        -------
        tuple of Cutouts and `~astropy.table.Table`
            For the training loop.
        """
        cutouts, table = self.sample
        return cutouts[rows].select_bands(bands), table[rows]

    def write(self, name: str, table: Table) -> Table:
        """Write a table of results as ECSV, with all that made it.

        Parameters
        ----------
        name : str
            File name without ending.
        table : `~astropy.table.Table`
            The results.

        Returns
        -------
        `~astropy.table.Table`
            The same, its ``meta`` filled.
        """
        made: dict[str, Any] = {
            "table": name,
            "budget": self._facts(),
            "seed": self.seed,
            "command": self._command(),
            "data": f"{self.about}, test set",
            "astro_iicnet": version("astro_iicnet"),
            "paper": "Zhao et al. 2023, RAA 23, 085010",
        }
        table.meta = made | dict(table.meta)
        write_table(self.folder / f"{name}.ecsv", table)
        return table

    def _facts(self) -> dict[str, Any]:
        """The budget, with the class sizes of the data, if they were given."""
        facts = self.budget.to_dict()
        if self.data is not None:
            facts["class_sizes"] = np.bincount(self.labels, minlength=len(CLASSES)).tolist()
        return facts

    def _command(self) -> str:
        name, epochs = self.budget.name, self.budget.epochs
        changed = name in BUDGETS and BUDGETS[name].epochs != epochs
        longer = f" --epochs {epochs}" if changed else ""
        data = "" if self.data is None else f" --data {self.data.name}"
        return f"astro-iicnet reproduce --budget {name}{longer}{data} --seed {self.seed} --out DIR"

    def _check_data(self) -> None:
        cutouts, table = self.sample
        if survey_of(table) != SURVEY:
            raise IICnetError(f"{self.data} is of the survey {survey_of(table)!r}: expected {SURVEY!r}.")
        cutouts.select_bands(BANDS)
        for name, part in self.split._asdict().items():
            if not np.bincount(self.labels[part], minlength=len(CLASSES)).all():
                raise IICnetError(
                    f"{self.data}: the part {name} lacks a class; {', '.join(CLASSES)} are needed in each."
                )

    def _simulate(self) -> tuple[Cutouts, Table]:
        """Each class by itself: the numbers are exact, and a class does not depend on another's number."""
        parts = []
        for index, n in enumerate(self.budget.class_sizes):
            seed = np.random.SeedSequence(self.seed, spawn_key=(index,))
            share = tuple(float(k == index) for k in range(3))
            parts.append(simulate_dataset(n, seed=seed, fractions=share, bands=BANDS))  # type: ignore[arg-type]
        fields = ("pixels", "offset", "status", "tile")
        joined = {name: np.concatenate([getattr(c, name) for c, _ in parts]) for name in fields}
        table = vstack([table for _, table in parts], metadata_conflicts="silent")
        table.meta = {"origin": parts[0][1].meta["origin"], "seed": str(self.seed), "bands": " ".join(BANDS)}
        return Cutouts(bands=BANDS, magzp=parts[0][0].magzp, **joined), table


def write_table(path: Path, table: Table) -> None:
    """Write an ECSV table that is whole or not there.

    Parameters
    ----------
    path : pathlib.Path
        The file; an older one is replaced.
    table : `~astropy.table.Table`
        What to write.
    """
    text = io.StringIO()
    table.write(text, format="ascii.ecsv")
    write_text(path, text.getvalue())


def write_text(path: Path, text: str) -> None:
    """Write a text file that is whole or not there.

    Parameters
    ----------
    path : pathlib.Path
        The file; an older one is replaced.
    text : str
        What to write.
    """
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
