"""A scikit-learn transformer that maps feature vectors to binary codes.

This module is imported by name, since it requires scikit-learn::

    from hashnet_jax.training.scikit_learn import HashTransformer
"""

import math
from typing import Any

import numpy as np
from jaxtyping import Float32, Int, Int8, Shaped
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags, check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

from hashnet_jax.codes import binarize, check_positive_int
from hashnet_jax.data.pipeline import batch_positions, check_batch_size
from hashnet_jax.training._feature_scale import FeatureScale
from hashnet_jax.training._hash_layer import HashLayer
from hashnet_jax.training._initial_layer import initial_layer
from hashnet_jax.training._linear_layer import HashNetLoss, rate_unit, train_layers
from hashnet_jax.training._spec import TrainSpec

# Standard deviation of the logit of a pair of unrelated codes, as in the `improved` recipe.
_SPREAD = 0.8


class HashTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Learns a linear hash layer with HashNet's loss and continuation; transforms to codes.

    Samples that share a label get codes with small Hamming distances. The settings are those of the
    ``improved`` recipe for a frozen backbone.

    Args:
      bits: K, the number of bits per code, >= 1.
      total_steps: number of training steps, >= 1; the schedules scale with it.
      batch_size: number of samples per batch, >= 2; all samples if there are fewer.
      learning_rate: initial learning rate in units of :func:`hashnet_jax.training.rate_unit`, > 0.
      weight_decay: L2 coefficient, >= 0.
      alpha: slope of the logistic link, > 0; None for 0.8 / sqrt(K).
      offset: cosine of two codes at which a pair is as likely to be similar as dissimilar, in
        (-1, 1).
      beta_schedule: name of a schedule in ``hashnet_jax.schedules.SCHEDULES``.
      standardize: whether to train on features with mean 0 and standard deviation 1. The fitted
        layer takes the original features either way.
      random_state: seed or generator for the initial layer and the order of the samples.

    Attributes:
      kernel_: weight matrix, float32 ``[D, K]``.
      bias_: bias vector, float32 ``[K]``.
      n_features_in_: D, the number of features.
      feature_names_in_: names of the features, if ``X`` had names that are all strings.

    Examples:
      >>> from sklearn.datasets import load_iris
      >>> flowers, species = load_iris(return_X_y=True)
      >>> hasher = HashTransformer(bits=8, total_steps=100, random_state=0).fit(flowers, species)
      >>> codes = hasher.transform(flowers)
      >>> codes.shape, codes.dtype, np.unique(codes).tolist()
      ((150, 8), dtype('int8'), [-1, 1])
      >>> hasher.get_feature_names_out()[:2].tolist()
      ['hashtransformer0', 'hashtransformer1']
    """

    kernel_: Float32[np.ndarray, "D K"]
    bias_: Float32[np.ndarray, " K"]

    def __init__(
        self,
        *,
        bits: int = 48,
        total_steps: int = 1000,
        batch_size: int = 64,
        learning_rate: float = 4.0,
        weight_decay: float = 0.05,
        alpha: float | None = None,
        offset: float = 0.1,
        beta_schedule: str = "sqrt",
        standardize: bool = True,
        random_state: Any = None,
    ) -> None:
        # scikit-learn requires that the parameters are stored unchanged, and checked by `fit`.
        self.bits = bits
        self.total_steps = total_steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.alpha = alpha
        self.offset = offset
        self.beta_schedule = beta_schedule
        self.standardize = standardize
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> "HashTransformer":  # noqa: N803
        """Trains the hash layer.

        Args:
          X: finite features ``[N, D]``, N >= 2.
          y: labels of the samples: class ids or names ``[N]``, or multi-hot labels ``[N, C]`` of 0
            and 1.

        Returns:
          ``self``.

        Raises:
          ValueError: if a parameter is out of range, all features are constant, there is only one
            class, or scikit-learn rejects ``X`` or ``y``.
          FloatingPointError: if training diverges.
        """
        check_positive_int("bits", self.bits)
        spec = self._spec()
        checked: Any = validate_data(
            self, X, y, dtype=np.float32, multi_output=True, ensure_min_samples=2
        )
        features, labels = checked[0], _labels(checked[1])
        size = min(self.batch_size, len(features))
        check_batch_size(size, n_train=len(features))
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        scale = FeatureScale.of(features) if self.standardize else None
        inputs = features if scale is None else scale.apply(features)
        layers = train_layers(
            HashNetLoss(spec),
            initial_layer(inputs, labels, self.bits, spec=spec, seed=seed),
            (),
            (),
            inputs,
            labels,
            _order(seed, len(inputs), size, self.total_steps),
            spec=spec,
            rates=np.array([self.learning_rate * rate_unit(inputs)], np.float32),
        )
        layer = np.asarray(layers.kernel[0]), np.asarray(layers.bias[0])
        self.kernel_, self.bias_ = self._checked(layer if scale is None else scale.fold(*layer))
        return self

    def transform(self, X: Any) -> Int8[np.ndarray, "N K"]:  # noqa: N803
        """Encodes samples.

        Args:
          X: finite features ``[N, D]``.

        Returns:
          Codes, int8 ``[N, K]``, each entry -1 or +1. :func:`hashnet_jax.pack_bits` packs them.
        """
        check_is_fitted(self)
        features: Any = validate_data(self, X, dtype=np.float32, reset=False)
        logits = HashLayer(self.kernel_, self.bias_).logits(features)
        return np.asarray(binarize(logits))

    def _spec(self) -> TrainSpec:
        alpha = _SPREAD / math.sqrt(self.bits) if self.alpha is None else self.alpha
        return TrainSpec(
            total_steps=self.total_steps,
            learning_rate=self.learning_rate,
            hash_multiplier=1.0,
            weight_decay=self.weight_decay,
            alpha=alpha,
            offset=self.offset,
            standardize=self.standardize,
            beta_schedule=self.beta_schedule,
        )

    def _checked(self, layer: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Returns the layer's arrays, unless training diverged."""
        if not all(np.isfinite(array).all() for array in layer):
            raise FloatingPointError(
                "the hash layer must be finite after training, but its training diverged with "
                f"learning_rate={self.learning_rate}. Lower `learning_rate`."
            )
        return layer

    @property
    def _n_features_out(self) -> int:
        """The number of bits, for `get_feature_names_out`."""
        return len(self.bias_)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _labels(y: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "N *C"]:
    """Converts labels to class ids ``[N]`` or multi-hot labels ``[N, C]``."""
    check_classification_targets(y)
    if type_of_target(y, input_name="y") == "multilabel-indicator":
        return np.asarray(y, np.float32)
    classes, ids = np.unique(column_or_1d(y, warn=True), return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"`y` must contain at least two classes, got 1 class, {classes.tolist()}. Without "
            "dissimilar samples, all codes become the same."
        )
    return ids.astype(np.int32)


def _order(seed: int, n: int, batch_size: int, steps: int) -> Int[np.ndarray, "T B"]:
    return np.stack([batch_positions(seed, t, n=n, batch_size=batch_size) for t in range(steps)])
