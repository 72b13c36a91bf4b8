import numpy as np
import pytest
import torch
from PIL import Image

from detectron2.config import get_cfg
from detectron2.modeling import DatasetMapperTTA, GeneralizedRCNNWithTTA
from tests.core.modeling.dense_models import load_procedural
from tests.core.modeling.rcnn_models import tiny_rcnn
from tests.procedural import procedural_image

HEIGHT, WIDTH = 96, 128


def config(masks: bool = True, sizes: tuple[int, ...] = (HEIGHT,), flip: bool = False):
    cfg = get_cfg()
    cfg.MODEL.MASK_ON = masks
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 3
    cfg.TEST.AUG.MIN_SIZES, cfg.TEST.AUG.MAX_SIZE, cfg.TEST.AUG.FLIP = sizes, 400, flip
    return cfg


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def model():
    return load_procedural(tiny_rcnn()).eval()


@pytest.fixture
def image():
    return torch.from_numpy(procedural_image("tta", HEIGHT, WIDTH).transpose(2, 0, 1).copy())


class TestMapper:
    def test_sizes_flips_and_transforms(self, image):
        mapper = DatasetMapperTTA(config(sizes=(48, 144), flip=True))
        versions = mapper({"image": image, "height": 192, "width": 256, "image_id": 5})
        shapes = [tuple(x["image"].shape) for x in versions]
        assert shapes == 2 * [(3, 48, 64)] + 2 * [(3, 144, 192)]
        assert all(x["image_id"] == 5 and x["height"] == 192 for x in versions)
        torch.testing.assert_close(versions[1]["image"], versions[0]["image"].flip(2))
        box = np.array([[0.0, 64.0, 64.0, 192.0]])
        moved = [x["transforms"].apply_box(box.copy()).tolist() for x in versions]
        assert moved[0] == [[0, 16, 16, 48]]
        assert moved[1] == [[48, 16, 64, 48]]
        np.testing.assert_allclose(versions[3]["transforms"].inverse().apply_box(moved[3]), box)

    def test_arguments_without_config(self, image):
        versions = DatasetMapperTTA([HEIGHT], 1000, False)(
            {"image": image, "height": HEIGHT, "width": WIDTH}
        )
        assert len(versions) == 1
        assert torch.equal(versions[0]["image"], image)


def test_one_unchanged_version_gives_the_detectors_own_answer(model, image):
    sample = {"image": image, "height": HEIGHT, "width": WIDTH}
    expected = model([sample])[0]["instances"]
    found = GeneralizedRCNNWithTTA(config(), model)([sample])[0]["instances"]
    assert len(found) > 3
    torch.testing.assert_close(found.pred_boxes.tensor, expected.pred_boxes.tensor)
    torch.testing.assert_close(found.scores, expected.scores)
    assert torch.equal(found.pred_classes, expected.pred_classes)
    assert torch.equal(found.pred_masks, expected.pred_masks)


def test_merged_answer(model, image):
    """Figures are upstream's answer."""
    tta = GeneralizedRCNNWithTTA(config(sizes=(80, 120), flip=True), model)
    found = tta([{"image": image, "height": 192, "width": 256}])[0]["instances"]
    assert found.image_size == (192, 256)
    assert len(found) == 94
    expected = [[0, 0, 116.90676, 192], [43.368816, 0, 44.975967, 192]]
    torch.testing.assert_close(found.pred_boxes.tensor[:2], torch.tensor(expected))
    scores = torch.tensor([0.43451089, 0.42516926, 0.41669065])
    torch.testing.assert_close(found.scores[:3], scores)
    assert found.pred_classes[:3].tolist() == [0, 0, 0]
    assert abs(int(found.pred_masks.sum()) - 4378) < 20


@pytest.mark.core_only("the mask branch is on again, also after an error")
def test_heads_are_on_again_also_after_an_error(model, image, monkeypatch):
    tta = GeneralizedRCNNWithTTA(config(), model)
    with monkeypatch.context() as patch:
        patch.setattr(model, "inference", lambda *args, **kwargs: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            tta([{"image": image, "height": HEIGHT, "width": WIDTH}])
    assert model.roi_heads.mask_on


def test_boxes_only_and_an_image_from_a_file(model, image, tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)
    tta = GeneralizedRCNNWithTTA(config(masks=False, flip=True), model, batch_size=1)
    expected = tta([{"image": image, "height": HEIGHT, "width": WIDTH}])[0]["instances"]
    found = tta([{"file_name": str(path)}])[0]["instances"]
    assert not found.has("pred_masks")
    torch.testing.assert_close(found.pred_boxes.tensor, expected.pred_boxes.tensor)


def test_no_detections():
    model = tiny_rcnn().eval()
    model.roi_heads.box_predictor.test_score_thresh = 1.1
    image = torch.zeros(3, HEIGHT, WIDTH, dtype=torch.uint8)
    sample = {"image": image, "height": HEIGHT, "width": WIDTH}
    found = GeneralizedRCNNWithTTA(config(), model)([sample])[0]["instances"]
    assert len(found) == 0
    assert found.pred_masks.shape == (0, HEIGHT, WIDTH)


def test_what_cannot_be_augmented_is_refused(model):
    with pytest.raises(AssertionError, match="GeneralizedRCNN"):
        GeneralizedRCNNWithTTA(config(), torch.nn.Identity())
    cfg = config()
    cfg.MODEL.LOAD_PROPOSALS = True
    with pytest.raises(AssertionError):
        GeneralizedRCNNWithTTA(cfg, model)
