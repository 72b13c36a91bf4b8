"""Two processes train a stage with global context as one does."""

from pathlib import Path

import torch

from projects_ext.engine.arguments import parse_arguments
from projects_ext.engine.launch import launch
from tests.projects_ext.gcnet.programs import stage_in_training, train_two_steps


def trained(output: Path, processes: int) -> dict[str, torch.Tensor]:
    words = ["--config-file", str(output), "--num-gpus", str(processes)]
    launch(train_two_steps, parse_arguments(words), on_gpu=False)
    return torch.load(output, weights_only=True)


def test_two_processes_are_one_with_all_the_images(tmp_path: Path) -> None:
    one, two = trained(tmp_path / "one.pth", 1), trained(tmp_path / "two.pth", 2)
    start = stage_in_training().state_dict()
    for name, value in one.items():
        # Detectron2 counts no batches over several processes, and takes the variance of what there
        # is, not the estimate for more, as a single process does.
        if not name.endswith(("num_batches_tracked", "running_var")):
            torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-5, msg=name)
    context = [name for name in start if ".activation." in name]
    assert len(context) == 2 * 8
    same = {name.rpartition("activation.")[2] for name in context if one[name].equal(start[name])}
    assert same <= {"mask.bias"}  # which the softmax does not see
    assert one["losses"][1] < one["losses"][0]
