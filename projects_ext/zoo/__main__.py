"""``python -m projects_ext.zoo``: published experiments in the terminal."""

import sys
import tempfile
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path

from detectron2.config import LazyConfig
from projects_ext.engine.faults import one_sentence
from projects_ext.errors import UserError

from .configs import config_file, get_config
from .evaluate import comparison, evaluate
from .experiments import find
from .text import details, listing

COMMANDS = ("list", "show", "config", "eval")
EPILOG = """\
examples:
  all, or those with certain words    python -m projects_ext.zoo
                                      python -m projects_ext.zoo groie r101
  one, with the address of its file   python -m projects_ext.zoo show mask_rcnn_r50_fpn_groie_1x
  its config, resolved, to a file     python -m projects_ext.zoo config NAME > my.yaml
  its metrics, measured here          python -m projects_ext.zoo eval NAME
  with weights that are here already  python -m projects_ext.zoo eval NAME --weights FILE
  the other column of segmentation    python -m projects_ext.zoo eval NAME \\
                                          model.predict_multi_scale=True

eval looks for the data below $DETECTRON2_DATASETS, keeps weights below $FVCORE_CACHE
(~/.torch/iopath_cache without it) and writes into output/zoo/NAME.
"""


def argument_parser() -> ArgumentParser:
    """The commands and their options."""
    parser = ArgumentParser(
        prog="python -m projects_ext.zoo",
        description="List, show and evaluate published experiments.",
        epilog=EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="|".join(COMMANDS))
    listed = commands.add_parser("list", help="the tables; the command for words alone")
    listed.add_argument("words", metavar="WORD", nargs="*", help="only rows with all of these")
    shown = commands.add_parser("show", help="all about one experiment")
    config = commands.add_parser("config", help="print a config, all parts resolved")
    config.add_argument("--path", action="store_true", help="print the path of its file instead")
    evaluated = commands.add_parser("eval", help="measure the metrics of published weights")
    evaluated.add_argument("--weights", metavar="FILE", default="", help="weights that are here")
    evaluated.add_argument("--num-gpus", metavar="N", type=int, default=1, help="processes")
    for command in (shown, config, evaluated):
        command.add_argument("name", metavar="NAME", help="of the experiment, or its last part")
    evaluated.add_argument(
        "overrides", metavar="KEY=VALUE", nargs="*", help="keys of the config to change"
    )
    return parser


def parse(words: Sequence[str]) -> Namespace:
    """Parse a command line; ``KEY=VALUE`` may also stand behind options."""
    parser = argument_parser()
    arguments, rest = parser.parse_known_args(words)
    unknown = [word for word in rest if word.startswith("-") or "=" not in word]
    if unknown or (rest and arguments.command != "eval"):
        parser.error(f"unrecognized arguments: {' '.join(unknown or rest)}")
    if rest:
        arguments.overrides = [*arguments.overrides, *rest]
    return arguments


def run(arguments: Namespace) -> str:
    """Do what the command says, and return what it prints.

    Raises:
        UserError: there is no such experiment or config, or it cannot be evaluated.
    """
    if arguments.command == "list":
        text = listing(arguments.words)
        if not text:
            words = " ".join(arguments.words)
            raise UserError(f"no published experiment has the words '{words}': use fewer of them")
        return text
    if arguments.command == "show":
        return details(find(arguments.name))
    if arguments.command == "config":
        return config_file(arguments.name) if arguments.path else config_text(arguments.name)
    experiment = find(arguments.name)
    found = evaluate(
        experiment,
        weights=arguments.weights,
        num_gpus=arguments.num_gpus,
        overrides=arguments.overrides,
    )
    return f"\n{experiment.name}\n{comparison(experiment, found)}"


def config_text(name: str) -> str:
    """A config as YAML that ``train_net.py --config-file`` reads."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        LazyConfig.save(get_config(name), str(path))
        return path.read_text().rstrip()


def main(words: Sequence[str] | None = None) -> None:
    """Run one command; ``list`` is understood where none is named."""
    given = list(sys.argv[1:] if words is None else words)
    if not given or (given[0] not in COMMANDS and not given[0].startswith("-")):
        given.insert(0, "list")
    with one_sentence():
        print(run(parse(given)))


if __name__ == "__main__":
    main()
