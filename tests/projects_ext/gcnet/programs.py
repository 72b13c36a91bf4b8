"""A program that the tests start in several processes: a spawned process has to import it."""

from argparse import Namespace

import torch
from torch import nn

from detectron2.modeling.backbone.resnet import ResNet
from detectron2.utils import comm
from projects_ext.engine.parallel import wrap_for_processes
from projects_ext.gcnet import ContextBottleneckBlock
from tests.procedural import procedural_noise, procedural_state


def stage_in_training() -> nn.Sequential:
    """Two residual blocks with context whose statistics are those of all processes."""
    blocks = ResNet.make_stage(
        ContextBottleneckBlock, 2, stride_per_block=[2, 1], in_channels=16, out_channels=32,
        bottleneck_channels=16, norm="naiveSyncBN", ratio=1 / 2,
    )  # fmt: skip
    stage = nn.Sequential(*blocks)
    shapes = {name: value.shape for name, value in stage.state_dict().items()}
    state = procedural_state(shapes)
    stage.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    return stage.train()


def train_two_steps(arguments: Namespace) -> None:
    """Train on this process's share of four images; the first process writes what became.

    That goes to where ``config_file`` points.
    """
    torch.set_num_threads(1)
    stage = stage_in_training()
    model = wrap_for_processes(stage, {})
    rank, processes = comm.get_rank(), comm.get_world_size()
    images = procedural_noise("images", (4, 16, 7, 9)).chunk(processes)[rank]
    optimizer = torch.optim.SGD(stage.parameters(), lr=0.01, momentum=0.9)
    losses = []
    for _ in range(2):
        loss = model(images).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(sum(comm.all_gather(loss.item())) / processes)
    if comm.is_main_process():
        torch.save({**stage.state_dict(), "losses": torch.tensor(losses)}, arguments.config_file)
