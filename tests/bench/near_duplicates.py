"""How many planted copies are found among real images, and how many pairs without planting.

    python tests/bench/near_duplicates.py IMAGES.zip [--sheet SHEET.png]

IMAGES.zip holds <anything>/{train,test}/<class>/<image>, such as CIFAR-10. The
baseline is what most scripts do: correlate 16 x 16 RGB thumbnails. --sheet
draws 168 of the pairs found between test and train, to look at.
"""

import argparse
import io
import sys
import time
import zipfile
from pathlib import Path

import cv2
import faiss
import numpy as np
from PIL import Image

sys.path.insert(0, ".")
from kiln.modalities.image import copies, decoding, pictures
from kiln.modalities.image.conversion import Conversion
from kiln.modalities.image.formats import EXTENSIONS

SEED = 0
EACH = 1000
BASELINE = 0.9


def shifted(image, generator):
    shift = (0, 0)
    while shift == (0, 0):
        shift = tuple(int(step) for step in generator.integers(-3, 4, 2))
    matrix = np.float32([[1, 0, shift[0]], [0, 1, shift[1]]])
    return cv2.warpAffine(image, matrix, image.shape[1::-1], borderMode=cv2.BORDER_REFLECT)


def encoded(image, generator):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=50)
    return np.asarray(Image.open(buffer))


def relit(image, generator):
    return np.clip(image * generator.choice([0.85, 1.15]), 0, 255).astype(np.uint8)


def mirrored(image, generator):
    return image[:, ::-1]


def cropped(image, generator):
    side = round(0.9 * len(image))
    top, left = generator.integers(0, len(image) - side + 1, 2)
    return cv2.resize(image[top : top + side, left : left + side], image.shape[1::-1], interpolation=cv2.INTER_CUBIC)


KINDS = {
    "shifted by 1 to 3 pixels": shifted,
    "JPEG, quality 50": encoded,
    "brightness +-15 %": relit,
    "mirrored": mirrored,
    "cropped to 90 % and rescaled": cropped,
}


def load(archive: str) -> tuple[np.ndarray, np.ndarray]:
    """Read pixels uint8 [N, 32, 32, 3] and whether each is of test, bool [N]."""
    conversion = Conversion(32, 32, 3, "crop")
    with zipfile.ZipFile(archive) as source:
        names = [name for name in source.namelist() if Path(name).suffix.lower() in EXTENSIONS]
        pixels = np.stack([decoding.convert(source.read(name), conversion) for name in names])
    return pixels, np.array(["test" in Path(name).parts for name in names])


def baseline(pixels: np.ndarray) -> set[tuple[int, int]]:
    """Pair each image with its most alike by correlation of 16 x 16 RGB, where that is at least 0.9."""
    small = pixels.reshape(len(pixels), 16, 2, 16, 2, 3).mean(axis=(2, 4), dtype=np.float32).reshape(len(pixels), -1)
    small -= small.mean(axis=1, keepdims=True)
    small /= np.linalg.norm(small, axis=1, keepdims=True) + 1e-6
    likeness, other = faiss.knn(small, small, 2, metric=faiss.METRIC_INNER_PRODUCT)
    rows = np.arange(len(small))
    partner = np.where(other[:, 0] == rows, other[:, 1], other[:, 0])
    alike = np.where(other[:, 0] == rows, likeness[:, 1], likeness[:, 0]) >= BASELINE
    return set(zip(np.minimum(rows, partner)[alike], np.maximum(rows, partner)[alike], strict=True))


def main() -> None:
    """Plant, search, count."""
    parser = argparse.ArgumentParser()
    parser.add_argument("archive")
    parser.add_argument("--sheet", type=Path)
    arguments = parser.parse_args()
    real, test = load(arguments.archive)
    generator = np.random.default_rng(SEED)
    drawn = generator.choice(len(real), EACH * len(KINDS), replace=False).reshape(len(KINDS), EACH)
    planted = [make(real[row], generator) for rows, make in zip(drawn, KINDS.values(), strict=True) for row in rows]
    pixels = np.concatenate([real, np.stack(planted)])
    start = time.perf_counter()
    pairs = copies.find(pixels, np.arange(len(pixels)), SEED).pairs
    seconds = time.perf_counter() - start
    found = set(zip(pairs["first"], pairs["second"], strict=True))
    start = time.perf_counter()
    simple = baseline(pixels)
    ratio = (time.perf_counter() - start) / seconds
    print(
        f"{len(real):,} images and {len(planted):,} planted copies, seed {SEED}: "
        f"{seconds:.1f} s, baseline {ratio:.1f} of it"
    )
    print(f"{'recall of planted copies':<36}{'Kiln':>8}{'baseline':>10}")
    copy = len(real)
    for name, rows in zip(KINDS, drawn, strict=True):
        mine, theirs = (
            np.mean([(row, copy + place) in had for place, row in enumerate(rows)]) for had in (found, simple)
        )
        print(f"{name:<36}{mine:>8.3f}{theirs:>10.3f}")
        copy += EACH
    crossing = pairs[(pairs["second"] < len(real))]
    crossing = crossing[test[crossing["first"]] != test[crossing["second"]]]
    of_test = np.where(test[crossing["first"]], crossing["first"], crossing["second"])
    print(f"between test and train: {len(crossing):,} pairs, {len(np.unique(of_test)):,} test images")
    if arguments.sheet and len(crossing):
        shown = crossing.sample(min(168, len(crossing)), random_state=SEED).sort_values("score")
        sheet = np.concatenate([pixels[shown["first"]], pixels[shown["second"]]], axis=2)
        arguments.sheet.write_bytes(pictures.contact_sheet(sheet, 12, 48))


if __name__ == "__main__":
    main()
