"""Temperature scaling: one number, fitted on validation, that makes probabilities mean what they say.

Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", ICML 2017.
"""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from stages.lib import scores

LOWEST, HIGHEST = 0.05, 20.0
_SMALLEST = 1e-30


def scaled(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Divide the logits behind probabilities by a temperature: above 1 less sure, below 1 surer.

    Args:
        probabilities: floats [N, K]; their logarithms are logits as good as any.
        temperature: above 0.

    Returns:
        float32 [N, K], rows that sum to 1; the order of the classes stays.
    """
    logits = np.log(np.maximum(probabilities.astype(float), _SMALLEST))
    return softmax(logits / temperature, axis=1).astype(np.float32)


def fit(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Find the temperature, from 0.05 to 20, with the least log-loss.

    Args:
        labels: int [N].
        probabilities: floats [N, K].
    """

    def loss(exponent: float) -> float:
        return scores.cross_entropy(scaled(probabilities, np.exp(exponent)), labels).mean()

    found = minimize_scalar(loss, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))
