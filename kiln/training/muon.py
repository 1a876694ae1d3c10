"""The optimiser Muon, also for convolutions; Keras' version trains all but matrices with AdamW."""

from collections.abc import Collection

from kiln.networks.backend import keras

ops = keras.ops
# Coefficients of the odd polynomial that moves singular values towards 1 (Jordan et al., below).
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_STEPS = 3


def orthogonalized(matrix):
    """Move the singular values of a matrix close to 1 by three Newton-Schulz steps.

    Args:
        matrix: floats [N, M].

    Returns:
        floats [N, M]: approximately U V^T of the singular value decomposition U S V^T.
    """
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix if wide else ops.transpose(matrix)
    x = x / (ops.sqrt(ops.sum(ops.square(x))) + 1e-7)
    a, b, c = _COEFFICIENTS
    for _ in range(_STEPS):
        gram = ops.matmul(x, ops.transpose(x))
        x = a * x + ops.matmul(b * gram + c * ops.matmul(gram, gram), x)
    return x if wide else ops.transpose(x)


class Muon(keras.optimizers.Optimizer):
    """Orthogonalised momentum for kernels; Adam for all other variables.

    Jordan et al., "Muon: an optimizer for hidden layers in neural networks",
    2024. A kernel of shape [..., inputs, filters] is treated as a matrix with one
    column per filter; its step is the momentum of that matrix with all singular
    values near 1, times the learning rate. Kernels whose norm has no effect, because
    normalisation follows, are kept at the norm sqrt(filters) as in airbench
    (Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024), so that the
    learning rate means the same throughout. Weight decay would only change that norm
    (van Laarhoven, "L2 regularization versus batch and weight normalization", 2017),
    so it is not applied to them; airbench does the same. Biases, scales and the
    kernels named in ``aside`` are trained with Adam.

    Args:
        learning_rate: of the kernels; may be assigned at any step.
        side_ratio: learning rate of Adam as a multiple of ``learning_rate``.
        momentum: of the kernels (Nesterov), in [0, 1).
        aside: substrings of the paths of kernels that are trained with Adam (the first and the last layer).
        normed: the variables that are kept at a fixed norm; by identity, since two parts' may have one path.
        options: of every Keras optimiser, such as ``global_clipnorm``.
    """

    def __init__(
        self,
        learning_rate: float,
        side_ratio: float,
        momentum: float,
        aside: Collection[str] = (),
        normed: Collection[keras.Variable] = (),
        **options,
    ):
        super().__init__(learning_rate=learning_rate, **options)
        self.side_ratio, self.momentum = side_ratio, momentum
        self.aside, self.normed = tuple(aside), {id(variable) for variable in normed}
        self.beta_1, self.beta_2, self.epsilon = 0.9, 0.999, 1e-8

    def _is_orthogonalized(self, variable) -> bool:
        return len(variable.shape) >= 2 and not any(name in variable.path for name in self.aside)

    def build(self, variables):
        """Create the first moment of each variable, and the second moment of those trained with Adam."""
        if self.built:
            return
        super().build(variables)
        self.keep_norm = [id(v) in self.normed for v in variables]
        self.first = [self.add_variable_from_reference(v, name="first") for v in variables]
        self.second = [
            None if self._is_orthogonalized(v) else self.add_variable_from_reference(v, name="second")
            for v in variables
        ]

    def update_step(self, gradient, variable, learning_rate):
        """Update one variable."""
        index = self._get_variable_index(variable)
        rate, gradient = ops.cast(learning_rate, variable.dtype), ops.cast(gradient, variable.dtype)
        first, second = self.first[index], self.second[index]
        if second is None:
            self._step_orthogonalized(gradient, variable, rate, first, self.keep_norm[index])
        else:
            self._step_adam(gradient, variable, rate * self.side_ratio, first, second)

    def _step_orthogonalized(self, gradient, variable, rate, first, keep_norm: bool):
        self.assign(first, self.momentum * first + gradient)
        ahead = ops.reshape(gradient + self.momentum * first, (-1, variable.shape[-1]))
        step = ops.reshape(orthogonalized(ahead), variable.shape)
        start = variable
        if keep_norm:
            start = variable * (variable.shape[-1] ** 0.5 / (ops.sqrt(ops.sum(ops.square(variable))) + 1e-7))
        self.assign(variable, start - rate * step)

    def _step_adam(self, gradient, variable, rate, first, second):
        count = ops.cast(self.iterations + 1, variable.dtype)
        self.assign(first, first + (1 - self.beta_1) * (gradient - first))
        self.assign(second, second + (1 - self.beta_2) * (ops.square(gradient) - second))
        mean = first / (1 - ops.power(self.beta_1, count))
        deviation = ops.sqrt(second / (1 - ops.power(self.beta_2, count)))
        self.assign_sub(variable, rate * mean / (deviation + self.epsilon))
