#!/usr/bin/env bash
# mmengine 0.10.7 (the newest, on which mmdet 3 runs) pickles a HistoryBuffer and functions bound to
# it into every training checkpoint, and reads checkpoints by torch.load without weights_only. Since
# torch 2.6 that means weights_only=True: a run cannot be resumed from the checkpoint that it wrote.
# Seen: UnpicklingError that names HistoryBuffer.
# Installs torch, which needs some 5 GB in the temporary folder.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet mmengine==0.10.7 torch==2.14.1
cat > run.py <<'PYTHON'
import pickle

import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner


class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def forward(self, values, mode="loss"):
        return {"loss": self.layer(values).square().mean()}


def make_runner(name, epochs, **options):
    loader = {
        "batch_size": 1,
        "num_workers": 0,
        "dataset": [{"values": torch.rand(2)}],
        "sampler": {"type": "DefaultSampler", "shuffle": False},
        "collate_fn": {"type": "default_collate"},
    }
    return Runner(
        model=Model(),
        work_dir="run",
        experiment_name=name,
        train_dataloader=loader,
        train_cfg={"by_epoch": True, "max_epochs": epochs},
        optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.1}},
        default_scope=None,
        log_level="ERROR",
        **options,
    )


make_runner("first", 1).train()
try:
    make_runner("second", 2, resume=True, load_from="run/epoch_1.pth").train()
    print("seen: resumed")
except pickle.UnpicklingError as error:
    print("seen: UnpicklingError, HistoryBuffer:", "HistoryBuffer" in str(error))
PYTHON
venv/bin/python run.py > seen 2> log || { cat log; exit 1; }
grep "^seen" seen
grep -q "^seen: UnpicklingError, HistoryBuffer: True" seen || { echo "changed"; exit 1; }
echo "mmengine 0.10.7 on torch 2.14.1: a run cannot resume from its own checkpoint"
