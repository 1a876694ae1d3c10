"""``kiln models``: the models that train.model.name can be."""

import click


@click.command(epilog="\b\nExample:\n  kiln models vgg resnet --image-size 224 224 --classes 3")
@click.argument("names", metavar="[NAME...]", nargs=-1)
@click.option("--image-size", nargs=2, type=int, default=(32, 32), show_default=True, metavar="HEIGHT WIDTH")
@click.option("--channels", type=click.Choice([1, 3]), default=3, show_default=True)
@click.option("--classes", default=10, show_default=True)
def command(names: tuple[str, ...], image_size: tuple[int, int], channels: int, classes: int) -> None:
    """List models: size, cost, when to choose which.

    NAME is a value of train.model.name, by default all but those of keras.applications.
    """
    from kiln import params
    from kiln.core import entry
    from kiln.networks import applications, catalogue, registry

    def list_models() -> None:
        settings, shape = params.load().train, (*image_size, channels)
        for name in names:
            registry.check(name)
        asked = names or registry.ZOO
        if images := [name for name in asked if registry.form_of(name) == "pixels"]:
            size = "x".join(map(str, shape))
            print(f"Images of {size}, {classes} classes; train.model.depth and width change them.\n")
            print(catalogue.table([catalogue.row(name, settings, shape, classes) for name in images]))
        if texts := [name for name in asked if name not in images]:
            print(
                f"\nTexts of {catalogue.LENGTH} tokens of {catalogue.TOKENS:,}, or with {catalogue.OF_A_TEXT} n-grams "
                f"of {catalogue.NGRAMS:,}; {classes} classes.\n"
            )
            print(catalogue.table([catalogue.row_of_texts(name, classes) for name in texts]))
        if not names:
            print(f"\nAnd {applications.PREFIX}<Name>, with or without trained weights (train.model.weights):")
            print(catalogue.others())

    entry.run(list_models, "models")
