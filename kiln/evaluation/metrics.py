"""The metrics of metrics.json: their titles, and which direction is better."""

# metric of a split -> (title, with {noun} for a sample; which direction is better); in the order of tables
SPLIT_METRICS = {
    "accuracy": ("accuracy", "higher"),
    "balanced_accuracy": ("balanced accuracy", "higher"),
    "precision": ("precision, mean over classes", "higher"),
    "recall": ("recall, mean over classes", "higher"),
    "f1": ("F1, mean over classes", "higher"),
    "weighted_precision": ("precision, weighted by {noun}s", "higher"),
    "weighted_recall": ("recall, weighted by {noun}s", "higher"),
    "weighted_f1": ("F1, weighted by {noun}s", "higher"),
    "top2_accuracy": ("label among the likeliest two", "higher"),
    "top5_accuracy": ("label among the likeliest five", "higher"),
    "auc": ("area under the ROC curve, mean over classes", "higher"),
    "log_loss": ("log-loss, nats", "lower"),
    "brier": ("Brier score, 0 to 2", "lower"),
    "ece": ("calibration error", "lower"),
}
MANY_CLASSES = ("top2_accuracy", "top5_accuracy")  # only if there are more than 2 or 5 classes
# metric of out_of_scope -> as above
SCOPE_METRICS = {
    "auroc": ("area under the ROC curve, in scope against out of scope", "higher"),
    "fpr95": ("out of scope, but taken for known where 95 % of those in scope are", "lower"),
    "in_scope_accuracy": ("accuracy in scope", "higher"),
}
_COSTS = ("parameters", "multiply_adds", "megabytes")


def direction(key: str) -> str | None:
    """Return which direction of a key of metrics.json, such as test.accuracy, is better: higher, lower or None."""
    section, _, name = key.partition(".")
    if section in ("train", "validation", "test", "test_flipped", "test_calibrated"):
        return SPLIT_METRICS[name][1] if name in SPLIT_METRICS else None
    if section == "out_of_scope":
        return SCOPE_METRICS[name][1] if name in SCOPE_METRICS else None
    if section == "robustness":
        return None if name == "samples" else "higher"
    return "lower" if section == "model" and name in _COSTS else None
