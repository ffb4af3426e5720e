#!/usr/bin/env python3
"""Makes the built-in music, src/mezzo/media/tracks/*.opus: four loops, each about half a minute, composed here.

Run it by hand after a change (needs ffmpeg with libopus; about two minutes); the results are committed.
"""

import array
import pathlib
import subprocess
import sys

import synth
from synth import Loop, bell, drum, hiss, partials, piano, pluck, rng_of

OUT = pathlib.Path(__file__).resolve().parents[2] / "src/mezzo/media/tracks"
BITS_PER_SECOND = 64_000
SAW = [1 / n for n in range(1, 9)]
PAD = [1, 0.45, 0.3, 0.12, 0.06]


def technology():
    """120 beats a minute, A minor: pulse bass, sixteenth-note arpeggio, pad, four on the floor."""
    beat, bars, rng = 0.5, 14, rng_of("technology")
    loop = Loop(bars * 4 * beat)
    chords = [(45, (57, 60, 64, 69)), (41, (57, 60, 65, 69)), (48, (55, 60, 64, 67)), (43, (55, 59, 62, 67))]
    kick, hat = drum(150, 45, 0.3, 0.3, rng), hiss(0.06, rng)
    bass = {root: partials(root, 0.22, SAW, 0.005, 0.08) for root, _ in chords}
    lead = {p: partials(p + 12, 0.16, [1, 0, 0.4, 0, 0.15], 0.004, 0.12) for _, notes in chords for p in notes}
    for bar in range(bars):
        root, notes = chords[bar % 4]
        start = bar * 4 * beat
        for note in notes[:3]:
            loop.add(partials(note, 4 * beat, PAD, 0.3, 0.4, detune=0.12), start, 0.05, (note - 60) / 12)
        for step in range(8):
            loop.add(bass[root], start + step * beat / 2, 0.14 if step % 2 else 0.2)
        for step in range(16):
            note = notes[(step * 3 + bar) % 4]
            loop.add(lead[note], start + step * beat / 4, 0.10 if step % 4 else 0.14, 0.5 if step % 2 else -0.5)
        for step in range(4):
            loop.add(kick, start + step * beat, 0.55)
            loop.add(hat, start + (step + 0.5) * beat, 0.10, 0.2)
    loop.reverb(0.16, 1.1)
    return loop


def literary():
    """66 beats a minute, D major: slow piano figures over soft strings."""
    beat, bars = 60 / 66, 8
    loop = Loop(bars * 4 * beat)
    chords = [(50, (62, 66, 69, 74)), (47, (62, 66, 71, 74)), (43, (59, 62, 67, 71)), (45, (61, 64, 69, 73)),
              (42, (61, 66, 69, 73)), (47, (62, 66, 71, 78)), (43, (62, 67, 71, 76)), (45, (61, 64, 69, 76))]
    melody = [78, None, 76, 74, 73, None, 74, 76, 74, None, 71, None, 69, None, None, None,
              73, None, 74, 76, 78, None, 76, 74, 76, None, 74, 71, 69, None, None, None]
    for bar, (root, notes) in enumerate(chords):
        start = bar * 4 * beat
        loop.add(piano(root, 4.5), start, 0.32, -0.25)
        for step, pick in enumerate((0, 1, 2, 3, 2, 1, 2, 1)):
            loop.add(piano(notes[pick], 2.6), start + step * beat / 2, 0.16, -0.1)
        for note in notes[:3]:
            loop.add(partials(note - 12, 4.4 * beat, PAD, 1.0, 1.2, detune=0.1), start, 0.035, (note - 66) / 16)
    for step, note in enumerate(melody):
        if note:
            loop.add(piano(note, 3.0), step * beat + 0.02, 0.34, 0.2)
    loop.reverb(0.35, 2.4)
    return loop


