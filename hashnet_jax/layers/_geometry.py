"""Strides and padding of a convolution."""

from typing import NamedTuple


class ConvGeometry(NamedTuple):
    """Strides and zero padding of a convolution, in pixels.

    Attributes:
      strides: row and column strides.
      padding: number of zeros at each edge, ``((top, bottom), (left, right))``.
    """

    strides: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]

    def output_size(self, image_size: tuple[int, ...], kernel_size: int) -> tuple[int, int]:
        """Returns the output's height and width, given the image size and a square kernel's side.

        Examples:
          >>> ConvGeometry((2, 2), ((1, 1), (1, 1))).output_size((8, 9), 3)
          (4, 5)
        """
        height, width = (
            (length + sum(sides) - kernel_size) // stride + 1
            for length, stride, sides in zip(image_size, *self, strict=True)
        )
        return height, width
