import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from detectron2.utils import comm


def test_single_process():
    assert (comm.get_world_size(), comm.get_rank(), comm.is_main_process()) == (1, 0, True)
    assert (comm.get_local_rank(), comm.get_local_size()) == (0, 1)
    assert comm.all_gather({"a": 1}) == [{"a": 1}]
    assert comm.gather("x") == ["x"]
    values = {"a": torch.tensor(2.0)}
    assert comm.reduce_dict(values) is values
    assert 0 <= comm.shared_random_seed() < 2**31
    comm.synchronize()


def both_ranks(rank, address, results):
    dist.init_process_group("gloo", init_method=f"file://{address}", world_size=2, rank=rank)
    comm.create_local_process_group(1)
    losses = {"b": torch.tensor(1.0 + rank), "a": torch.tensor(10.0 * rank)}
    seen = {
        "size": (comm.get_world_size(), comm.get_rank(), comm.is_main_process()),
        "local": (comm.get_local_size(), comm.get_local_rank()),
        "all": comm.all_gather({"rank": rank, "long": "x" * 1000 * rank}),
        "to0": comm.gather(rank),
        "to1": comm.gather([rank], dst=1),
        "mean": {name: float(value) for name, value in comm.reduce_dict(losses).items()},
        "sum": {name: float(value) for name, value in comm.reduce_dict(losses, False).items()},
        "seed": comm.shared_random_seed(),
    }
    comm.synchronize()
    torch.save(seen, f"{results}/{rank}.pth")
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.skipif(not dist.is_gloo_available(), reason="needs gloo")
def test_two_processes(tmp_path):
    mp.spawn(both_ranks, args=(str(tmp_path / "meeting"), str(tmp_path)), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pth") for rank in range(2))
    assert (first["size"], second["size"]) == ((2, 0, True), (2, 1, False))
    assert first["local"] == second["local"] == (1, 0)
    assert first["all"] == second["all"]
    assert [item["rank"] for item in first["all"]] == [0, 1]
    assert (first["to0"], second["to0"]) == ([0, 1], [])
    assert (first["to1"], second["to1"]) == ([], [[0], [1]])
    assert first["mean"] == {"a": 5.0, "b": 1.5}
    assert first["sum"] == {"a": 10.0, "b": 3.0}
    assert first["seed"] == second["seed"]
