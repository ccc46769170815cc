"""Maps tensors in public weights files to arrays in this package's variables.

Each backbone's module defines a mapping ``{name in the file: Target}``. A ``None`` target marks a
tensor that may be in the file but is skipped on purpose. The skipped tensors are those of the
classifier, which the hash layer replaces, and ``num_batches_tracked``, which running statistics
with a fixed momentum do not need.
"""

import dataclasses

import numpy as np
from jax import Array
from jaxtyping import Shaped


@dataclasses.dataclass(frozen=True)
class Target:
    """The array that a file's tensor is copied to, and how the tensor's axes are permuted.

    Attributes:
      collection: collection of variables, ``"params"`` or ``"batch_stats"``.
      path: path to the array under ``[collection]["backbone"]``, with names joined by ``/``.
      axes: axis i of the array is axis ``axes[i]`` of the file's tensor; empty if both have their
        axes in the same order.
      flattened: shape (C, H, W) of the feature map that is flattened before a dense layer, if any.
        Torch flattens the map in this order, while this package flattens it as (H, W, C).
    """

    collection: str
    path: str
    axes: tuple[int, ...] = ()
    flattened: tuple[int, int, int] | None = None

    def file_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Converts the shape of an array to the shape of the corresponding tensor in the file.

        Examples:
          >>> Target("params", "stem/conv/kernel", axes=(2, 3, 1, 0)).file_shape((7, 7, 3, 64))
          (64, 3, 7, 7)
        """
        if not self.axes:
            return tuple(shape)
        return tuple(shape[self.axes.index(axis)] for axis in range(len(self.axes)))

    def convert(
        self, tensor: Shaped[Array | np.ndarray, "..."]
    ) -> Shaped[Array | np.ndarray, "..."]:
        """Converts a tensor from the file's layout to the layout of the array that it fills.

        Examples:
          >>> Target("params", "fc/kernel", axes=(1, 0)).convert(np.zeros((10, 512))).shape
          (512, 10)
        """
        if self.flattened is not None:
            outputs = tensor.shape[0]
            tensor = tensor.reshape(outputs, *self.flattened).transpose(2, 3, 1, 0)
            return tensor.reshape(-1, outputs)
        return np.transpose(tensor, self.axes) if self.axes else tensor


def conv_tensors(file: str, ours: str, *, bias: bool = False) -> dict[str, Target | None]:
    """Maps the tensors of a convolution to :class:`Target` objects.

    Args:
      file: prefix of the tensors' names in the file.
      ours: path to the layer's arrays; see :class:`Target`.
      bias: whether the convolution has a bias.
    """
    # Torch's OIHW becomes HWIO; a depthwise kernel goes from [C, 1, H, W] to [H, W, 1, C].
    names: dict[str, Target | None] = {
        f"{file}.weight": Target("params", f"{ours}/kernel", axes=(2, 3, 1, 0))
    }
    return names | {f"{file}.bias": Target("params", f"{ours}/bias")} if bias else names


def dense_tensors(
    file: str, ours: str, *, flattened: tuple[int, int, int] | None = None
) -> dict[str, Target | None]:
    """Maps the tensors of a dense layer to :class:`Target` objects.

    See :func:`conv_tensors` for ``file`` and ``ours``, and :class:`Target` for ``flattened``.
    """
    return {
        f"{file}.weight": Target("params", f"{ours}/kernel", axes=(1, 0), flattened=flattened),
        f"{file}.bias": Target("params", f"{ours}/bias"),
    }


def layer_norm_tensors(file: str, ours: str) -> dict[str, Target | None]:
    """Maps the tensors of a layer norm to :class:`Target` objects; see :func:`conv_tensors`."""
    return {
        f"{file}.weight": Target("params", f"{ours}/scale"),
        f"{file}.bias": Target("params", f"{ours}/bias"),
    }


def batch_norm_tensors(file: str, ours: str) -> dict[str, Target | None]:
    """Maps a batch norm's tensors to :class:`Target` objects or None; see :func:`conv_tensors`."""
    return layer_norm_tensors(file, ours) | {
        f"{file}.running_mean": Target("batch_stats", f"{ours}/mean"),
        f"{file}.running_var": Target("batch_stats", f"{ours}/var"),
        f"{file}.num_batches_tracked": None,
    }


def skipped_tensors(file: str) -> dict[str, Target | None]:
    """Maps the weight and bias of a layer that is skipped, such as the classifier, to None."""
    return {f"{file}.weight": None, f"{file}.bias": None}
