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
}
