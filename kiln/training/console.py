"""What a training prints while it runs."""

import sys
import time
from collections.abc import Callable


def say(sentence: str) -> None:
    """Tell what is neither an error nor a result."""
    print(f"train: {sentence}", file=sys.stderr, flush=True)


def epoch_printer(epochs: int) -> Callable[[dict], None]:
    """Make a function that prints an epoch's row and the time left."""
    start, done = time.monotonic(), 0

    def print_epoch(row: dict) -> None:
        nonlocal done
        done += 1  # here, which is fewer than in all where it goes on from a checkpoint
        spent = time.monotonic() - start
        left = spent / done * (epochs - row["epoch"])
        print(
            f"epoch {row['epoch']:>3}/{epochs}: loss {row['loss']:.4f}, accuracy {row['accuracy']:.2%}; "
            f"validation loss {row['validation_loss']:.4f}, accuracy {row['validation_accuracy']:.2%}; "
            f"{spent:.0f} s, {left:.0f} s left at most",
            flush=True,
        )

    return print_epoch
