"""``kiln search``: search for better params, one DVC experiment after the other."""

import click


@click.command(epilog="\b\nExample:\n  kiln search --trials 20 'train.lr=log(1e-4..1e-1)' 'train.batch_size=16..128'")
@click.argument("space", metavar="KEY=SPACE...", nargs=-1, required=True)
@click.option("--trials", default=20, show_default=True, help="How many in all, with those of earlier searches.")
@click.option("--metric", default="validation.accuracy", show_default=True, help="Metric of validation to choose by.")
@click.option("--name", default="search", show_default=True, help="Of the experiments, before their numbers.")
@click.option("--seed", default=0, show_default=True, help="Of the choice of trials.")
def command(space: tuple[str, ...], trials: int, metric: str, name: str, seed: int) -> None:
    """Search for better params, one DVC experiment after the other.

    SPACE is LOW..HIGH, log(LOW..HIGH) or ONE,TWO,... An interrupted search resumes
    where it stopped when the same command is given again.
    """
    from kiln.core import entry
    from kiln.experiments import search

    def run_search() -> None:
        best, values = search.search(space, name, metric, trials, seed)
        print(f"search: best of {len(values)}: {name}-{best}, {metric} {values[best]:.6g}")
        print(
            f"search: commit your edits, then `dvc exp apply {name}-{best}` takes it over: it undoes what is not "
            "committed (`git stash apply refs/exps/apply/stash` brings that back, see docs/recovery.md); "
            "`dvc exp show --md` lists all"
        )

    entry.run(run_search, "search")
