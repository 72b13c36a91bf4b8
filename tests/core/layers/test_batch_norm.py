"""Normalisation layers."""

import pytest
import torch
import torch.multiprocessing as mp
from torch import nn
from torch.nn import functional as F

from detectron2.layers import CycleBatchNormList, FrozenBatchNorm2d, NaiveSyncBatchNorm, get_norm
from detectron2.layers.batch_norm import LayerNorm
from tests.procedural import procedural_array

STATISTICS = ("weight", "bias", "running_mean", "running_var")


def values(name: str, *shape: int) -> torch.Tensor:
    return torch.from_numpy(procedural_array(f"tests/batch_norm/{name}", shape))


def trained_norm(channels: int = 4, eps: float = 1e-3) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels, eps=eps)
    with torch.no_grad():
        for index, name in enumerate(STATISTICS):
            getattr(norm, name).copy_(torch.linspace(0.5, 2, channels) + 0.1 * index)
    return norm.eval()


class TestFrozen:
    def test_fresh_layer_is_the_identity(self):
        x = values("x", 2, 4, 3, 3)
        torch.testing.assert_close(FrozenBatchNorm2d(4, eps=1e-2)(x), x)

    def test_state_names_and_nothing_to_train(self):
        norm = FrozenBatchNorm2d(4)
        assert sorted(norm.state_dict()) == sorted(STATISTICS)
        assert list(norm.parameters()) == []
        assert norm.num_features == 4
        assert norm.eps == 1e-5

    @pytest.mark.parametrize("needs_gradient", [False, True])
    @pytest.mark.parametrize("training", [False, True])
    def test_is_a_batch_norm_in_evaluation(self, needs_gradient, training):
        norm = trained_norm()
        frozen = FrozenBatchNorm2d.convert_frozen_batchnorm(norm).train(training)
        x = values("x", 2, 4, 3, 3).requires_grad_(needs_gradient)
        y = frozen(x)
        torch.testing.assert_close(y, norm(x))
        if needs_gradient:
            (ours,) = torch.autograd.grad(y.square().sum(), x)
            (theirs,) = torch.autograd.grad(norm(x).square().sum(), x)
            torch.testing.assert_close(ours, theirs)

    @pytest.mark.parametrize("needs_gradient", [False, True])
    def test_precision_of_the_input_is_kept(self, needs_gradient):
        x = torch.ones(1, 4, 2, 2, dtype=torch.bfloat16, requires_grad=needs_gradient)
        assert FrozenBatchNorm2d(4)(x).dtype == torch.bfloat16

    def test_empty_batch(self):
        assert FrozenBatchNorm2d(4)(torch.zeros(0, 4, 3, 3)).shape == (0, 4, 3, 3)

    def test_conversion_and_back(self):
        inner = nn.Sequential(nn.SyncBatchNorm(3))
        model = nn.Sequential(trained_norm(), inner, nn.Conv2d(1, 1, 1))
        expected = {name: value.clone() for name, value in model[0].state_dict().items()}
        frozen = FrozenBatchNorm2d.convert_frozen_batchnorm(model)
        assert frozen is model
        assert isinstance(model[0], FrozenBatchNorm2d)
        assert isinstance(model[1][0], FrozenBatchNorm2d)
        assert model[0].eps == 1e-3
        for name in STATISTICS:
            assert torch.equal(getattr(model[0], name), expected[name])
        thawed = FrozenBatchNorm2d.convert_frozenbatchnorm2d_to_batchnorm2d(model)
        assert type(thawed[0]) is nn.BatchNorm2d
        assert type(thawed[1][0]) is nn.BatchNorm2d
        assert thawed[0].weight.requires_grad
        assert thawed[0].eps == 1e-3
        for name in STATISTICS:
            assert torch.equal(getattr(thawed[0], name), expected[name])

    @pytest.mark.core_only(reason="upstream shares the statistics")
    def test_converted_layers_share_no_memory(self):
        norm = trained_norm()
        frozen = FrozenBatchNorm2d.convert_frozen_batchnorm(norm)
        before = frozen.running_mean.clone()
        norm.running_mean.add_(1)
        norm.weight.data.add_(1)
        assert torch.equal(frozen.running_mean, before)
        assert not torch.equal(frozen.weight, norm.weight)

    def test_norm_without_affine_parameters(self):
        frozen = FrozenBatchNorm2d.convert_frozen_batchnorm(nn.BatchNorm2d(3, affine=False))
        assert frozen.weight.tolist() == [1, 1, 1]

    def test_other_modules_stay(self):
        norm = nn.BatchNorm1d(3)
        assert FrozenBatchNorm2d.convert_frozen_batchnorm(norm) is norm

    def test_checkpoint_without_statistics(self):
        """They were merged into weight and bias, so they are 0 and 1."""
        frozen = FrozenBatchNorm2d(2)
        frozen.load_state_dict({"weight": torch.full((2,), 3.0), "bias": torch.ones(2)})
        assert frozen.running_mean.tolist() == [0, 0]
        assert frozen.running_var.tolist() == [1, 1]
        assert frozen.weight.tolist() == [3, 3]

    def test_own_checkpoint_must_be_complete(self):
        state = FrozenBatchNorm2d(2).state_dict()
        del state["running_var"]
        with pytest.raises(RuntimeError, match="running_var"):
            FrozenBatchNorm2d(2).load_state_dict(state)

    @pytest.mark.core_only(reason="upstream reports an unexpected key")
    def test_checkpoint_of_a_trainable_norm(self):
        frozen = nn.Sequential(FrozenBatchNorm2d(4))
        norm = nn.Sequential(trained_norm())
        frozen.load_state_dict(norm.state_dict())
        frozen.load_state_dict(dict(norm.state_dict()))
        assert torch.equal(frozen[0].running_var, norm[0].running_var)


