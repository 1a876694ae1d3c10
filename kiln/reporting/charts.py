"""Charts as PNG by Matplotlib, the same bytes whatever the user's own settings are."""

import io
import logging
from collections.abc import Callable, Sequence


def draw_curves(epochs: Sequence, lines: dict[str, Sequence[float]], title: str) -> dict:
    """Draw lines over epochs.

    Args:
        epochs: of each point.
        lines: name -> values.
        title: of the chart.

    Returns:
        content (PNG) and alt, a text for those who do not see it.
    """

    def draw(axes):
        for (name, values), color, style in zip(lines.items(), ("#2f6fb2", "#d1730c"), ("-", "--"), strict=False):
            axes.plot(epochs, values, style, label=name, color=color, marker="." if len(epochs) < 40 else None)
        axes.set(title=title, xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(frameon=False)

    final = ", ".join(f"{name} ends at {values[-1]:.4g}" for name, values in lines.items())
    return {"content": _plot(draw), "alt": f"{title} by epoch: {final}"}


def draw_history(history) -> list[dict]:
    """Draw loss and accuracy over epochs, on train and validation: a chart each, as of ``draw_curves``."""
    return [
        draw_curves(
            history["epoch"].tolist(),
            {"train": history[key].tolist(), "validation": history[f"validation_{key}"].tolist()},
            title,
        )
        for key, title in (("loss", "Loss"), ("accuracy", "Accuracy"))
    ]


def draw_reliability(confidence: Sequence[float], accuracy: Sequence[float], title: str) -> dict:
    """Draw accuracy over confidence, both from 0 to 1, beside the diagonal where they are equal.

    Returns:
        As of ``draw_curves``.
    """

    def draw(axes):
        axes.plot((0, 1), (0, 1), ":", color="#777777")
        axes.plot(confidence, accuracy, "o-", color="#2f6fb2", markersize=4)
        axes.set(title=title, xlabel="confidence", ylabel="accuracy")

    x, y = max(zip(confidence, accuracy, strict=True), key=lambda point: abs(point[0] - point[1]))
    apart = "they are alike in every bin"
    if f"{x:.2f}" != f"{y:.2f}":
        apart = f"they differ most at confidence {x:.2f}, accuracy {y:.2f}"
    return {"content": _plot(draw), "alt": f"{title}: accuracy by confidence; {apart}"}


def _plot(draw: Callable) -> bytes:
    # Matplotlib logs where its folders and settings lie, which is of no use here.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from matplotlib import rc_context, rcdefaults, rcParams
    from matplotlib.figure import Figure

    with rc_context():
        rcdefaults()  # whatever a matplotlibrc says
        # Class names may hold dollars: no mathematics in any text.
        rcParams.update({"text.parse_math": False, "font.size": 10})
        figure = Figure(figsize=(4.2, 2.9), layout="constrained", dpi=200)
        axes = figure.add_subplot()
        draw(axes)
        axes.grid(alpha=0.3)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
