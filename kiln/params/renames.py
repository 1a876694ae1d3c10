"""Keys of params.yaml that have moved since, for `kiln recipe --update`: the old key, then the present one."""

_IMAGE = (
    "fit channels range max_pixels metadata too_small min_side odd_aspect max_aspect constant min_contrast too_dark "
    "min_highlight too_bright max_shadow blurry min_sharpness low_information min_entropy near_duplicate_score"
)
_STRENGTHS = "rotate scale crop flip brightness contrast cutout"
_SOURCE = "url sha256 deadline manifest label_column split_column group_column"
_MODEL = "width depth patch activation normalization dropout weights weights_sha256 frozen_epochs thaw_factor"
_OPTIMIZER = "weight_decay momentum nesterov side_lr"
_SCHEDULE = "warmup decay_factor decay_epochs"


def _below(section: str, group: str, names: str) -> dict[str, str]:
    return {f"{section}.{name}": f"{section}.{group}.{name}" for name in names.split()}


RENAMED = {
    "fetch.source": "fetch.source.name",
    "fetch.image_column": "fetch.image.column",
    **_below("fetch", "source", _SOURCE),
    "clean.image_size": "clean.image.size",
    **_below("clean", "image", _IMAGE),
    **_below("augment", "image", _STRENGTHS),
    **_below("normalize", "image", "method"),
    "train.model": "train.model.name",
    **_below("train", "model", _MODEL),
    "train.optimizer": "train.optimizer.name",
    **_below("train", "optimizer", _OPTIMIZER),
    "train.clip": "train.clip.name",
    "train.clip_at": "train.clip.at",
    "train.schedule": "train.schedule.name",
    **_below("train", "schedule", _SCHEDULE),
    "train.plateau_factor": "train.schedule.decay_factor",
    "train.plateau_patience": "train.schedule.decay_epochs",
    "train.ema": "train.ema.decay",
    "train.ema_every": "train.ema.every",
    "train.ema_restart": "train.ema.restart",
    **_below("evaluate", "image", "flip"),
    "evaluate.robustness_images": "evaluate.robustness_samples",
}


def nested(flat: dict) -> dict:
    """Bring the values of a params file of the flat layout to the present keys; others stay where they are.

    Args:
        flat: section -> key -> value; a group's name stood where the group is now, as a plain value.

    Returns:
        Section -> key -> value, or group -> key -> value.
    """
    moved: dict = {}
    for section, inner in flat.items():
        for key, value in inner.items() if isinstance(inner, dict) else ():
            path = f"{section}.{key}"
            target = path if isinstance(value, dict) else RENAMED.get(path, path)
            *groups, name = target.split(".")
            place = moved
            for group in groups:
                place = place.setdefault(group, {})
            place[name] = value
        if not isinstance(inner, dict):
            moved[section] = inner
    return moved
