"""A checkpoint that MMEngine's own runner wrote; ``tests/data/mmengine/README.md`` says how."""

import zipfile
from pathlib import Path
from typing import Any

import torch

from projects_ext.checkpoint import load_weights
from projects_ext.checkpoint.files import read_with_remarks

FILE = str(Path(__file__).parents[2] / "data" / "mmengine" / "epoch_1.pth")


def test_it_is_read_without_what_its_message_hub_holds() -> None:
    content, remarks = read_with_remarks(FILE)
    assert set(content) == {"meta", "state_dict", "message_hub", "optimizer"}
    assert content["meta"]["mmengine_version"] == "0.10.7"
    assert content["meta"]["dataset_meta"] == {"classes": ("cat", "dog", "bird")}
    assert content["message_hub"]["log_scalars"] == {}
    assert content["message_hub"]["runtime_info"]["epoch"] == 0
    assert remarks == [
        "objects of mmengine.logging.history_buffer.HistoryBuffer in the file were left out: only "
        "tensors and plain values are read"
    ]


def test_its_functions_are_why_it_was_refused() -> None:
    """So this file is what it is taken for."""
    with zipfile.ZipFile(FILE) as archive:
        (pickled,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        assert b"__builtin__\ngetattr" in archive.read(pickled)


def test_its_weights_load(model: Any) -> None:
    report = load_weights(model, FILE, classes=["cat", "dog", "bird"])
    assert report.format == "OpenMMLab, mmengine 0.10.7"
    assert report.left_over == []
    assert len(report.loaded) == 5 + 6
    theirs = read_with_remarks(FILE)[0]["state_dict"]
    own = model.state_dict()
    for name, file_name in (
        ("backbone.bottom_up.stem.conv1.norm.running_var", "backbone.bn1.running_var"),
        ("proposal_generator.rpn_head.anchor_deltas.weight", "rpn_head.rpn_reg.weight"),
    ):
        assert torch.equal(own[name], theirs[file_name])
    assert "HistoryBuffer in the file were left out" in str(report)
