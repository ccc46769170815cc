"""README's Python examples, run in their order, and its first shell block."""

import re
from pathlib import Path

import jax
import numpy as np

import hashnet_jax

README = (Path(__file__).parents[1] / "README.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


def test_python_examples_run_as_they_stand(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_dir = tmp_path / "runs" / "digits-small_cnn-48bits-seed0"
    run_dir.mkdir(parents=True)
    spec = hashnet_jax.ModelSpec("small_cnn", bits=48, image_size=8, resize=8)
    hashnet_jax.save(run_dir, hashnet_jax.init(jax.random.key(0), spec))
    images = np.random.default_rng(0).integers(0, 256, (6, 20, 16, 3)).astype(np.uint8)
    names = {"images": images}
    examples = blocks("python")
    assert examples
    for example in examples:
        exec(compile(example, "README.md", "exec"), names)
    assert names["codes"].shape == (6, 48)
    assert names["distance"][:, 0].tolist() == [0, 0]
    np.testing.assert_array_equal(names["same_codes"], names["codes"])


def test_the_first_shell_block_is_two_commands_install_and_run_then_install_and_test():
    first, second = blocks("bash")[0].strip().splitlines()
    assert first == "pip install -e '.[experiments]' && python experiments/run.py"
    assert second == "pip install -e '.[test]' && python -m pytest"
