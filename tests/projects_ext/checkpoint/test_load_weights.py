"""The public function: key maps, reports, class counts, refusals."""

import sys

import pytest
import torch
from torch import Tensor, nn

from projects_ext.checkpoint import ClassLayer, Format, KeyMap, LoadReport, load_weights
from tests.projects_ext.checkpoint.small_models import (
    assert_has_weights,
    openmmlab_weights,
    saved,
    small_mask_rcnn,
    torchvision_weights,
    weights,
)


class TestClassCounts:
    def test_only_what_depends_on_the_classes_starts_fresh(self, source):
        model = small_mask_rcnn(classes=5, seed=2)
        before = weights(model)
        report = load_weights(model, openmmlab_weights(source))
        layers = ["box_predictor.bbox_pred", "box_predictor.cls_score", "mask_head.predictor"]
        fresh = {f"roi_heads.{layer}.{part}" for layer in layers for part in ("weight", "bias")}
        assert set(report.reinitialised) == fresh
        assert report.missing == report.left_over == []
        assert_has_weights(model, {name: before[name] for name in fresh})
        kept = {name: value for name, value in weights(source).items() if name not in fresh}
        assert set(report.loaded) == set(kept)
        assert_has_weights(model, kept)
        assert report.notes[-1] == (
            "the file has 3 classes, the model 5: roi_heads.box_predictor.bbox_pred, "
            "roi_heads.box_predictor.cls_score, roi_heads.mask_head.predictor start fresh"
        )

    def test_a_shape_that_classes_do_not_explain(self, source, model):
        state = openmmlab_weights(source)
        state["roi_head.bbox_head.shared_fcs.1.weight"] = torch.zeros(24, 32)
        before = weights(model)
        with pytest.raises(ValueError, match="box_head.fc2.weight is 24x32 .* 24x24 in the model"):
            load_weights(model, state)
        assert_has_weights(model, before)  # refused before anything was written

    @pytest.mark.parametrize(
        ("entry", "shape"),
        [
            ("fc_cls.weight", (5, 16)),  # other channels
            ("fc_reg.weight", (4, 24)),  # shared by the classes there, not here
            ("fc_reg.weight", (14, 24)),  # no whole number of classes
        ],
    )
    def test_class_layers_that_classes_do_not_explain(self, source, model, entry, shape):
        state = openmmlab_weights(source)
        state[f"roi_head.bbox_head.{entry}"] = torch.zeros(shape)
        with pytest.raises(ValueError, match="the number of classes does not explain: take the"):
            load_weights(model, state)

    def test_a_system_names_its_own_class_layers(self, source):
        model = small_mask_rcnn(classes=5)
        state = weights(source)
        state["roi_heads.box_head.fc2.weight"] = torch.zeros(4 * 3 + 4, 24)
        with pytest.raises(ValueError, match="fc2.weight is 16x24"):
            load_weights(model, state)
        key_map = KeyMap(class_layers=[ClassLayer(r"box_head\.fc2", per_class=4, extra=4)])
        report = load_weights(model, state, key_maps=[key_map])
        assert "roi_heads.box_head.fc2.weight" in report.reinitialised


