import hashlib

import pytest

from kiln.core.errors import UserError
from kiln.params.train import Model
from kiln.training import pretrained


def model(**weights) -> Model:
    return Model(name="applications/MobileNet", **weights)


def test_a_file_of_weights_is_pinned(tmp_path):
    path = tmp_path / "body.h5"
    path.write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    assert pretrained.find_weights(model()) is None
    assert pretrained.find_weights(model(weights=str(path), weights_sha256=digest)) == path
    with pytest.raises(UserError, match=rf"body\.h5 has the sha256 {digest}, not train\.model\.weights_sha256"):
        pretrained.find_weights(model(weights=str(path), weights_sha256="0" * 64))
    with pytest.raises(UserError, match=r"train\.model\.weights: nowhere\.h5 does not exist"):
        pretrained.find_weights(model(weights="nowhere.h5", weights_sha256="0" * 64))


def test_a_download_of_weights_speaks_of_their_keys(monkeypatch):
    asked = []
    monkeypatch.setattr(pretrained.download, "fetch", lambda *given, keys: asked.append((*given, keys.url)))
    pretrained.find_weights(model(weights="https://host/w.h5", weights_sha256="0" * 64))
    assert asked == [("https://host/w.h5", "0" * 64, pretrained.DEADLINE, "train.model.weights")]
