"""The command line: options and changes of the config in any order."""

import pytest

from projects_ext.engine.arguments import argument_parser, parse_arguments

LAZY = ["train.max_iter=5", "optimizer.lr=-1"]


@pytest.mark.parametrize(
    "words",
    [
        ["--config-file", "x.py", "--resume", *LAZY],
        ["--config-file", "x.py", *LAZY, "--resume"],
        [LAZY[0], "--resume", LAZY[1], "--config-file", "x.py"],
    ],
)
def test_options_are_understood_wherever_they_stand(words: list[str]) -> None:
    arguments = parse_arguments(words)
    assert arguments.resume
    assert arguments.config_file == "x.py"
    assert arguments.opts == LAZY


def test_pairs_with_negative_numbers_are_no_options() -> None:
    pairs = ["SOLVER.WEIGHT_DECAY_BIAS", "-1.5", "INPUT.SIZES", "(1, 2)"]
    arguments = parse_arguments(["--config-file", "x.yaml", *pairs, "--eval-only"])
    assert arguments.opts == pairs
    assert arguments.eval_only


def test_defaults_are_those_of_detectron2() -> None:
    arguments = parse_arguments(["--config-file", "x.py"])
    assert (arguments.num_gpus, arguments.num_machines, arguments.machine_rank) == (1, 1, 0)
    assert arguments.opts == []
    assert not arguments.resume


def test_unknown_option_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_arguments(["--config-file", "x.py", "a=1", "--resum-all"])
    assert "unrecognized arguments: --resum-all" in capsys.readouterr().err


def test_help_fits_a_terminal() -> None:
    lines = argument_parser().format_help().splitlines()
    assert max(map(len, lines)) <= 100
    assert len(lines) < 50
