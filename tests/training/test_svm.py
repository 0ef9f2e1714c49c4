"""The machine in torch against that of scikit-learn, and through the front door."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.svm import SVC

from astro_iicnet.classifier import IICnetClassifier
from astro_iicnet.exceptions import IICnetError
from astro_iicnet.labels import CLASSES
from astro_iicnet.training.datasets import class_labels
from astro_iicnet.training.loop import predict_logits
from astro_iicnet.training.simulated import simulate_dataset
from astro_iicnet.training.svm import _fit_head, fit_svm
from astro_iicnet.weights import load_weights, new_weights, save_weights


def test_decision_values_are_those_of_scikit_learn(rng):
    labels = rng.integers(0, 3, 400)
    features = rng.normal(size=(400, 20)) + rng.normal(size=(3, 20))[labels]
    head = _fit_head(features, labels, 6, 2.0, 0)
    projection = PCA(6, svd_solver="full").fit(features)
    machine = SVC(C=2.0, decision_function_shape="ovo").fit(projection.transform(features), labels)
    fresh = rng.normal(size=(50, 20))
    found = head.decide(torch.from_numpy(fresh).float()).numpy()
    np.testing.assert_allclose(found, machine.decision_function(projection.transform(fresh)), atol=1e-4)


@pytest.fixture(scope="module")
def data():
    cutouts, table = simulate_dataset(450, seed=31, workers=1)
    return cutouts, class_labels(table)


@pytest.fixture(scope="module")
def fitted(data):
    cutouts, labels = data
    return fit_svm(load_weights(), cutouts[:300], labels[:300], n_components=8, device="cpu")


def test_it_is_read_back_and_classifies(fitted, data, tmp_path):
    cutouts, labels = data[0][300:], data[1][300:]
    path = save_weights(tmp_path / "svm.safetensors", fitted)
    found = IICnetClassifier(path, device="cpu").predict_proba(cutouts)
    logits = predict_logits(fitted.model, fitted.preprocess, cutouts, device="cpu").astype(float)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    # 150 sources at the accuracy of the network, less four standard errors.
    assert np.mean(found.argmax(axis=1) == labels) > 0.8
    record = load_weights(path).record
    assert (record["name"], record["architecture"]) == ("iicnet-sim-v3-svm", "iicnet_svm")
    assert (record["temperature"], record["set_scores"], record["metrics"]) == (1.0, None, {})


def test_features_stay_those_of_the_network(fitted):
    before = load_weights().model.features.state_dict()
    after = fitted.model.features.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_what_cannot_be_fitted(data, fitted):
    cutouts, labels = data
    with pytest.raises(IICnetError, match="'iicnet_svm': expected 'iicnet'"):
        fit_svm(fitted, cutouts, labels)
    galaxies = np.zeros(len(labels), int)
    with pytest.raises(IICnetError, match=rf"\[450, 0, 0\] sources of {', '.join(CLASSES)}"):
        fit_svm(new_weights("x-v1"), cutouts, galaxies)
