"""Tests for the compilation cache of the programs."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import platformdirs
import pytest

from hashnet_jax.cli import _compilation_cache

SETTINGS = (
    "jax_compilation_cache_dir",
    "jax_compilation_cache_max_size",
    "jax_persistent_cache_min_compile_time_secs",
)

PROGRAM = """
from hashnet_jax.cli import _compilation_cache
_compilation_cache.MIN_SECONDS = 0
_compilation_cache.enable()
import jax, jax.numpy as jnp
print(float(jax.jit(lambda x: jnp.sin(x) @ x)(jnp.arange(5.0))))
"""


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """An empty cache folder of the user, and no settings of JAX's own."""
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *args, **_: str(tmp_path / "cache"))
    before = {name: getattr(jax.config, name) for name in SETTINGS}
    jax.config.update("jax_compilation_cache_dir", None)
    yield tmp_path / "cache"
    for name, value in before.items():
        jax.config.update(name, value)


def test_programs_are_kept_in_the_users_cache_folder_up_to_a_maximum_size(folder):
    _compilation_cache.enable()
    assert Path(jax.config.jax_compilation_cache_dir).parent == folder / "xla"
    assert jax.config.jax_compilation_cache_max_size == 2**30


def test_jaxs_own_setting_is_kept(folder):
    jax.config.update("jax_compilation_cache_dir", "elsewhere")
    _compilation_cache.enable()
    assert jax.config.jax_compilation_cache_dir == "elsewhere"
    assert not folder.exists()


def test_nothing_is_kept_if_the_folder_cannot_be_made(folder):
    folder.write_text("a file in its place")
    _compilation_cache.enable()
    assert jax.config.jax_compilation_cache_dir is None


def test_processors_with_other_instructions_have_a_folder_of_their_own(folder, monkeypatch):
    found = set()
    for flags in ("sse2 avx2", "sse2 avx2 avx512f", "sse2 avx2"):
        text = f"processor\t: 0\nmodel name\t: CPU\nflags\t\t: {flags}\n"
        monkeypatch.setattr(Path, "read_text", lambda self, text=text: text)
        found.add(_compilation_cache.cache_folder())
    assert len(found) == 2


@pytest.mark.slow
def test_a_damaged_entry_is_compiled_again(tmp_path):
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    del environment["JAX_COMPILATION_CACHE_DIR"]

    def result():
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    first = result()
    entries = list(tmp_path.glob("hashnet_jax/xla/*/*-cache"))
    assert entries
    assert result() == first
    for entry in entries:
        content = bytearray(entry.read_bytes())
        content[len(content) // 2] ^= 0xFF
        entry.write_bytes(bytes(content))
    assert result() == first
    for entry in entries:
        entry.write_bytes(entry.read_bytes()[:40])
    assert result() == first
