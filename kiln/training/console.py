"""Console output during training."""

import sys
import time
from collections.abc import Callable


def say(sentence: str) -> None:
    """Print a note for the user to standard error."""
    print(f"train: {sentence}", file=sys.stderr, flush=True)


def describe(network, model: str, rows: int, precision: str) -> str:
    """Describe what is trained, on how many samples, in one line."""
    return f"train: {model} of {network.count_params():,} parameters on {rows:,} samples, {precision}"


def pretraining_printer(epochs: int) -> Callable[[dict], None]:
    """Return a function that prints the row of an epoch of pretraining."""
    return lambda row: print(f"pretraining epoch {row['epoch']:>3}/{epochs}: loss {row['loss']:.4f}", flush=True)


def epoch_printer(epochs: int) -> Callable[[dict], None]:
    """Return a function that prints an epoch's row and the time left."""
    start, done = time.monotonic(), 0

    def print_epoch(row: dict) -> None:
        nonlocal done
        done += 1  # in this process: fewer than row["epoch"] after resuming from a checkpoint
        spent = time.monotonic() - start
        left = spent / done * (epochs - row["epoch"])
        print(
            f"epoch {row['epoch']:>3}/{epochs}: loss {row['loss']:.4f}, accuracy {row['accuracy']:.2%}; "
            f"validation loss {row['validation_loss']:.4f}, accuracy {row['validation_accuracy']:.2%}; "
            f"{spent:.0f} s, {left:.0f} s left at most",
            flush=True,
        )

    return print_epoch
