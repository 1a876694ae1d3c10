"""``kiln benchmark``: what the model costs on this machine."""

from pathlib import Path

import click


@click.command(epilog="\b\nExample:\n  kiln benchmark --rounds 10")
@click.option(
    "--model",
    type=click.Path(path_type=Path, readable=False),
    default="data/model",
    show_default=True,
    help="Folder of the model.",
)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="How often each batch is timed.")
def command(model: Path, rounds: int) -> None:
    """Measure the model: size, start-up, memory, time per sample.

    Batches of random samples go through the model from memory, with one thread and
    with all, in turn. The table shows medians on this machine, with the lowest and
    highest value in brackets. It takes about half a minute.
    """
    from kiln.core import entry
    from kiln.deployment import costs

    entry.run(lambda: print(costs.lay_out(*costs.measure(model, rounds))), "benchmark")
