import hashlib

import pytest
from makers.settings import settings

from kiln.core.errors import UserError
from kiln.training import pretrained


def test_a_file_of_weights_is_pinned(tmp_path):
    path = tmp_path / "body.h5"
    path.write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    assert pretrained.find_weights(settings()) is None
    assert pretrained.find_weights(settings(weights=str(path), weights_sha256=digest)) == path
    with pytest.raises(UserError, match=rf"body\.h5 has the sha256 {digest}, not train\.weights_sha256"):
        pretrained.find_weights(settings(weights=str(path), weights_sha256="0" * 64))
    with pytest.raises(UserError, match=r"train\.weights: nowhere\.h5 does not exist"):
        pretrained.find_weights(settings(weights="nowhere.h5", weights_sha256="0" * 64))


def test_a_download_of_weights_speaks_of_their_keys(monkeypatch):
    def fail(*_):
        raise UserError(
            "it was not there after fetch.deadline: try again later, give it more seconds, or set fetch.path"
        )

    monkeypatch.setattr(pretrained.download, "fetch", fail)
    with pytest.raises(UserError, match=r"it was not there within an hour: try again later or set train\.weights$"):
        pretrained.find_weights(settings(weights="https://host/w.h5", weights_sha256="0" * 64))
