"""Write a checkpoint with MMEngine's own Runner; see README.md next to this file."""

import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset


class Backbone(nn.Module):
    """The stem of a ResNet, with 8 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(8)

    def forward(self, images: Tensor) -> Tensor:
        """Half the resolution."""
        return torch.relu(self.bn1(self.conv1(images)))


class RPNHead(nn.Module):
    """Three anchors per place, on 16 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.rpn_conv = nn.Conv2d(16, 16, 3, padding=1)
        self.rpn_cls = nn.Conv2d(16, 3, 1)
        self.rpn_reg = nn.Conv2d(16, 12, 1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and deltas."""
        features = torch.relu(self.rpn_conv(features))
        return self.rpn_cls(features), self.rpn_reg(features)


class Images(Dataset[dict[str, Tensor]]):
    """Random numbers, and names of classes."""

    metainfo = {"classes": ("cat", "dog", "bird")}  # noqa: RUF012

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"image": torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(index))}


def main(output: str) -> None:
    """Train for one epoch in a temporary folder, and keep its checkpoint."""
    from mmengine.model import BaseModel
    from mmengine.runner import Runner

    class Detector(BaseModel):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.backbone, self.rpn_head = Backbone(), RPNHead()

        def forward(self, image: Tensor, mode: str = "loss") -> dict[str, Tensor]:
            features = self.backbone(image)
            scores, deltas = self.rpn_head(torch.cat([features, features], 1))
            return {"loss_rpn_cls": scores.square().mean(), "loss_rpn_bbox": deltas.abs().mean()}

    torch.manual_seed(0)
    config: dict[str, Any] = {
        "train_cfg": {"by_epoch": True, "max_epochs": 1},
        "optim_wrapper": {"optimizer": {"type": "SGD", "lr": 0.01}},
        "default_hooks": {"logger": {"type": "LoggerHook", "interval": 1}},
        "randomness": {"seed": 0},
        "cfg": {"model": {"type": "Detector"}},
        "experiment_name": "small",
    }
    loader = DataLoader(Images(), batch_size=2)
    with tempfile.TemporaryDirectory() as folder:
        Runner(model=Detector(), work_dir=folder, train_dataloader=loader, **config).train()
        Path(output).write_bytes((Path(folder) / "epoch_1.pth").read_bytes())


if __name__ == "__main__":
    main(sys.argv[1])
