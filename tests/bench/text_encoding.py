"""How fast texts become numbers: tokens, and n-grams of words and characters.

    python tests/bench/text_encoding.py TEXTS.parquet

TEXTS.parquet holds text. Fits the tokenizer and the n-grams to the texts, then encodes each once by the
encoders that training and prediction use, in batches of 512. Seconds are those of a core, which other processes
do not lengthen: on two cores, tokens come up to twice as fast, n-grams as fast. Asked for: half a million tokens a
second on two cores.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from kiln.modalities.text import normalizer
from kiln.params.text import Normalize

BATCH = 512


def time_encoding(texts: np.ndarray, form: str, fitted: dict) -> tuple[float, int]:
    """Encode each text once; return the seconds of a core, and the count of numbers without padding."""
    encode = normalizer.make_encoder(form, fitted)
    start = time.process_time()
    found = sum(np.count_nonzero(encode(texts[row : row + BATCH])) for row in range(0, len(texts), BATCH))
    return time.process_time() - start, found


def main() -> None:
    """Time both, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table")
    texts = pd.read_parquet(parser.parse_args().table)["text"].drop_duplicates().to_numpy(object)
    start = time.process_time()
    statistics = normalizer.count(texts)
    counted = time.process_time()
    # Long enough that no token is cut off, which would not be counted.
    fitted = normalizer.fit(statistics, Normalize(max_tokens=4096))
    ended = time.process_time()
    print(f"{len(texts):,} texts: {counted - start:.1f} s of a core to count, {ended - counted:.1f} s to fit")
    for form, name in ((normalizer.TOKENS, "tokens"), (normalizer.NGRAMS, "n-grams")):
        seconds, found = time_encoding(texts, form, fitted)
        print(f"{name}: {found:,} in {seconds:.2f} s, {found / seconds:,.0f} per second of a core", end="")
        print(f", {len(texts) / seconds:,.0f} texts")


if __name__ == "__main__":
    main()
