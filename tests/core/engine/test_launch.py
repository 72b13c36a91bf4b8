"""Starting processes. Those with several are one test, because a start takes seconds."""

import json

import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from detectron2.engine import SimpleTrainer, create_ddp_model, hooks, launch
from detectron2.utils import comm
from detectron2.utils.events import JSONWriter

from .toy import TwoLosses


def test_one_process_runs_here():
    calls = []
    launch(lambda *args: calls.append(args), 1, args=(1, "two"))
    launch(lambda *args: calls.append(args), 0, dist_url="auto")
    assert calls == [(1, "two"), ()]


def test_a_free_port_is_found_on_one_machine_only():
    with pytest.raises((AssertionError, ValueError), match="auto"):
        launch(print, 2, num_machines=2, dist_url="auto")


@pytest.mark.core_only(reason="upstream waits for machines that never come")
def test_a_machine_rank_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="machine rank is 2"):
        launch(print, 2, num_machines=2, machine_rank=2, dist_url="tcp://localhost:1")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_more_processes_than_gpus_are_refused():
    with pytest.raises((AssertionError, ValueError)):
        launch(print, torch.cuda.device_count() + 1, dist_url="auto")


def train_in_parallel(folder):
    """Process r trains on batches of r + 1; at the end process 1 fails."""
    rank = comm.get_rank()
    model = create_ddp_model(TwoLosses(), broadcast_buffers=False)
    batches = iter(lambda: torch.full((1, 3), float(rank + 1)), None)
    trainer = SimpleTrainer(model, batches, torch.optim.SGD(model.parameters(), 0.01))
    if comm.is_main_process():
        writer = JSONWriter(f"{folder}/metrics.json", window_size=1)
        trainer.register_hooks([hooks.PeriodicWriter([writer], period=1)])
    evaluation = hooks.EvalHook(0, lambda: {"rank": rank})
    trainer.register_hooks([evaluation])
    trainer.train(0, 2)
    assert isinstance(model, DistributedDataParallel)
    facts = {
        "ranks": [rank, comm.get_local_rank(), comm.get_world_size(), comm.get_local_size()],
        "backend": torch.distributed.get_backend(),
        "weight": model.module.layer.weight.tolist(),
    }
    with open(f"{folder}/{rank}.json", "w") as file:
        json.dump(facts, file)
    comm.synchronize()
    if rank == 1:
        raise RuntimeError("process 1 gives up")


@pytest.mark.core_only(reason="upstream's needs GPUs")
@pytest.mark.skipif(torch.cuda.is_available(), reason="with GPUs the processes would use them")
def test_two_cpu_processes_train_one_model_and_gather_their_losses(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with pytest.raises(Exception, match="process 1 gives up"):
        launch(train_in_parallel, 2, dist_url="auto", args=(str(tmp_path),))

    facts = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)]
    assert [fact["ranks"] for fact in facts] == [[0, 0, 2, 2], [1, 1, 2, 2]]
    assert facts[0]["backend"] == "gloo"

    # The same in one process: each loss, and so the gradient, is the mean over both batches.
    model = TwoLosses()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    expected = []
    for _ in range(2):
        losses = [model(torch.full((1, 3), value)) for value in (1.0, 2.0)]
        means = {name: (losses[0][name] + losses[1][name]) / 2 for name in losses[0]}
        optimizer.zero_grad()
        sum(means.values()).backward()
        optimizer.step()
        expected.append({name: loss.item() for name, loss in means.items()})
    for fact in facts:
        assert fact["weight"][0] == pytest.approx(model.layer.weight[0].tolist(), abs=1e-6)

    lines = [json.loads(line) for line in (tmp_path / "metrics.json").read_text().splitlines()]
    for line, losses in zip(lines[:2], expected, strict=True):
        assert {name: line[name] for name in losses} == pytest.approx(losses, abs=1e-5)
        assert line["total_loss"] == pytest.approx(sum(losses.values()), abs=1e-5)
