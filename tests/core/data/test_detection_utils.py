"""Reading images, transforming annotations, packing them into Instances."""

from pathlib import Path

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from PIL import Image

from detectron2.config import get_cfg
from detectron2.data import MetadataCatalog
from detectron2.data import detection_utils as utils
from detectron2.data import transforms as T
from detectron2.structures import BitMasks, Boxes, BoxMode, Instances, PolygonMasks
from tests.golden_files import DATA

POLYGON = [2.0, 3.0, 12.0, 3.0, 12.0, 9.0, 2.0, 9.0]


def box_annotation(**more):
    return {"bbox": [2, 3, 10, 6], "bbox_mode": BoxMode.XYWH_ABS, "category_id": 1, **more}


@pytest.fixture
def picture(tmp_path, image):
    path = tmp_path / "picture.png"
    Image.fromarray(image).save(path)
    return str(path)


def test_formats(picture, image):
    np.testing.assert_array_equal(utils.read_image(picture), image)
    np.testing.assert_array_equal(utils.read_image(picture, "RGB"), image)
    np.testing.assert_array_equal(utils.read_image(picture, "BGR"), image[:, :, ::-1])
    gray = utils.read_image(picture, "L")
    assert gray.shape == (97, 131, 1)
    np.testing.assert_allclose(gray[:, :, 0], image @ [0.299, 0.587, 0.114], atol=1)
    yuv = utils.read_image(picture, "YUV-BT.601")
    np.testing.assert_allclose(yuv[:, :, 0], image @ [0.299, 0.587, 0.114] / 255)
    for format in ("RGB", "BGR", "YUV-BT.601"):
        back = utils.convert_image_to_rgb(utils.read_image(picture, format), format)
        np.testing.assert_allclose(back, image, atol=0.1)
    np.testing.assert_array_equal(
        utils.convert_image_to_rgb(torch.from_numpy(gray), "L"), np.repeat(gray, 3, axis=2)
    )


def test_gray_jpeg_as_colour():
    path = str(DATA / "coco/train2017/000000000086.jpg")
    assert utils.read_image(path).ndim == 2
    colour = utils.read_image(path, "BGR")
    assert colour.shape[2] == 3
    assert (colour[:, :, 0] == colour[:, :, 2]).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, image, orientation):
    upright = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: np.rot90,
    }
    picture = Image.fromarray(image)
    exif = picture.getexif()
    exif[274] = orientation
    picture.save(tmp_path / "turned.png", exif=exif)
    read = utils.read_image(str(tmp_path / "turned.png"), "RGB")
    np.testing.assert_array_equal(read, upright[orientation](image))


