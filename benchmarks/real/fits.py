"""Fitting a model of scikit-learn again and again, to find out how sure it can be (the bootstrap)."""

from __future__ import annotations

from pathlib import Path

import numpy
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression

DIFFERENT = 4
"""There are so many times as many rows as a sample has."""


def make(folder: Path, count: int, size: int) -> list[list[str | int]]:
    """The path of a table, the seed of a sample, and how many rows it has, for each job."""
    path = folder / f"{size}.npy"
    rows, labels = make_classification(size * DIFFERENT, n_features=20, n_informative=10, random_state=size)
    numpy.save(path, numpy.column_stack((rows, labels)))
    return [[str(path), number, size] for number in range(count)]


def work(job: list[str | int]) -> list[int]:
    """How many rows of its sample the model gets right, and in how many steps it was found."""
    path, seed, size = str(job[0]), int(job[1]), int(job[2])
    table = numpy.load(path)
    sample = table[numpy.random.default_rng(seed).integers(len(table), size=size)]
    rows, labels = sample[:, :-1], sample[:, -1]
    model = LogisticRegression().fit(rows, labels)
    return [int((model.predict(rows) == labels).sum()), int(model.n_iter_[0])]
