"""The initial hash layer on cached features: random, or computed from the features.

The features also contain information about classes without training images. Training that stays
near a computed layer preserves more of this information than training from a random layer.
"""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jaxtyping import Float, Shaped

from hashnet_jax.training._hash_layer import HashLayer
from hashnet_jax.training._spec import TrainSpec

ITERATIONS = 50

# Added to a within-class scatter with mean eigenvalue 1. Chosen from 0.3, 1 and 3 on training
# classes held out from a miniature ImageNet-100 and from Fashion-MNIST.
SHRINKAGE = 3.0


def initial_layer(
    features: Float[np.ndarray, "N D"],
    labels: Shaped[np.ndarray, "N *C"],
    bits: int,
    *,
    spec: TrainSpec,
    seed: int,
) -> HashLayer:
    """Returns an initial hash layer according to ``spec.hash_init``.

    Args:
      features: features of the training images, standardized if ``spec.standardize`` is set.
      labels: class ids ``[N]`` or multi-hot labels ``[N, C]`` of the training images.
      bits: K, the number of bits per code.
      spec: the training hyperparameters.
      seed: seed for the random weights, or for the initial rotation.

    Raises:
      ValueError: if the layer is computed from the features, and there are too few features or
        training images.

    Examples:
      >>> features, labels = np.zeros((5, 3), np.float32), np.arange(5)
      >>> initial_layer(features, labels, 2, spec=TrainSpec(), seed=0).kernel.shape
      (3, 2)
    """
    if spec.hash_init == "lda-itq":
        return lda_itq_layer(features, labels, bits, seed=seed)
    kernel = 0.01 * jax.random.normal(jax.random.key(seed), (features.shape[1], bits))
    return HashLayer(kernel, jnp.zeros(bits))


def lda_itq_layer(
    features: Float[np.ndarray, "N D"],
    labels: Shaped[np.ndarray, "N *C"],
    bits: int,
    *,
    seed: int,
) -> HashLayer:
    """Computes discriminant directions, rotated to reduce the quantization error.

    The directions maximize total scatter relative to within-class scatter, as in linear
    discriminant analysis. The within-class scatter is shrunk towards the identity, so the layer
    also keeps directions that do not separate the training classes. The rotation is found with ITQ.

    References: Fisher, "The use of multiple measurements in taxonomic problems", 1936. Gong,
    Lazebnik, "Iterative quantization: a Procrustean approach to learning binary codes", CVPR 2011.

    Args:
      features: features ``[N, D]`` of the training images. Standardize them first, since their
        scales affect the result.
      labels: class ids ``[N]`` or multi-hot labels ``[N, C]`` of the training images.
      bits: K, the number of bits per code; at most D and less than N.
      seed: seed for the initial rotation.

    Returns:
      A layer whose outputs have mean 0 and standard deviation 1 over the training images.

    Raises:
      ValueError: if there are more bits than features, or at least as many bits as training images.

    Examples:
      >>> features = np.random.default_rng(0).normal(size=(100, 8)).astype(np.float32)
      >>> layer = lda_itq_layer(features, np.arange(100) % 5, bits=4, seed=0)
      >>> layer.kernel.shape, f"{layer.logits(features).std():.2f}"
      ((8, 4), '1.00')
    """
    number, width = features.shape
    if bits > min(width, number - 1):
        raise ValueError(
            "`hash_init='lda-itq'` requires at least as many features as bits, and more training "
            f"images than bits, but got {bits} bits, {width} features and {number} images. "
            "Lower `bits`, or set `hash_init='normal'`."
        )
    mean = features.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred = features - mean
    total = (centred.T @ centred).astype(np.float64)
    within = _within_class_scatter(centred, labels)
    # Rounding leaves a remainder if all images of each class are the same.
    if np.trace(within) > 1e-6 * np.trace(total):
        within *= width / np.trace(within)
    else:
        within[:] = 0
    within[np.diag_indices(width)] += SHRINKAGE
    _, directions = scipy.linalg.eigh(total, within, subset_by_index=(width - bits, width - 1))
    kernel = directions @ _rotation(centred @ directions, seed)
    kernel /= np.std(centred @ kernel)
    return HashLayer(kernel.astype(np.float32), (-mean @ kernel).astype(np.float32))


def _within_class_scatter(
    features: Float[np.ndarray, "N D"], labels: Shaped[np.ndarray, "N *C"]
) -> Float[np.ndarray, "D D"]:
    """Sums the scatter of each class about its mean; an image counts in each of its classes."""
    if labels.ndim == 1:
        labels = labels[:, None] == np.unique(labels)
    member = (labels != 0).astype(np.float32)
    sizes = np.maximum(member.sum(axis=0), 1)
    sums = member.T @ features
    memberships = member.sum(axis=1)
    scatter = (features.T * memberships) @ features - (sums.T / sizes) @ sums
    return scatter.astype(np.float64)


def _rotation(
    projected: Float[np.ndarray, "N K"], seed: int, iterations: int = ITERATIONS
) -> Float[np.ndarray, "K K"]:
    """Finds the ITQ rotation by alternately updating the codes and the rotation that fits them."""
    bits = projected.shape[1]
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(bits, bits)))
    for _ in range(iterations):
        codes = np.where(projected @ rotation >= 0, 1.0, -1.0)
        rotation, _ = scipy.linalg.orthogonal_procrustes(projected, codes)
    return rotation
