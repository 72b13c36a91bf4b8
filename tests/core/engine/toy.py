"""A model of one weight matrix with two losses, its data, and a hook that notes its calls."""

import torch
from torch import nn

from detectron2.engine import HookBase, SimpleTrainer


class TwoLosses(nn.Module):
    """Two losses of one linear layer, whose weights are always the same at first."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1)
        nn.init.constant_(self.layer.weight, 0.5)
        nn.init.constant_(self.layer.bias, 0.1)

    def forward(self, batch):
        output = self.layer(batch)
        return {"loss_square": output.square().mean(), "loss_absolute": output.abs().mean()}


class Batches:
    """Endless batches (4, 3), the same in each pass."""

    def __iter__(self):
        generator = torch.Generator().manual_seed(7)
        while True:
            yield torch.randn(4, 3, generator=generator)


def make_trainer(cls=SimpleTrainer, model=None, lr=0.1, **settings):
    model = model or TwoLosses()
    optimizer = torch.optim.SGD(model.parameters(), lr, momentum=0.9)
    return cls(model, Batches(), optimizer, **settings)


class Notes(HookBase):
    """Notes (name, stage, iteration) of each call in a list that hooks share."""

    def __init__(self, calls, name="notes"):
        self.calls, self.name = calls, name

    def _note(self, stage):
        self.calls.append((self.name, stage, self.trainer.iter))

    def before_train(self):
        self._note("before_train")

    def before_step(self):
        self._note("before_step")

    def after_backward(self):
        self._note("after_backward")

    def after_step(self):
        self._note("after_step")

    def after_train(self):
        self._note("after_train")
