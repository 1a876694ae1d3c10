"""How many different pictures of like things are taken for copies, and how many planted copies are found among them.

    python tests/bench/alike.py [FOLDER]

Draws some hundred different pictures of each of several kinds on one background,
each with noise, blur and light of its own, plants copies, and searches as clean
does. FOLDER (classes of images, perhaps below train/ and test/) is searched
likewise, all its images taken for different ones.
"""

import argparse
import sys
import time
from pathlib import Path

import cv2
import numpy as np
from near_duplicates import KINDS

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from kiln.modalities.image import copies, decoding
from kiln.modalities.image.conversion import Conversion
from kiln.modalities.image.formats import EXTENSIONS

SEED = 0
COUNT, SIDE, LARGE = 400, 64, 256
EACH = 20  # copies of each kind
WORDS = "data loss rate step open save file edit view help cell name total mean left right next back"


def ground(level: float) -> np.ndarray:
    return np.full((LARGE, LARGE, 3), level, np.uint8)


def bar(picture, start, end, colour, width):
    ends = (tuple(int(place * LARGE) for place in point) for point in (start, end))
    cv2.line(picture, *ends, colour, max(1, int(width * LARGE)), cv2.LINE_AA)


def hand(generator):
    """A palm and five fingers; those of one sign differ in places and lengths alone."""
    picture, skin = ground(215), tuple(np.array([190, 140, 110]) + generator.normal(0, 12, 3))
    folded = generator.integers(0, 10)
    middle = generator.normal([0.5, 0.65], 0.03)
    size = 2 * LARGE * generator.normal([0.17, 0.2], 0.015)
    cv2.ellipse(picture, (LARGE * middle, size, generator.normal(0, 8)), skin, -1)
    for finger in range(5):
        angle = np.radians(generator.normal(-150 + 30 * finger, 6))
        reach = generator.normal(0.25 if finger < folded - 5 else 0.42, 0.04)
        bar(
            picture,
            middle,
            middle + reach * np.array([np.cos(angle), np.sin(angle)]),
            skin,
            generator.normal(0.07, 0.006),
        )
    return picture


