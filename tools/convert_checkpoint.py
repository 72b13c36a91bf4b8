"""Convert published weights to a checkpoint of Detectron2's form, or to safetensors.

    python tools/convert_checkpoint.py --config-file configs/groie/mask_rcnn_r50_fpn_groie_1x.py \\
        mask_rcnn_r50_fpn_groie_1x_coco_20200604_211715-50d90c74.pth groie.pth --verify

The config says which model the weights are for. `--names AdelaiDet` writes a CondInst's weights for
the original repository.
"""

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from typing import Any

from torch import nn

from projects_ext.checkpoint.convert import convert
from projects_ext.engine.config_files import load_config
from projects_ext.engine.faults import one_sentence
from projects_ext.engine.main import trainer_for
from projects_ext.engine.parallel import plain_norms_where_alone
from projects_ext.errors import user_errors


def parse_arguments(words: Sequence[str] | None = None) -> Namespace:
    """Parse the command line.

    Args:
        words: in place of the program's own.
    """
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("source", help="a path or an address, as for train.init_checkpoint")
    parser.add_argument("output", help="FILE.pth (of Detectron2's form) or FILE.safetensors")
    parser.add_argument("--config-file", metavar="FILE", required=True, help="of the model")
    parser.add_argument("--names", metavar="FAMILY", default="", help="names other than ours")
    parser.add_argument(
        "--verify", action="store_true", help="read the file back and compare the outputs"
    )
    parser.add_argument("--trust", action="store_true", help="let the source run the code in it")
    parser.add_argument("opts", metavar="KEY=VALUE", nargs="*", help="keys of the config to change")
    return parser.parse_intermixed_args(words)


def main(words: Sequence[str] | None = None) -> None:
    """Convert, and say what became of the weights.

    Args:
        words: a command line in place of the program's own.
    """
    arguments = parse_arguments(words)
    with one_sentence():
        cfg = load_config(arguments.config_file, arguments.opts)
        trainer: Any = trainer_for(cfg)

        def build() -> nn.Module:
            return plain_norms_where_alone(trainer.create_model(cfg), on_gpu=False).cpu()

        with user_errors():
            report, said = convert(
                build, arguments.source, arguments.output, names=arguments.names,
                verify=arguments.verify, trust=arguments.trust,
            )  # fmt: skip
        print(report)
        print(said)


if __name__ == "__main__":
    main()
