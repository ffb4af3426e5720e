#!/usr/bin/env python3
"""The values in src/mezzo/releases/sequential_tests_test.cc, computed another way: exact fractions for the hypergeometric
laws, numeric integrals for the mixtures, call by call for the urn. Standard library only."""

from fractions import Fraction
from math import comb, exp, lgamma, log, log1p, pi, sqrt

ODDS = [Fraction(text) for text in ("1.3", "1.7", "2.5", "4", "7", "12", "20", "35", "70")]
WEIGHTS = [Fraction(text) for text in ("0.01", "0.02", "0.03", "0.05", "0.10", "0.17", "0.27", "0.26", "0.09")]
CAP = 100


def split(calls, other, hits, odds):
    """The law of the first arm's hits."""
    weights = {y: comb(calls, y) * comb(other, hits - y) * odds**y for y in range(max(0, hits - other), min(hits, calls) + 1)}
    total = sum(weights.values())
    return {y: weight / total for y, weight in weights.items()}


def two_proportions(batches, tolerated):
    ratios = [Fraction(1)] * len(ODDS)
    for (calls, hits), (other, other_hits) in batches:
        null = split(calls, other, hits + other_hits, tolerated)[hits]
        for i, odds in enumerate(ODDS):
            ratios[i] *= min(split(calls, other, hits + other_hits, odds * tolerated)[hits] / null, CAP)
    return log(sum(weight * ratio for weight, ratio in zip(WEIGHTS, ratios)))


def ceiling(batches, limit):
    ratios = [Fraction(1)] * len(ODDS)
    for calls, hits in batches:
        for i, odds in enumerate(ODDS):
            p = odds * limit / (1 - limit + odds * limit)
            ratios[i] *= min((p / limit) ** hits * ((1 - p) / (1 - limit)) ** (calls - hits), CAP)
    return log(sum(weight * ratio for weight, ratio in zip(WEIGHTS, ratios)))


def simpson(f, low, high, steps=20000):
    width = (high - low) / steps
    return width / 3 * (f(low) + f(high) + sum((4 if i % 2 else 2) * f(low + i * width) for i in range(1, steps)))


def mean_shift(batches, sigma, shift):
    total = information = 0.0
    for first, second in batches:
        variance = sigma**2 / len(first) + sigma**2 / len(second)
        total += (sum(first) / len(first) - sum(second) / len(second)) / variance
        information += 1 / variance
    tau = shift * sigma
    prior = lambda x: 2 * exp(-(x**2) / (2 * tau**2)) / (tau * sqrt(2 * pi))  # noqa: E731
    return log(simpson(lambda x: prior(x) * exp(x * total - x * x * information / 2), 0, 12 * tau))


def urn(shares, batches, strength=100):
    """Pólya's: the chance of each call's arm by the Dirichlet prior and the calls before, over the share."""
    counts = [0] * len(shares)
    evidence = 0.0
    for batch in batches:
        for arm, calls in enumerate(batch):
            for _ in range(calls):
                evidence += log((strength * shares[arm] + counts[arm]) / (strength + sum(counts)) / shares[arm])
                counts[arm] += 1
    return evidence


def rate_edges(calls, hits, alpha):
    """Where the Beta(1/2, 1/2) mixture stops rejecting, by steps of a millionth."""
    def evidence(p):
        return (lgamma(hits + 0.5) + lgamma(calls - hits + 0.5) - lgamma(calls + 1) - log(pi)
                - hits * log(p) - (calls - hits) * log1p(-p))
    inside = [i / 1e6 for i in range(1, 1000000) if evidence(i / 1e6) < -log(alpha)]
    return inside[0], inside[-1]


BATCHES = [((10, 1), (190, 0)), ((10, 2), (190, 1)), ((12, 0), (180, 0)), ((9, 1), (200, 1))]
if __name__ == "__main__":
    print("two proportions", repr(two_proportions(BATCHES, Fraction(1))))
    print("two proportions, tolerated 1.5", repr(two_proportions(BATCHES, Fraction("1.5"))))
    print("two proportions, capped", repr(two_proportions([((10, 10), (100, 0))], Fraction(1))))
    print("two proportions, large", repr(two_proportions([((3000, 90), (2000, 40))], Fraction(1))))
    print("ceiling", repr(ceiling([(100, 3), (100, 2)], Fraction("0.01"))))
    values = ([0.5, 0.75, 1.0, 0.25, 0.75], [0.25, 0.5, 0.0, 0.5, 0.25, 0.0])
    print("mean shift", repr(mean_shift([values, values], 0.5, 0.2)))
    print("mean shift the other way", repr(mean_shift([values[::-1]] * 3, 0.5, 0.2)))
    print("urn", repr(urn([0.05, 0.05, 0.9], [(60, 52, 900), (10, 20, 300)])))
    print("rate", rate_edges(100, 3, 0.01), rate_edges(50, 0, 0.05))