@pytest.mark.core_only(reason="upstream's messages do not name the file")
def test_unreadable_images_are_named(tmp_path, picture):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.jpg"):
        utils.read_image(str(tmp_path / "nowhere.jpg"))
    content = Path(picture).read_bytes()
    for name, part in (("half.png", content[: len(content) // 2]), ("text.png", b"no image")):
        (tmp_path / name).write_bytes(part)
        with pytest.raises(OSError, match=f"{name}' cannot be read"):
            utils.read_image(str(tmp_path / name))


def test_image_size_is_checked_or_entered(image):
    record = {"file_name": "a.jpg"}
    utils.check_image_size(record, image)
    assert (record["width"], record["height"]) == (131, 97)
    utils.check_image_size(record, image)
    with pytest.raises(utils.SizeMismatchError, match=r"(?s)a\.jpg.*131.*97.*130.*97"):
        utils.check_image_size({"file_name": "a.jpg", "width": 130, "height": 97}, image)


def test_box_is_transformed_and_clipped():
    anno = utils.transform_instance_annotations(
        box_annotation(), [T.ResizeTransform(10, 20, 20, 20), T.HFlipTransform(20)], (20, 20)
    )
    np.testing.assert_allclose(anno["bbox"], [8, 6, 18, 18])
    assert anno["bbox_mode"] == BoxMode.XYXY_ABS
    outside = box_annotation(bbox=[-5, 3, 100, 100])
    clipped = utils.transform_instance_annotations(outside, T.NoOpTransform(), (10, 20))
    np.testing.assert_allclose(clipped["bbox"], [0, 3, 20, 10])


@pytest.mark.core_only(reason="upstream cuts the corners of boxes of integers to integers")
def test_boxes_of_integers_are_not_rounded():
    resize = T.ResizeTransform(10, 20, 5, 10)
    anno = utils.transform_instance_annotations(box_annotation(), resize, (5, 10))
    np.testing.assert_allclose(anno["bbox"], [1, 1.5, 6, 4.5])


def test_segmentations_are_transformed():
    flip = T.TransformList([T.HFlipTransform(20)])
    anno = utils.transform_instance_annotations(
        box_annotation(segmentation=[POLYGON]), flip, (10, 20)
    )
    np.testing.assert_allclose(anno["segmentation"][0], [18, 3, 8, 3, 8, 9, 18, 9])
    mask = np.zeros((10, 20), dtype=np.uint8, order="F")
    mask[3:9, 2:12] = 1
    rle = mask_util.encode(mask)
    anno = utils.transform_instance_annotations(box_annotation(segmentation=rle), flip, (10, 20))
    np.testing.assert_array_equal(anno["segmentation"], mask[:, ::-1])


@pytest.mark.core_only(reason="upstream transforms keypoints; its assertion has no message")
def test_segmentations_that_cannot_be_used_are_explained():
    no_op = T.NoOpTransform()
    with pytest.raises(NotImplementedError, match="keypoints"):
        utils.transform_instance_annotations(box_annotation(keypoints=[1]), no_op, (10, 20))
    rle = mask_util.encode(np.zeros((5, 5), dtype=np.uint8, order="F"))
    with pytest.raises(ValueError, match=r"\[5, 5\].*\(10, 20\)"):
        utils.transform_instance_annotations(box_annotation(segmentation=rle), no_op, (10, 20))


@pytest.mark.parametrize("mask_format", ["polygon", "bitmask"])
def test_instances_of_polygons(mask_format):
    annos = [box_annotation(segmentation=[np.array(POLYGON)]), box_annotation(category_id=4)]
    annos[1]["segmentation"] = [np.array([0.0, 0, 5, 0, 5, 5])]
    instances = utils.annotations_to_instances(annos, (10, 20), mask_format)
    assert instances.image_size == (10, 20)
    np.testing.assert_allclose(instances.gt_boxes.tensor, [[2, 3, 12, 9]] * 2)
    assert instances.gt_classes.tolist() == [1, 4]
    assert instances.gt_classes.dtype == torch.int64
    if mask_format == "polygon":
        assert isinstance(instances.gt_masks, PolygonMasks)
    else:
        assert isinstance(instances.gt_masks, BitMasks)
        assert instances.gt_masks.tensor[0].sum() == 60


def test_bitmasks_of_all_kinds():
    mask = np.zeros((10, 20), dtype=np.uint8, order="F")
    mask[3:9, 2:12] = 1
    kinds = [[np.array(POLYGON)], mask_util.encode(mask), mask]
    annos = [box_annotation(segmentation=segm) for segm in kinds]
    masks = utils.annotations_to_instances(annos, (10, 20), "bitmask").gt_masks.tensor
    for each in masks:
        np.testing.assert_array_equal(each, mask)


@pytest.mark.core_only(reason="upstream does not say what to do")
def test_mask_in_polygon_format_is_explained():
    anno = box_annotation(segmentation=np.zeros((10, 20)))
    with pytest.raises(ValueError, match="bitmask"):
        utils.annotations_to_instances([anno], (10, 20), "polygon")


def test_no_annotations_make_empty_instances():
    instances = utils.annotations_to_instances([], (10, 20))
    assert len(instances) == 0
    assert instances.gt_boxes.tensor.shape == (0, 4)
    assert len(utils.filter_empty_instances(instances)) == 0


def test_empty_instances_are_filtered():
    instances = Instances((10, 20))
    instances.gt_boxes = Boxes(torch.tensor([[0.0, 0, 5, 5], [3, 3, 3, 9], [1, 1, 2, 2]]))
    masks = torch.zeros(3, 10, 20, dtype=torch.bool)
    masks[0, 0, 0] = masks[1, 0, 0] = True
    instances.gt_masks = BitMasks(masks)
    kept, mask = utils.filter_empty_instances(instances, return_mask=True)
    assert mask.tolist() == [True, False, False]
    assert len(kept) == 1
    assert len(utils.filter_empty_instances(instances, by_mask=False)) == 2
    assert len(utils.filter_empty_instances(instances, by_box=False)) == 2
    assert len(utils.filter_empty_instances(instances, by_mask=False, box_threshold=2)) == 1


def test_augmentation_from_config():
    cfg = get_cfg()
    cfg.INPUT.MIN_SIZE_TRAIN = (640, 800)
    resize, flip = utils.build_augmentation(cfg, is_train=True)
    assert (tuple(resize.short_edge_length), resize.max_size) == ((640, 800), 1333)
    assert (flip.horizontal, flip.vertical) == (True, False)
    cfg.INPUT.RANDOM_FLIP = "vertical"
    assert utils.build_augmentation(cfg, is_train=True)[1].vertical
    cfg.INPUT.RANDOM_FLIP = "none"
    assert len(utils.build_augmentation(cfg, is_train=True)) == 1
    (resize,) = utils.build_augmentation(cfg, is_train=False)
    assert tuple(resize.short_edge_length) == (800, 800)


def test_crop_holds_the_centre_of_the_instance():
    for seed in range(20):
        np.random.seed(seed)
        crop = utils.gen_crop_transform_with_instance((8, 9), (10, 20), box_annotation())
        assert (crop.w, crop.h) == (9, 8)
        assert crop.x0 <= 7 <= crop.x0 + 9
        assert crop.y0 <= 6 <= crop.y0 + 8
        assert crop.x0 + 9 <= 20
        assert crop.y0 + 8 <= 10


def test_metadata_consistency(catalogs):
    for name, classes in (("toy1", ["a"]), ("toy2", ["a"]), ("toy3", ["b"])):
        MetadataCatalog.get(name).thing_classes = classes
    utils.check_metadata_consistency("thing_classes", ["toy1", "toy2"])
    with pytest.raises(ValueError, match="thing_classes"):
        utils.check_metadata_consistency("thing_classes", ["toy1", "toy3"])


def test_federated_loss_weights(catalogs):
    counts = [{"id": 2, "image_count": 9}, {"id": 1, "image_count": 4}]
    MetadataCatalog.get("toy").class_image_count = counts
    assert utils.get_fed_loss_cls_weights("toy", 0.5).tolist() == [2, 3]


def test_proposals_are_transformed():
    record = {
        "proposal_boxes": np.array([[0, 0, 4, 4], [2, 2, 2, 9], [5, 5, 30, 30.0]]),
        "proposal_objectness_logits": np.array([3.0, 2.0, 1.0]),
        "proposal_bbox_mode": BoxMode.XYXY_ABS,
    }
    utils.transform_proposals(record, (20, 20), T.ResizeTransform(10, 10, 20, 20), proposal_topk=5)
    assert list(record) == ["proposals"]
    np.testing.assert_allclose(
        record["proposals"].proposal_boxes.tensor, [[0, 0, 8, 8], [10, 10, 20, 20]]
    )
    assert record["proposals"].objectness_logits.tolist() == [3, 1]
