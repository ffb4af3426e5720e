"""Sounds as lists of samples: oscillators, plucked strings, drums and a reverb, in plain Python.

A `Loop` is a ring: what rings on past its end continues at its start, so it can be repeated without a seam.
Rate: 48,000 samples a second. Pitches are MIDI numbers (69 is A4, 440 Hz), times are seconds.
"""

import math
import random

RATE = 48000
TAU = 2 * math.pi


def hertz(pitch):
    return 440.0 * 2 ** ((pitch - 69) / 12)


class Loop:
    """A stereo ring of samples that sounds are added to."""

    def __init__(self, seconds):
        self.length = round(seconds * RATE)
        self.left = [0.0] * self.length
        self.right = [0.0] * self.length

    def add(self, sound, at, gain=1.0, pan=0.0):
        """Adds `sound` at second `at`; pan -1 is left, 1 is right (equal power)."""
        angle = (pan + 1) * math.pi / 4
        to_left, to_right = gain * math.cos(angle), gain * math.sin(angle)
        left, right, length = self.left, self.right, self.length
        i = round(at * RATE) % length
        for sample in sound:
            left[i] += sample * to_left
            right[i] += sample * to_right
            i += 1
            if i == length:
                i = 0

    def reverb(self, wet, decay):
        """Schroeder's reverberator (1962): parallel combs, then all-passes; once around to fill the ring first."""
        for channel, spread in ((self.left, 0), (self.right, 23)):
            total = [0.0] * self.length
            for delay in (1687, 1601, 2053, 2251):
                gain = 10 ** (-3 * delay / RATE / decay)
                for i, sample in enumerate(_comb(channel, delay + spread, gain)):
                    total[i] += sample * 0.25
            for delay in (347, 113):
                total = _all_pass(total, delay + spread, 0.7)
            for i, sample in enumerate(total):
                channel[i] += wet * sample

    def normalise(self, peak):
        scale = peak / max(max(map(abs, self.left)), max(map(abs, self.right)))
        self.left = [s * scale for s in self.left]
        self.right = [s * scale for s in self.right]


def _comb(ring, delay, gain):
    line, at, damped = [0.0] * delay, 0, 0.0
    for turn in range(2):
        out = []
        for sample in ring:
            delayed = line[at]
            damped = 0.75 * delayed + 0.25 * damped
            line[at] = sample + gain * damped
            at = at + 1 if at + 1 < delay else 0
            if turn:
                out.append(delayed)
    return out


def _all_pass(ring, delay, gain):
    line, at = [0.0] * delay, 0
    for turn in range(2):
        out = []
        for sample in ring:
            delayed = line[at]
            fed = sample + gain * delayed
            line[at] = fed
            at = at + 1 if at + 1 < delay else 0
            if turn:
                out.append(delayed - gain * fed)
    return out


def envelope(count, attack, release):
    """A factor for each of `count` samples: linear in, flat, linear out."""
    rise, fall = max(1, round(attack * RATE)), max(1, round(release * RATE))
    return [min(1.0, i / rise, (count - i) / fall) for i in range(count)]


def partials(pitch, seconds, levels, attack=0.01, release=0.05, detune=0.0):
    """A held tone: harmonic n + 1 has the n-th level; two voices `detune` semitones apart."""
    count = round(seconds * RATE)
    out = [0.0] * count
    for voice in ((-detune / 2, detune / 2) if detune else (0.0,)):
        base = hertz(pitch + voice)
        for n, level in enumerate(levels):
            step = TAU * base * (n + 1) / RATE
            if step > 2.5 or not level:
                continue
            for i in range(count):
                out[i] += level * math.sin(step * i)
    return [s * e for s, e in zip(out, envelope(count, attack, release))]


def struck(pitch, seconds, shape, attack=0.003):
    """A tone that dies away: `shape` lists (multiple of the pitch, level, seconds to fall by 60 dB)."""
    count = round(seconds * RATE)
    out = [0.0] * count
    for multiple, level, fall in shape:
        step = TAU * hertz(pitch) * multiple / RATE
        if step > 2.5:
            continue
        decay, now = 10 ** (-3 / (fall * RATE)), level
        for i in range(count):
            out[i] += now * math.sin(step * i)
            now *= decay
    return [s * e for s, e in zip(out, envelope(count, attack, 0.05))]


def piano(pitch, seconds):
    bright = 1.0 if pitch < 60 else 0.7
    return struck(pitch, seconds, [(1, 1.0, 3.2), (2.001, 0.5 * bright, 2.2), (3.004, 0.28 * bright, 1.5),
                                   (4.01, 0.14 * bright, 1.0), (5.02, 0.07, 0.7), (6.03, 0.04, 0.5)])


def bell(pitch, seconds):
    return struck(pitch, seconds, [(1, 0.8, 2.4), (2.0, 0.5, 1.8), (2.756, 0.35, 1.1), (5.404, 0.2, 0.6),
                                   (8.93, 0.08, 0.3)], attack=0.001)


def pluck(pitch, seconds, rng, softness=0.5):
    """A plucked string (Karplus and Strong 1983): noise in a delay line that averages neighbours."""
    period = max(2, round(RATE / hertz(pitch)))
    line = [rng.uniform(-1, 1) for _ in range(period)]
    for _ in range(3):
        line = [softness * line[i - 1] + (1 - softness) * line[i] for i in range(period)]
    out, at = [], 0
    for _ in range(round(seconds * RATE)):
        out.append(line[at])
        after = at + 1 if at + 1 < period else 0
        line[at] = 0.4985 * (line[at] + line[after])
        at = after
    return [s * e for s, e in zip(out, envelope(len(out), 0.001, 0.1))]


def drum(start, end, seconds, click=0.0, rng=None):
    """A falling sine from `start` to `end` Hz with a little noise at its beginning."""
    count, phase, out = round(seconds * RATE), 0.0, []
    for i in range(count):
        t = i / count
        phase += TAU * (end + (start - end) * math.exp(-9 * t)) / RATE
        noise = click * rng.uniform(-1, 1) * math.exp(-60 * t) if click else 0.0
        out.append((math.sin(phase) + noise) * math.exp(-5 * t) * (1 - t))
    return out


def hiss(seconds, rng, color=0.9):
    """Noise with its low part taken away, dying fast: a hat or a shaker."""
    out, before, high = [], 0.0, 0.0
    count = round(seconds * RATE)
    for i in range(count):
        sample = rng.uniform(-1, 1)
        high = color * (high + sample - before)
        before = sample
        out.append(high * math.exp(-6 * i / count))
    return out


def rng_of(name):
    """The same noise in every run."""
    return random.Random("mezzo-" + name)
