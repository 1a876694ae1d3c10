"""List the models that train.model.name can be: size, cost, when to choose which; a command, no stage.

kiln models [NAME...] [--image-size 32 32] [--channels 3] [--classes 10]
"""

import argparse

from kiln import params
from kiln.core import entry
from kiln.networks import applications, models

PLAIN = {"method": "none", "offset": [0.0], "scale": [1.0]}


def row(name: str, settings: params.Train, image_shape: tuple[int, int, int], classes: int) -> tuple[str, ...]:
    """Describe a model as it is by itself: name, parameters, multiply-adds of one image, depths, advice.

    Raises:
        UserError: there is no such model, or the images are too small for it.
    """
    chosen = type(settings.model)(name=name)
    how = models.architecture(settings.model_copy(update={"model": chosen}), image_shape, PLAIN)
    network = models.build(how, image_shape, classes, PLAIN)
    entry_of = models.ZOO.get(name)
    depths = ", ".join(map(str, sorted(entry_of.depths))) if entry_of else ""
    advice = entry_of.choose if entry_of else "a published network, to start from trained weights"
    return name, f"{network.count_params():,}", f"{models.multiply_adds(network) / 1e6:,.1f} M", depths or "-", advice


def table(rows: list[tuple[str, ...]]) -> str:
    """Lay out rows under a heading, columns aligned."""
    rows = [("model", "parameters", "multiply-adds", "depths", "choose it for"), *rows]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        f"{name:<{widths[0]}}  {size:>{widths[1]}}  {cost:>{widths[2]}}  {depths:<{widths[3]}}  {advice}"
        for name, size, cost, depths, advice in rows
    )


def main() -> None:
    """Read the command line and print."""
    parser = argparse.ArgumentParser(prog="kiln models", description="List the models that train.model.name can be.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all but those of keras.applications")
    parser.add_argument("--image-size", nargs=2, type=int, default=(32, 32), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--channels", type=int, choices=(1, 3), default=3)
    parser.add_argument("--classes", type=int, default=10)
    options = parser.parse_args()
    settings, shape = params.load().train, (*options.image_size, options.channels)
    names = options.names or list(models.ZOO)
    for name in names:
        models.check(name)
    print(
        f"Images of {shape[0]}x{shape[1]}x{shape[2]}, {options.classes} classes; "
        "train.model.depth and train.model.width change them.\n"
    )
    print(table([row(name, settings, shape, options.classes) for name in names]))
    if not options.names:
        others = " ".join(name.removeprefix(applications.PREFIX) for name in applications.names())
        print(f"\nAnd {applications.PREFIX}<Name>, with or without trained weights (train.model.weights):\n{others}")


if __name__ == "__main__":
    entry.run(main, "models")
