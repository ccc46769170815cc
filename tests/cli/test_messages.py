"""Tests for translating the package's messages to the options of each command."""

import argparse

import pytest

from hashnet_jax.cli import _options
from hashnet_jax.cli._main import build_parser
from hashnet_jax.cli._messages import flags_of, translate
from hashnet_jax.cli.commands import COMMANDS
from hashnet_jax.index import create_store
from tests.support.bad_pictures import picture
from tests.support.cli_case import hashnet
from tests.support.stores import manifest


def flags_of_command(name):
    parser = build_parser()
    (commands,) = [
        action.choices
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
    ]
    with pytest.raises(SystemExit):
        commands[name].parse_args(["--help"])  # Declares the options.
    return flags_of(commands[name])


@pytest.mark.parametrize(
    ("message", "translation"),
    [
        ("`batch_size` must be", "--batch-size must be"),
        ("without `resume=True`", "without --resume"),
        ("choose another `run_dir`", "choose another --run-dir"),
        ("`total_steps` and `total_steps=5`", "--steps and --steps 5"),
        ("`train_in_database=False`", "--database rest-without-train"),
        ("`cutoff=None`", "--cutoff all"),
        ("`alpha=None`", "--alpha auto"),
        ("`balance='none'`", "--balance none"),
        ("`freeze_backbone=False`", "--no-freeze-backbone"),
        ("`freeze_backbone=True`", "--freeze-backbone"),
        ("`learning_rate=0.001`", "--learning-rate 0.001"),
        ("`csv='my file'`", "--csv 'my file'"),
        ("`coordinator` HOST:PORT, `processes=N`", "--coordinator HOST:PORT, --processes N"),
        ("change `n_devices`", "change --devices"),
        ("see `hashnet info`", "see `hashnet info`"),
        ("`labels` must be `path,label1`", "`labels` must be `path,label1`"),
    ],
)
def test_parameters_become_flags_and_everything_else_is_unchanged(message, translation, capsys):
    assert translate(message, flags_of_command("train")) == translation


def test_a_parameter_is_translated_to_the_name_that_each_command_uses(capsys):
    assert translate("`run_dir`", flags_of_command("train")) == "--run-dir"
    assert translate("`run_dir`", flags_of_command("report")) == "RUN"
    assert translate("`folder`", flags_of_command("search")) == "RUN"
    assert translate("`folder`", flags_of_command("info")) == "RUN|CODES"
    assert translate("`out`", flags_of_command("export")) == "OUT"
    assert translate("`k` and `kind`", flags_of_command("search")) == "-k and --index"


@pytest.mark.parametrize("command", [["search"], ["index", "update"]])
def test_a_network_in_place_of_its_run_is_refused_by_the_name_of_the_argument(
    command, tmp_path, capsys
):
    picture(0).save(tmp_path / "a.png")
    model, store = tmp_path / "model.npz", tmp_path / "store"
    model.write_bytes(b"a network")
    if command == ["search"]:
        create_store(store, manifest())
    assert hashnet(*command, model, tmp_path / "a.png", "--store", store) == 1
    assert (
        f"error: RUN must be an existing folder, got the file {model}." in capsys.readouterr().err
    )


def test_every_option_of_train_is_translated(capsys):
    flags = flags_of_command("train")
    for name in (*_options.CONFIG_FIELDS, *_options.EXECUTION_FIELDS):
        assert translate(f"`{name}`", flags).startswith("--"), name


def test_every_command_translates_its_own_errors(tmp_path, capsys):
    from hashnet_jax.cli import main

    assert main(["train", "--steps", "0", "--run-dir", str(tmp_path / "new")]) == 1
    assert (
        capsys.readouterr().err == "hashnet train: error: --steps must be an integer >= 1, got 0.\n"
    )
    none = str(tmp_path / "none")
    parts = ("query-codes", "query-labels", "database-codes", "database-labels")
    arguments = {
        "report": [none],
        "search": [none, none, "--store", none],
        "info": [none],
        "evaluate": [word for part in parts for word in (f"--{part}", none)],
        "index": ["info", "--store", none],
        "export": [none, none],
        "serve": [none, "--store", none],
        "duplicates": ["--store", none],
        "push": [none, "--folder", none],
    }
    for name in COMMANDS.keys() - {"train"}:
        given = arguments[name]
        assert main([name, *given]) == 1
        program = "index info" if name == "index" else name
        assert capsys.readouterr().err.startswith(f"hashnet {program}: error: ")
