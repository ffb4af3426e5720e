"""Prints the values that ssim_test.cc expects, by scikit-image (pip install scikit-image)."""

import numpy as np
from skimage.metrics import structural_similarity


def noise(width, height, seed):
    out = []
    for _ in range(width * height):
        seed = (seed * 1664525 + 1013904223) & 0xFFFFFFFF
        out.append(seed >> 24)
    return np.array(out, dtype=np.float64).reshape(height, width)


def gradient(width, height):
    y, x = np.mgrid[0:height, 0:width]
    return ((3 * x + 5 * y) % 256).astype(np.float64)


def mixed(a, b, sixteenths):
    return np.floor((a * (16 - sixteenths) + b * sixteenths) / 16)


def ssim(a, b, data_range=255):
    return structural_similarity(a, b, data_range=data_range, gaussian_weights=True, sigma=1.5,
                                 use_sample_covariance=False)


G, N = gradient(40, 31), noise(40, 31, 7)
for value in (ssim(G, mixed(G, N, 1)), ssim(G, mixed(G, N, 4)), ssim(G, N), ssim(noise(11, 11, 1), noise(11, 11, 2)),
              ssim(G, mixed(G, N, 4), 1)):
    print(repr(float(value)))
