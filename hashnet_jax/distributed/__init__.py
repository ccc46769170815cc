"""A program's runtime environment: devices, processes, files and progress.

- :mod:`~hashnet_jax.distributed.devices`: runs a train step or row-wise function on one device, or
  maps it over several.
- :mod:`~hashnet_jax.distributed.processes`: coordinates several processes that run one program,
  and exchanges data between them.
- :mod:`~hashnet_jax.distributed.files`: atomic writes, hashes, and locks against other processes.
- :mod:`~hashnet_jax.distributed.progress`: a progress bar on a terminal, plain lines in a log.

Nothing here depends on the networks: the functions to map are passed in, and no other part of the
package is imported.

Determinism: on CPU, repeating a run on the same devices gives bitwise-identical results. With a
different number of devices or processes, sums are taken in a different order: individual updates
agree to within 1e-6, but over hundreds of steps rounding errors make the runs diverge.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from hashnet_jax.distributed import devices, files, processes, progress

__all__ = ["devices", "files", "processes", "progress"]

__getattr__, __dir__, _ = lazy_loader.attach(__name__, __all__)
