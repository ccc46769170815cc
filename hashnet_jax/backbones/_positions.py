"""Adds position embeddings to the tokens of a transformer, resampled to the size of the images."""

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float


def add_positions(
    patches: Float[Array, "B r c D"], token: Float[Array, "1 1 D"], positions: Float[Array, "1 T D"]
) -> Float[Array, "B N D"]:
    """Puts the class token before the patches, and adds the position embeddings to both.

    Args:
      patches: embedded patches, ``[B, rows, columns, D]``.
      token: the class token, ``[1, 1, D]``.
      positions: ``[1, 1 + G * G, D]``, of the class token and of a square grid of patches, which is
        resampled to that of the images.

    Returns:
      ``[B, 1 + rows * columns, D]``, in the dtype of ``patches``.
    """
    batch, rows, columns, width = patches.shape
    first = jnp.broadcast_to(token + positions[:, :1], (batch, 1, width)).astype(patches.dtype)
    resized = resize_positions(positions[:, 1:], (rows, columns)).astype(patches.dtype)
    return jnp.concatenate([first, patches.reshape(batch, rows * columns, width) + resized], axis=1)


def resize_positions(
    positions: Float[Array, "1 T D"], grid: tuple[int, int]
) -> Float[Array, "1 N D"]:
    """Resamples the embeddings of a square grid of patches bicubically to another grid.

    Agrees with ``torch.nn.functional.interpolate(mode="bicubic", align_corners=False)``, which the
    authors of the models use: the kernel has a = -0.75 (that of ``jax.image.resize`` has -0.5),
    without antialiasing, and the edges are repeated.

    Args:
      positions: ``[1, G * G, D]``, row by row.
      grid: number of rows and columns of patches of the images.

    Returns:
      ``[1, rows * columns, D]``.
    """
    side = round(positions.shape[1] ** 0.5)
    if grid == (side, side):
        return positions
    rows, columns = (jnp.asarray(bicubic_matrix(side, n)) for n in grid)
    square = positions.reshape(side, side, -1)
    resized = jnp.einsum("ri,cj,ijd->rcd", rows, columns, square, precision="highest")
    return resized.reshape(1, grid[0] * grid[1], -1)


def bicubic_matrix(inputs: int, outputs: int) -> Float[np.ndarray, "outputs inputs"]:
    """Returns the matrix that resamples ``inputs`` values to ``outputs`` values, in float32.

    Examples:
      >>> bicubic_matrix(2, 1)
      array([[0.5, 0.5]], dtype=float32)
    """
    a = -0.75
    centres = (np.arange(outputs) + 0.5) * inputs / outputs - 0.5
    matrix = np.zeros((outputs, inputs), np.float32)
    for tap in range(-1, 3):
        neighbours = np.floor(centres).astype(int) + tap
        d = np.abs(centres - neighbours)
        near = ((a + 2) * d - (a + 3)) * d * d + 1
        far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
        columns = np.clip(neighbours, 0, inputs - 1)
        np.add.at(matrix, (np.arange(outputs), columns), np.where(d <= 1, near, far))
    return matrix