def letter(generator):
    """One of ten capitals, of a hand of its own."""
    picture = ground(235)
    text, font = (
        chr(65 + generator.integers(10)),
        [cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_COMPLEX][generator.integers(2)],
    )
    cv2.putText(picture, text, (60, 200), font, 6, (40, 40, 60), int(generator.integers(10, 22)), cv2.LINE_AA)
    shear = np.float32([[1, 0, 0], [0, 1, 0]]) + generator.normal(0, [[0.06, 0.1, 6], [0.06, 0.06, 6]]).astype(
        np.float32
    )
    bend = cv2.resize(
        generator.normal(0, 9, (4, 4, 2)).astype(np.float32), (LARGE, LARGE), interpolation=cv2.INTER_CUBIC
    )
    across, down = np.meshgrid(*[np.arange(LARGE, dtype=np.float32)] * 2)
    picture = cv2.warpAffine(picture, shear, (LARGE, LARGE), borderMode=cv2.BORDER_REPLICATE)
    return cv2.remap(
        picture, across + bend[..., 0], down + bend[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def chart(generator):
    """Bars of random heights between the same axes."""
    picture = ground(250)
    for start, end in (((0.1, 0.9), (0.95, 0.9)), ((0.1, 0.9), (0.1, 0.05))):
        bar(picture, start, end, (30, 30, 30), 0.01)
    for number, height in enumerate(generator.uniform(0.1, 0.8, 8)):
        place = 0.16 + 0.1 * number
        bar(picture, (place, 0.88), (place, 0.88 - height), (70, 110, 190), 0.06)
    return picture


def cells(generator):
    """Round cells with a nucleus, strewn over a gray field."""
    picture = ground(190)
    for _ in range(generator.integers(5, 9)):
        middle = LARGE * generator.uniform(0.1, 0.9, 2)
        size = generator.uniform(40, 75, 2)
        cv2.ellipse(picture, (middle, size, generator.uniform(0, 180)), (165, 130, 170), -1, cv2.LINE_AA)
        cv2.ellipse(picture, (middle + generator.normal(0, 4, 2), size * 0.4, 0), (90, 50, 120), -1, cv2.LINE_AA)
    return picture


def screen(generator):
    """One window with a menu and other words in the same places."""
    picture = ground(240)
    picture[:26], picture[:, :50] = (60, 90, 150), (215, 215, 220)
    for row in range(7):
        for place, size in ((6, 0.42), (60, 0.55)):
            words = " ".join(generator.choice(WORDS.split(), 1 if place == 6 else 3))
            cv2.putText(
                picture, words, (place, 55 + 28 * row), cv2.FONT_HERSHEY_SIMPLEX, size, (20, 20, 20), 1, cv2.LINE_AA
            )
    return picture


def chest(generator):
    """A chest as X-rays show it: two dark lungs, ribs over them, all a little different in everyone."""
    picture = ground(150)
    for side in (-1, 1):
        middle = LARGE * (np.array([0.5 + side * 0.2, 0.5]) + generator.normal(0, 0.012, 2))
        size = LARGE * np.array([0.28, 0.62]) * generator.normal(1, 0.05, 2)
        cv2.ellipse(picture, (middle, size, side * generator.normal(6, 2)), (60, 60, 60), -1, cv2.LINE_AA)
        for rib in range(7):
            start = np.array([0.5 + side * 0.06, 0.2 + 0.095 * rib + generator.normal(0, 0.01)])
            bar(picture, start, start + np.array([side * 0.32, generator.normal(0.08, 0.02)]), (185, 185, 185), 0.016)
    heart = LARGE * generator.normal([0.54, 0.64], 0.015)
    cv2.ellipse(picture, (heart, LARGE * generator.normal([0.2, 0.26], 0.015), 20), (190, 190, 190), -1, cv2.LINE_AA)
    return picture


def sign(generator):
    """A round sign with a number, before a street of its own."""
    picture = cv2.resize(
        generator.integers(60, 200, (6, 6, 3)).astype(np.uint8), (LARGE, LARGE), interpolation=cv2.INTER_CUBIC
    )
    middle, radius = LARGE * generator.normal(0.5, 0.03, 2), LARGE * generator.normal(0.36, 0.03)
    for share, colour in ((1, (190, 40, 40)), (0.8, (235, 235, 235))):
        cv2.circle(picture, tuple(int(place) for place in middle), int(share * radius), colour, -1, cv2.LINE_AA)
    place = (int(middle[0] - 0.72 * radius), int(middle[1] + 0.35 * radius))
    text = str(generator.choice([30, 50, 60, 80]))
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_DUPLEX, radius / 32, (25, 25, 25), int(radius / 9), cv2.LINE_AA)
    turned = cv2.getRotationMatrix2D((LARGE / 2, LARGE / 2), generator.normal(0, 4), 1)
    return cv2.warpAffine(picture, turned, (LARGE, LARGE), borderMode=cv2.BORDER_REFLECT)


SETS = {
    "hands": hand,
    "letters": letter,
    "charts": chart,
    "cells": cells,
    "screens": screen,
    "chests": chest,
    "signs": sign,
}


def photographed(picture: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Take a photograph of a picture: with light from somewhere, blur and noise: uint8 [SIDE, SIDE, 3]."""
    across = np.linspace(-1, 1, SIDE)
    slope = generator.uniform(-0.12, 0.12, 2)
    light = generator.uniform(0.85, 1.05) * (1 + slope[0] * across[None, :, None] + slope[1] * across[:, None, None])
    picture = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA) * light
    picture = cv2.GaussianBlur(picture, (0, 0), generator.uniform(0.3, 0.8))
    return np.clip(picture + generator.normal(0, 3, picture.shape), 0, 255).astype(np.uint8)


def measure(name: str, pixels: np.ndarray) -> None:
    """Search a set as it is and with copies of some of its images."""
    generator = np.random.default_rng(SEED)
    each = min(EACH, len(pixels) // len(KINDS))
    drawn = generator.choice(len(pixels), each * len(KINDS), replace=False).reshape(len(KINDS), each)
    planted = [make(pixels[row], generator) for rows, make in zip(drawn, KINDS.values(), strict=True) for row in rows]
    start = time.perf_counter()
    alone = copies.find(pixels, np.arange(len(pixels)), SEED)
    seconds = time.perf_counter() - start
    both = copies.find(np.concatenate([pixels, np.stack(planted)]), np.arange(len(pixels) + len(planted)), SEED)
    found = set(zip(both.pairs["first"], both.pairs["second"], strict=True))
    true = [(row, len(pixels) + place) for place, row in enumerate(drawn.ravel())]
    touched = len(np.unique(alone.pairs[["first", "second"]]))
    hit = np.reshape([pair in found for pair in true], drawn.shape).mean(axis=1)
    wrong = len(found.difference(true)) / max(1, len(found))
    recall = "  ".join(f"{share:.2f}" for share in hit)
    print(
        f"{name:<10}{len(pixels):>7,}{alone.border:>8.2f}{len(alone.pairs):>8,}{touched / len(pixels):>8.1%}"
        f"{wrong:>9.1%}   {recall}{seconds:>8.1f}",
        flush=True,
    )


def main() -> None:
    """Draw, plant, search, count."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", type=Path)
    arguments = parser.parse_args()
    print(f"copies planted, {EACH} of each kind: {', '.join(KINDS)}")
    print(f"{'set':<10}{'images':>7}{'border':>8}{'pairs':>8}{'images':>8}{'wrong of':>9}   recall of planted{'':>10}s")
    print(f"{'':<25}{'alone':>8}{'alone':>8}{'all':>9}   copies, by kind")
    for name, draw in SETS.items():
        generator = np.random.default_rng(SEED)
        measure(name, np.stack([photographed(draw(generator), generator) for _ in range(COUNT)]))
    if arguments.folder:
        conversion = Conversion(SIDE, SIDE, 3, "crop")
        names = sorted(path for path in arguments.folder.rglob("*") if path.suffix.lower() in EXTENSIONS)
        measure("folder", np.stack([decoding.convert(path.read_bytes(), conversion) for path in names]))


if __name__ == "__main__":
    main()
