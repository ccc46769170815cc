"""Keeps compiled programs in the user's cache folder, so that each is compiled only once."""

import hashlib
import os
import platform
from pathlib import Path

from hashnet_jax.distributed.files import user_cache

# The setting of JAX that names the folder.
FOLDER = "jax_compilation_cache_dir"

# The programs that were used least recently are deleted first.
MAX_BYTES = 2**30

# Programs that compile faster are not kept.
MIN_SECONDS = 0.2


def enable() -> None:
    """Makes JAX keep compiled programs in the user's cache folder.

    The user can choose another folder with the environment variable ``JAX_COMPILATION_CACHE_DIR``,
    or turn the cache off with ``JAX_ENABLE_COMPILATION_CACHE=false``; JAX itself reads both. If
    the cache folder is not writable, compiled programs are not kept.
    """
    import jax

    if getattr(jax.config, FOLDER) is not None:
        return
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if not os.access(folder, os.W_OK):
        return
    jax.config.update(FOLDER, str(folder))
    jax.config.update("jax_compilation_cache_max_size", MAX_BYTES)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", MIN_SECONDS)


def cache_folder() -> Path:
    """Returns the folder for programs that were compiled for this kind of processor.

    Each kind has its own folder, because machines that share a home folder may have processors with
    different instruction sets.
    """
    return user_cache("xla") / processor()


def processor() -> str:
    """Returns a hash of the processor's model and instruction set."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    features = [line for line in lines if line.startswith(("flags", "Features", "model name"))]
    described = f"{platform.machine()} {platform.processor()} {sorted(set(features))}"
    return hashlib.sha256(described.encode()).hexdigest()[:12]
