"""Tests for the command itself and its `--help`: width, defaults, and libraries it imports."""

import configparser
import importlib.metadata
import re
import subprocess
import sys

import pytest

import hashnet_jax
from hashnet_jax.cli import _options, main
from hashnet_jax.cli._fields import values_of
from hashnet_jax.cli.commands import COMMANDS
from hashnet_jax.configs import CONFIGS
from tests.support.cli_case import ROOT


def help_of(capsys, *args, **kwargs):
    with pytest.raises(SystemExit) as exit_status:
        main([*args, "--help"], **kwargs)
    assert exit_status.value.code == 0
    return capsys.readouterr().out


def words(text):
    return " ".join(text.split())


@pytest.mark.parametrize("columns", ["200", "80"])
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_is_at_most_80_columns_wide(command, columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    text = help_of(capsys, *command.split())
    assert max(map(len, text.splitlines())) <= 80
    started = help_of(capsys, "train", started_as="python experiments/run.py")
    assert max(map(len, started.splitlines())) <= 80
    assert started.startswith("usage: python experiments/run.py [OPTION ...]\n")


def test_hashnet_help_names_the_commands(capsys):
    text = help_of(capsys)
    for command in COMMANDS:
        assert re.search(rf"\n    {command}\s", text)


@pytest.mark.parametrize("dataset", CONFIGS)
def test_every_option_of_train_shows_the_default_of_the_data_set(dataset, capsys):
    text = help_of(capsys, "train", "--dataset", dataset)
    entries = {}
    for part in text.split("\n  --")[1:]:
        flag, _, rest = part.partition(" ")
        entries[f"--{flag.rstrip(',')}"] = words(rest.split("\n\n")[0])
    for field in (_options.CONFIG_FIELDS | _options.EXECUTION_FIELDS).values():
        entry = entries[_options.flag_of(field).name]
        assert "(default: " in entry, field.name
    config = values_of(CONFIGS[dataset])
    assert f"(default: {config['batch_size']})" in entries["--batch-size"]
    assert f"(default: {config['total_steps']})" in entries["--steps"]
    assert f"(default: {config['cutoff'] or 'all'})" in entries["--cutoff"]
    assert f"(default: {config['augmentation']})" in entries["--augmentation"]
    assert f"(default: {dataset})" in entries["--dataset"]


def test_an_unknown_data_set_is_rejected_with_a_list_of_the_known_ones(capsys):
    with pytest.raises(SystemExit) as exit_status:
        main(["train", "--dataset", "imagenet"])
    assert exit_status.value.code == 2
    assert "invalid choice: 'imagenet' (choose from" in capsys.readouterr().err


def test_version_prints_the_version_of_the_package(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"hashnet_jax {hashnet_jax.__version__}\n"


def test_help_of_hashnet_loads_no_library_that_it_does_not_need():
    script = "import sys; from hashnet_jax.cli._main import build_parser; build_parser(); "
    script += "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    heavy = {"optax", "orbax", "grain", "tensorflow_datasets", "matplotlib", "sklearn", "faiss"}
    assert not set(result.stdout.split()) & (heavy | {"PIL", "torch", "jax", "flax"})


def test_installing_the_package_provides_the_command():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    name, target = setup["options.entry_points"]["console_scripts"].strip().split(" = ")
    assert name == "hashnet"
    assert importlib.metadata.EntryPoint(name, target, "console_scripts").load() is main


def test_the_former_command_encode_names_what_replaced_it(capsys):
    with pytest.raises(SystemExit) as exit_status:
        main(["encode", "run", "pictures", "-o", "codes"])
    assert exit_status.value.code == 2
    error = words(capsys.readouterr().err)
    assert "`hashnet encode` was replaced by `hashnet index update` and `hashnet export`." in error