class TestGetNorm:
    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("BN", nn.BatchNorm2d),
            ("SyncBN", nn.SyncBatchNorm),
            ("FrozenBN", FrozenBatchNorm2d),
            ("GN", nn.GroupNorm),
            ("nnSyncBN", nn.SyncBatchNorm),
            ("naiveSyncBN", NaiveSyncBatchNorm),
            ("naiveSyncBN_N", NaiveSyncBatchNorm),
            ("LN", LayerNorm),
        ],
    )
    def test_names(self, name, kind):
        norm = get_norm(name, 64)
        assert type(norm) is kind
        assert norm.weight.shape == (64,)

    def test_groups(self):
        assert get_norm("GN", 64).num_groups == 32

    @pytest.mark.parametrize("nothing", ["", None])
    def test_nothing(self, nothing):
        assert get_norm(nothing, 64) is None

    def test_callables(self):
        assert isinstance(get_norm(nn.InstanceNorm2d, 4), nn.InstanceNorm2d)
        assert get_norm(lambda channels: nn.GroupNorm(2, channels), 4).num_groups == 2

    def test_unknown_name(self):
        with pytest.raises(KeyError, match="BatchNorm"):
            get_norm("BatchNorm", 64)


class TestLayerNorm:
    def test_each_position_is_normalised_over_its_channels(self):
        norm = LayerNorm(6)
        with torch.no_grad():
            norm.weight.copy_(values("weight", 6))
            norm.bias.copy_(values("bias", 6))
        x = values("x", 2, 6, 3, 4)
        expected = F.layer_norm(x[1, :, 2, 3], (6,), norm.weight, norm.bias, 1e-6)
        torch.testing.assert_close(norm(x)[1, :, 2, 3], expected)
        assert norm(x).shape == x.shape

    def test_empty_batch(self):
        assert LayerNorm(6)(torch.zeros(0, 6, 3, 4)).shape == (0, 6, 3, 4)


