"""Prints the values that drift_test.cc expects, by scipy and numpy."""

import numpy as np
from scipy import special, stats


def sample(size, seed, power):
    out = []
    for _ in range(size):
        seed = (seed * 1664525 + 1013904223) & 0xFFFFFFFF
        out.append((seed >> 8) / 16777216.0)
    return np.array(out) ** power


def ks(name, a, b):
    exact = stats.ks_2samp(a, b)
    n, m = len(a), len(b)
    print("K" + name, repr(float(exact.statistic)))
    print("P" + name, repr(float(special.kolmogorov(np.sqrt(n * m / (n + m)) * exact.statistic))))


ks("1", sample(500, 1, 1), sample(700, 2, 1))
ks("2", sample(500, 1, 1), sample(700, 2, 2))
ks("3", sample(30, 3, 1), sample(40, 4, 3))
for i, x in enumerate((0.2, 0.5, 0.99, 1.0, 1.5, 3.0), 1):
    print(f"S{i}", repr(float(special.kolmogorov(x))))


def psi(reference, now, bins=10):
    ordered = np.sort(reference)
    edges = np.unique([ordered[i * len(ordered) // bins] for i in range(1, bins)])
    # Bin i holds edges[i-1] < value <= edges[i].
    count = lambda values: np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)
    p, q = count(now) + 0.5, count(reference) + 0.5
    p, q = p / p.sum(), q / q.sum()
    return float(np.sum((p - q) * np.log(p / q)))


print("I1", repr(psi(sample(1000, 1, 1), sample(800, 2, 1))))
print("I2", repr(psi(sample(1000, 1, 1), sample(800, 2, 2))))
