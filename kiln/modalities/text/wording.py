"""Sentences of the report on texts: findings of cleaning, and how to read explanations."""

from kiln.modalities.base import Explanation

VALUES = "Words per text, and the share of words that train does not have (unknown)"
RANGE = ""
REPEATED = "with this text: a template, or a placeholder for texts that are missing?"
COPIES = "runs of five characters agree by {score:.0%} or more"
FINDINGS = {
    "near_duplicate": "Copies: {share} of their runs of five characters in common",
    "encoding": "Readable, but {detail}",
    "too_short": "Too short: {score:.0f} characters",
    "too_long": "Too long: {score:,.0f} characters",
    "other_script": "Another script: {share} of the letters are in the usual one",
    "other_language": "Another language: the expected one has a probability of {share}",
    "markup": "HTML: {share} of the characters",
    "personal_data": "Personal data: {score:.0f} mail addresses, phone or card numbers",
    "repetitive": "Repetitive: {share} of it has occurred before",
}
EXPLANATIONS = {
    "hiding": Explanation(
        "which words the prediction rests on",
        "A solid line under a word: hiding it makes the prediction less likely; a dotted line: more likely. The "
        "thicker, the more; bold is strongest.",
        "",
    ),
    "gradient": Explanation(
        "how the prediction changes as words weigh more",
        "A solid line under a word: the more its vectors weigh, the more likely the prediction (gradient times "
        "input); a dotted line: the less likely. It looks at small changes, hiding at a large one: where both agree, "
        "trust them more.",
        "Gradients times inputs are shown for networks that begin with one vector for each token.",
    ),
}