def fresh():
    """100 beats a minute, G major: plucked chords, a whistle-like tune, shaker."""
    beat, bars, rng = 0.6, 12, rng_of("fresh")
    loop = Loop(bars * 4 * beat)
    chords = [(43, (67, 71, 74, 79)), (40, (64, 67, 71, 76)), (36, (64, 67, 72, 76)), (38, (66, 69, 74, 78))]
    tune = [(83, 1.5), (81, 0.5), (79, 1), (76, 1), (78, 1.5), (79, 0.5), (74, 2), (76, 1), (79, 1), (83, 1), (81, 1),
            (79, 1), (78, 1), (76, 0.5), (74, 1.5)]
    strings = {p: pluck(p, 1.2, rng) for _, notes in chords for p in notes}
    low = {root: pluck(root, 1.6, rng, 0.7) for root, _ in chords}
    shake = hiss(0.09, rng, 0.8)
    for bar in range(bars):
        root, notes = chords[bar % 4]
        start = bar * 4 * beat
        for step in (0, 2):
            loop.add(low[root], start + step * beat, 0.5)
        for strum, level in ((0, 0.34), (1, 0.22), (1.5, 0.2), (2.5, 0.26), (3, 0.24), (3.5, 0.18)):
            order = notes if strum in (0, 1, 2.5) else notes[::-1]
            for i, note in enumerate(order):
                loop.add(strings[note], start + strum * beat + i * 0.012, level, -0.35 + 0.2 * i)
        for step in range(8):
            loop.add(shake, start + step * beat / 2, 0.07 if step % 2 else 0.04, 0.4)
    for first_bar in (0, 8):
        at = first_bar * 4 * beat
        for note, beats in tune:
            loop.add(partials(note, beats * beat, [1, 0.15, 0.06], 0.04, 0.12), at, 0.16, 0.15)
            at += beats * beat
    loop.reverb(0.18, 1.3)
    return loop


def festive():
    """116 beats a minute, pentatonic on D: bells, plucked strings and big drums."""
    beat, bars, rng = 60 / 116, 14, rng_of("festive")
    loop = Loop(bars * 4 * beat)
    chords = [(50, (62, 66, 69)), (43, (62, 67, 71)), (47, (62, 66, 71)), (45, (64, 69, 73))]
    tune = [(74, 1), (76, 0.5), (78, 0.5), (81, 1), (78, 1), (83, 1), (81, 0.5), (78, 0.5), (76, 2),
            (78, 1), (81, 0.5), (83, 0.5), (86, 1), (83, 1), (81, 1), (78, 0.5), (76, 0.5), (74, 2)]
    big, rim = drum(95, 52, 0.55, 0.5, rng), drum(330, 210, 0.14, 0.8, rng)
    jingle = hiss(0.12, rng, 0.95)
    strings = {p: pluck(p + 12, 0.9, rng, 0.3) for _, notes in chords for p in notes}
    for bar in range(bars):
        root, notes = chords[bar % 4]
        start = bar * 4 * beat
        loop.add(partials(root, 1.9 * beat, SAW[:5], 0.01, 0.1), start, 0.2)
        loop.add(partials(root + 7, 1.9 * beat, SAW[:5], 0.01, 0.1), start + 2 * beat, 0.15)
        for at, level in ((0, 0.7), (1.5, 0.4), (2, 0.6), (3, 0.35), (3.5, 0.45)):
            loop.add(big, start + at * beat, level)
        for at in (1, 3, 3.25, 3.75):
            loop.add(rim, start + at * beat, 0.22, 0.3)
        for step in range(8):
            loop.add(jingle, start + step * beat / 2, 0.09 if step % 2 == 0 else 0.05, -0.4)
            loop.add(strings[notes[step % 3]], start + step * beat / 2, 0.22, -0.2)
    for first_bar in (0, 7):
        at = first_bar * 4 * beat
        for note, beats in tune:
            loop.add(bell(note, 1.8), at, 0.3, 0.15)
            loop.add(pluck(note, 0.8, rng, 0.3), at, 0.25, 0.0)
            at += beats * beat
    loop.reverb(0.2, 1.5)
    return loop


def encode(loop, path):
    samples = array.array("f")
    for left, right in zip(loop.left, loop.right):
        samples.append(left)
        samples.append(right)
    if sys.byteorder == "big":
        samples.byteswap()
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-f", "f32le", "-ar", str(synth.RATE), "-ac", "2", "-i", "-",
                    "-c:a", "libopus", "-b:a", str(BITS_PER_SECOND), "-vbr", "constrained", "-fflags", "+bitexact",
                    "-flags:a", "+bitexact", "-map_metadata", "-1", str(path)],
                   input=samples.tobytes(), check=True)


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for make in (technology, literary, fresh, festive):
        loop = make()
        loop.normalise(0.7)
        path = OUT / f"{make.__name__}.opus"
        encode(loop, path)
        print(f"{path.name}: {loop.length / synth.RATE:.2f} s, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
