"""Sentences of the report on texts: findings of cleaning, and how to read explanations."""

from kiln.modalities.base import Explanation

COPIES = "Near-duplicates share {score:.0%} or more of their runs of five characters."
EXPLANATIONS = {
    "hiding": Explanation(
        "which words the prediction rests on",
        "A solid line under a word: hiding it makes the prediction less likely; a dotted line: more likely. The "
        "thicker, the more; bold is strongest.",
        "",
    ),
}