class TestCycle:
    def test_statistics_in_turn_and_one_affine(self):
        norms = CycleBatchNormList(3, num_features=4)
        names = {"weight", "bias"} | {
            f"{index}.{name}"
            for index in range(3)
            for name in ("running_mean", "running_var", "num_batches_tracked")
        }
        assert set(norms.state_dict()) == names
        norms.train()
        for _ in range(4):
            norms(values("x", 2, 4, 3, 3))
        assert [int(norm.num_batches_tracked) for norm in norms] == [2, 1, 1]

    def test_result(self):
        norms = CycleBatchNormList(2, num_features=4)
        with torch.no_grad():
            norms.weight.fill_(2)
            norms.bias.fill_(3)
            norms[1].running_mean.fill_(1)
        norms.eval()
        x = values("x", 2, 4, 3, 3)
        torch.testing.assert_close(norms(x), x * 2 + 3, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(norms(x), (x - 1) * 2 + 3, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(norms(x), x * 2 + 3, atol=1e-4, rtol=1e-4)

    def test_without_affine(self):
        norms = CycleBatchNormList(2, num_features=4, affine=False)
        assert not any(True for _ in norms.parameters())
        assert norms(values("x", 2, 4, 3, 3)).shape == (2, 4, 3, 3)


# stats_mode and the number of images of each process.
SYNC_CASES = [("", [2, 2]), ("N", [3, 1]), ("N", [4, 0]), ("N", [0, 0])]


def batch_of(rank: int, sizes: list[int]) -> torch.Tensor:
    return values("sync", sum(sizes), 3, 4, 5).split(sizes)[rank]


def norms_in_process(rank: int, folder: str) -> None:
    """One of two processes: results of all cases into a file."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", f"file://{folder}/meeting_point", rank=rank, world_size=2
    )
    results = []
    for mode, sizes in SYNC_CASES:
        norm = NaiveSyncBatchNorm(3, stats_mode=mode)
        with torch.no_grad():
            norm.weight.copy_(torch.tensor([1.0, 2, 3]))
        x = batch_of(rank, sizes).clone().requires_grad_()
        y = norm(x)
        y.pow(3).sum().backward()
        results.append([y.detach(), x.grad, norm.running_mean, norm.running_var])
    torch.save(results, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


class TestSync:
    def test_alone_it_is_a_batch_norm(self):
        norm, plain = NaiveSyncBatchNorm(3).train(), nn.BatchNorm2d(3).train()
        x = values("x", 2, 3, 4, 4)
        assert torch.equal(norm(x), plain(x))
        assert norm.state_dict().keys() == plain.state_dict().keys()
        assert torch.equal(norm.running_var, plain.running_var)

    def test_unknown_mode(self):
        with pytest.raises((AssertionError, ValueError)):
            NaiveSyncBatchNorm(3, stats_mode="Q")

    def test_two_processes_are_one_batch(self, tmp_path):
        mp.start_processes(norms_in_process, (str(tmp_path),), nprocs=2, start_method="spawn")
        results = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
        for (_, sizes), first, second in zip(SYNC_CASES, *results, strict=True):
            y, gradient = (torch.cat([first[index], second[index]]) for index in (0, 1))
            assert torch.equal(first[2], second[2])
            assert torch.equal(first[3], second[3])
            self.check_against_one_batch(sizes, y, gradient, mean=first[2], variance=first[3])

    @staticmethod
    def check_against_one_batch(sizes, y, gradient, mean, variance):
        if sum(sizes) == 0:
            assert y.shape == (0, 3, 4, 5)
            assert mean.tolist() == [0, 0, 0]
            assert variance.tolist() == [1, 1, 1]
            return
        x = torch.cat([batch_of(rank, sizes) for rank in range(2)]).requires_grad_()
        expected = F.batch_norm(x, None, None, torch.tensor([1.0, 2, 3]), None, training=True)
        expected.pow(3).sum().backward()
        torch.testing.assert_close(y, expected.detach(), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(gradient, x.grad, atol=1e-3, rtol=1e-3)
        biased = x.detach().var(dim=(0, 2, 3), unbiased=False)
        torch.testing.assert_close(mean, 0.1 * x.detach().mean(dim=(0, 2, 3)))
        torch.testing.assert_close(variance, 0.9 + 0.1 * biased)
