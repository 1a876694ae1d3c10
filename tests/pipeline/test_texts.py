"""What people do with texts, done with the real stages."""

import pytest
from makers.texts import PERSONAL


@pytest.mark.full
def test_no_personal_data_reaches_git(small_texts):
    shown = [path for path in (small_texts.folder / "metrics").rglob("*") if path.is_file()]
    found = {path.name: path.read_text(errors="replace") for path in shown}
    assert "&lt;email&gt;" in found["report.html"] and "&lt;phone&gt;" in found["report.html"]
    for personal in PERSONAL:
        for end in (personal, personal[-9:]):
            assert not [name for name, text in found.items() if end in text]
