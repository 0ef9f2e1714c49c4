"""Fit the Gaussian mixtures of ``astro_iicnet.simulation.sersic`` and print them as Python.

For each Sersic index, six circular Gaussians (fractions and widths free) are fitted by least squares to the
exact encircled-energy curve, P(2n, b_n (r/R)^(1/n)) [1]_, at 200 radii from 0.03 to 60 half-light radii.
Each fit starts from the one before, so that the coefficients vary smoothly and can be interpolated in n.
n = 0.5 is a Gaussian already: all six widths are its own.

References
----------
.. [1] Graham & Driver 2005, PASA 22, 118, eq. 2.
"""

import numpy as np
from scipy.optimize import least_squares
from scipy.special import gammainc, gammaincinv

INDICES = (0.5, 0.55, 0.6, 0.7, 0.85, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0)
COMPONENTS = 6
RADII = np.geomspace(0.03, 60, 200)


def exact(n):
    """Fraction of the light of a Sersic profile within `RADII`."""
    return gammainc(2 * n, gammaincinv(2 * n, 0.5) * RADII ** (1 / n))


def unpack(p):
    """Fractions (softmax) and widths (positive increments in the logarithm, so they keep their order)."""
    fractions = np.exp(np.append(p[: COMPONENTS - 1], 0))
    log_sigma = np.cumsum(np.append(p[COMPONENTS - 1], np.exp(p[COMPONENTS:])))
    return fractions / fractions.sum(), np.exp(log_sigma)


def mixture(fractions, sigmas):
    """Fraction of the light of the mixture within `RADII`."""
    return (fractions * (1 - np.exp(-0.5 * (RADII[:, None] / sigmas) ** 2))).sum(1)


def residual(p, truth, previous):
    """Error of the encircled energy, with a weak pull towards the coefficients of the index before."""
    return np.append(mixture(*unpack(p)) - truth, 1e-3 * (p - previous))


def main():
    """Fit every index, print the two tables and the largest error."""
    p = np.concatenate(
        [np.linspace(-3, 0, COMPONENTS - 1), [np.log(0.1)], np.full(COMPONENTS - 1, np.log(0.6))]
    )
    rows = {}
    for n in sorted(INDICES, key=lambda v: abs(v - 4.0) if v <= 4 else 10 + v):
        if n == 5.0:
            p = rows[4.0]
        fit = least_squares(residual, p, args=(exact(n), p))
        rows[n] = p = fit.x
    rows = {n: unpack(row) for n, row in rows.items()}
    rows[0.5] = rows[0.55][0], np.full(COMPONENTS, 1 / np.sqrt(2 * np.log(2)))
    for name, part in (("FRACTIONS", 0), ("SIGMAS", 1)):
        print(f"_{name} = [")
        for n in INDICES:
            print("    [" + ", ".join(f"{v:.5g}" for v in rows[n][part]) + f"],  # n = {n}")
        print("]")
    for n in INDICES:
        error = np.abs(mixture(*rows[n]) - exact(n)).max()
        print(f"n = {n}: largest error of the encircled energy {error:.4f}")


if __name__ == "__main__":
    main()
