"""The command line of ``train_net.py``."""

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence

EPILOG = """\
examples:
  train         python train_net.py --config-file configs/quickstart/mask_rcnn_shapes.py
  own data      python train_net.py --config-file … data=FOLDER [data.val=FOLDER]
  resume        python train_net.py --config-file … --resume
  evaluate      python train_net.py --config-file … --eval-only train.init_checkpoint=model.pth
  change keys   python train_net.py --config-file x.py train.max_iter=2000 optimizer.lr=0.001
                python train_net.py --config-file x.yaml SOLVER.MAX_ITER 2000 SOLVER.BASE_LR 0.001
  8 GPUs        python train_net.py --num-gpus 8 --config-file …
                torchrun --nproc-per-node 8 train_net.py --config-file …
  2 machines    python train_net.py --num-gpus 8 --num-machines 2 --machine-rank 0
                    --dist-url tcp://FIRST_MACHINE:PORT --config-file …   (the other: rank 1)

What a run writes into its output folder: config.yaml, log.txt, metrics.json, TensorBoard events,
model_*.pth, last_checkpoint, evaluation.json, the evaluators' own files and, with --report,
report.html.
"""


def argument_parser() -> ArgumentParser:
    """Detectron2's options, with the same names and meanings."""
    parser = ArgumentParser(
        usage="%(prog)s --config-file FILE [options] [KEY=VALUE ... | KEY VALUE ...]",
        description="Train, resume or evaluate what a config file describes.",
        epilog=EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config-file", metavar="FILE", required=True, help="a LazyConfig (.py) or a YAML config"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="continue from the output folder's last checkpoint, if there is one",
    )
    parser.add_argument("--eval-only", action="store_true", help="evaluate, do not train")
    parser.add_argument(
        "--report",
        action="store_true",
        help="after the evaluation, write report.html into the output folder: what the result is, "
        "where the errors are and on which images",
    )
    many = parser.add_argument_group(
        "several processes or machines (under torchrun: nothing to give)"
    )
    many.add_argument(
        "--num-gpus",
        metavar="N",
        type=int,
        default=1,
        help="processes on each machine, one GPU each; without a GPU they share the CPU",
    )
    many.add_argument(
        "--num-machines", metavar="N", type=int, default=1, help="how many machines take part"
    )
    many.add_argument(
        "--machine-rank", metavar="I", type=int, default=0, help="this machine's number, from 0"
    )
    many.add_argument(
        "--dist-url",
        metavar="URL",
        default="auto",
        help="where the processes meet: tcp://HOST:PORT of machine 0; auto (the default) finds a "
        "free port, on one machine only",
    )
    parser.add_argument(
        "opts",
        metavar="KEY=VALUE",
        nargs="*",
        help="keys of the config to change: KEY=VALUE for a LazyConfig (+KEY=VALUE adds a key, "
        "++KEY=VALUE sets one to a value of any type), KEY VALUE for YAML",
    )
    return parser


def parse_arguments(arguments: Sequence[str] | None = None) -> Namespace:
    """Parse the command line; options and ``KEY=VALUE`` pairs may come in any order.

    Args:
        arguments: the words after the program's name; None takes them from ``sys.argv``.
    """
    return argument_parser().parse_intermixed_args(arguments)