class TestRefusals:
    def test_weights_of_another_kind(self, model):
        with pytest.raises(ValueError, match="unknown kind .encoder.weight, ….: give weights of"):
            load_weights(model, {"encoder.weight": torch.zeros(2)})

    def test_weights_of_which_nothing_fits(self, model):
        state = {"decode_head.conv.weight": torch.zeros(2)}
        with pytest.raises(ValueError, match="none of the 1 entries in .* has a place"):
            load_weights(model, state)

    @pytest.mark.parametrize(
        ("content", "meaning"),
        [
            ({"epoch": 3, "lr": 0.1}, "without weights: it holds epoch, lr"),
            ([1, 2], "holds a list and no weights by name"),
        ],
    )
    def test_files_without_weights(self, model, tmp_path, content, meaning):
        with pytest.raises(ValueError, match=meaning):
            load_weights(model, saved(content, tmp_path / "x.pth"))

    def test_strict_names_what_is_left_over_and_missing(self, source, model):
        state = openmmlab_weights(source)
        state["rpn_head.other.weight"] = state.pop("rpn_head.rpn_conv.weight")
        before = weights(model)
        with pytest.raises(ValueError, match=r"(?s)rpn_head.other.weight.*rpn_head.conv.weight"):
            load_weights(model, state, strict=True)
        assert_has_weights(model, before)
        report = load_weights(model, state)
        assert report.left_over == ["rpn_head.other.weight"]
        assert report.missing == ["proposal_generator.rpn_head.conv.weight"]

    def test_mmdet_1_numbered_classes_otherwise(self, source, model):
        old = {
            name.removeprefix("roi_head."): value
            for name, value in openmmlab_weights(source).items()
        }
        with pytest.raises(ValueError, match="upgrade_model_version"):
            load_weights(model, old)
        converted = {"meta": {"mmdet_version": "1.2.0"}, "state_dict": openmmlab_weights(source)}
        assert load_weights(model, converted, strict=True).format == "OpenMMLab, mmdet 1.2.0"

    def test_rules_that_send_two_entries_to_one_place(self, source, model):
        key_map = KeyMap(rules={"OpenMMLab": [(r"rpn_head\.rpn_\w+\.bias", "rpn_head.conv.bias")]})
        with pytest.raises(ValueError, match="both became .*rpn_head.conv.bias: correct the rules"):
            load_weights(model, openmmlab_weights(source), key_maps=[key_map])

    def test_a_name_with_two_places(self, source):
        both = nn.ModuleDict({"first": small_mask_rcnn(), "second": small_mask_rcnn()})
        with pytest.raises(ValueError, match="fits first.* and second"):
            load_weights(both, torchvision_weights(source))


class TestKeyMaps:
    def test_rules_of_the_models_own_package(self, source, model, monkeypatch):
        """The key map beside the class of one of its modules is found."""

        class Head(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.scale = nn.Parameter(torch.zeros(2))

        Head.__module__ = "made_up_system.heads"
        package, module = type(sys)("made_up_system"), type(sys)("made_up_system.key_map")
        package.__path__ = []
        module.KEY_MAP = KeyMap(rules={"OpenMMLab": [(r"extra\.scale", r"head.scale")]})
        module.__spec__ = object()
        monkeypatch.setitem(sys.modules, "made_up_system", package)
        monkeypatch.setitem(sys.modules, "made_up_system.key_map", module)
        model.head = Head()
        state = {**openmmlab_weights(source), "extra.scale": torch.tensor([1.0, 2.0])}
        load_weights(model, state, strict=True)
        assert model.head.scale.tolist() == [1, 2]

    def test_a_format_of_its_own_and_rules_as_functions(self, source, model):
        def halves(name: str, value: Tensor) -> list[tuple[str, Tensor]] | None:
            if name != "both":
                return None
            ends = ("rpn_head.conv.weight", "mask_head.mask_fcn1.weight")
            return list(zip(ends, value.unbind(), strict=True))

        own = Format("made up", lambda weights, target: "both" in weights.entries, [halves])
        value = torch.rand(2, 16, 16, 3, 3)
        report = load_weights(model, {"both": value}, key_maps=[KeyMap(formats=[own])])
        assert report.format == "made up"
        assert torch.equal(model.proposal_generator.rpn_head.conv.weight, value[0])
        assert torch.equal(model.roi_heads.mask_head.mask_fcn1.weight, value[1])


class TestReport:
    def test_one_line_and_a_small_table(self):
        report = LoadReport(
            "w.pth", "OpenMMLab", loaded=["a"] * 3, renamed={"b": "a"},
            left_over=[f"neck.x.{index}" for index in range(9)], missing=["c"], notes=["so"],
        )  # fmt: skip
        assert str(report).splitlines() == [
            "Weights from w.pth (OpenMMLab): 3 entries loaded, 1 of them renamed, 9 left over, "
            "1 missing",
            "  left over  neck.x (9)",
            "  missing    c",
            "  note       so",
        ]
