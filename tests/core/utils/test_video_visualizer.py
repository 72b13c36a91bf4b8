"""Colours that stay with their objects, and panoptic pictures."""

import numpy as np
import pytest
import torch
from PIL import Image

from detectron2.data import MetadataCatalog
from detectron2.structures import Boxes, Instances
from detectron2.utils.video_visualizer import VideoVisualizer
from detectron2.utils.visualizer import ColorMode, Visualizer

HEIGHT, WIDTH = 120, 200


@pytest.fixture(autouse=True)
def _fixed_colors():
    np.random.seed(3)


@pytest.fixture
def frame():
    return np.full((HEIGHT, WIDTH, 3), 100, dtype=np.uint8)


@pytest.fixture
def metadata():
    name = "test_video_visualizer"
    meta = MetadataCatalog.get(name)
    meta.set(thing_classes=["cat", "dog"], stuff_classes=["sky", "grass"])
    meta.set(stuff_colors=[(0, 0, 255), (0, 255, 0)], label_divisor=1000)
    meta.set(thing_dataset_id_to_contiguous_id={7: 0})
    yield meta
    MetadataCatalog.remove(name)


def detections(*corners, classes=None, masks=True):
    """Objects of 40 x 50 pixels whose upper left corners are given."""
    found = Instances((HEIGHT, WIDTH))
    boxes = torch.tensor([[x, y, x + 40, y + 50] for x, y in corners], dtype=torch.float32)
    found.pred_boxes = Boxes(boxes.reshape(-1, 4))
    found.pred_classes = torch.tensor(classes or [0] * len(corners), dtype=torch.int64)
    if masks:
        found.pred_masks = torch.zeros(len(corners), HEIGHT, WIDTH, dtype=torch.bool)
        for mask, (x, y) in zip(found.pred_masks, corners, strict=True):
            mask[y : y + 50, x : x + 40] = True
    return found


def color_at(output, x, y):
    """The colour in a corner of an object, away from its label and its outline."""
    return tuple(output.get_image()[y + 42, x + 34].tolist())


def test_colors_follow_the_objects(frame, metadata):
    video = VideoVisualizer(metadata)
    first = video.draw_instance_predictions(frame, detections((10, 20), (120, 30)))
    left, right = color_at(first, 10, 20), color_at(first, 120, 30)
    assert left != right
    assert (100, 100, 100) not in (left, right)
    second = video.draw_instance_predictions(frame, detections((123, 31), (60, 60), (12, 18)))
    assert color_at(second, 123, 31) == right
    assert color_at(second, 12, 18) == left
    assert color_at(second, 60, 60) not in (left, right)


def test_another_class_is_another_object(frame, metadata):
    video = VideoVisualizer(metadata)
    before = video.draw_instance_predictions(frame, detections((10, 20), classes=[0]))
    after = video.draw_instance_predictions(frame, detections((10, 20), classes=[1]))
    assert color_at(before, 10, 20) != color_at(after, 10, 20)


def test_a_lost_object_gets_its_color_back(frame, metadata):
    video = VideoVisualizer(metadata)
    first = video.draw_instance_predictions(frame, detections((10, 20), (120, 30)))
    for _ in range(3):
        video.draw_instance_predictions(frame, detections((120, 30)))
    again = video.draw_instance_predictions(frame, detections((120, 30), (10, 20)))
    assert color_at(again, 10, 20) == color_at(first, 10, 20)


def test_colors_follow_ids_and_are_given_back(frame, metadata):
    metadata.max_num_instances = 3
    video = VideoVisualizer(metadata)
    found = detections((10, 20), (120, 30))
    found.ID = [4, 8]
    first = video.draw_instance_predictions(frame, found)
    moved = detections((60, 40), (150, 30))
    moved.ID = [8, 5]
    second = video.draw_instance_predictions(frame, moved)
    assert color_at(second, 60, 40) == color_at(first, 120, 30)
    many = detections((0, 0), (60, 40), (150, 30), (0, 60))
    many.ID = [1, 2, 3, 4]
    with pytest.raises(AssertionError, match="ID|id"):
        VideoVisualizer(metadata).draw_instance_predictions(frame, many)


@pytest.mark.parametrize("masks", [True, False])
def test_only_objects_seen_for_long_are_drawn(frame, metadata, masks):
    metadata.period_threshold = 3
    found = detections((10, 20), (120, 30), masks=masks)
    found.ID, found.ID_period = [1, 2], [2, 4]
    picture = VideoVisualizer(metadata).draw_instance_predictions(frame, found).get_image()
    assert np.abs(picture[:, :80].astype(int) - 100).max() <= 1
    assert (picture[:, 110:] != 100).any()


def test_grey_mode_keeps_the_objects_colors(metadata):
    frame = np.full((HEIGHT, WIDTH, 3), (200, 100, 0), dtype=np.uint8)
    video = VideoVisualizer(metadata, ColorMode.IMAGE_BW)
    picture = video.draw_instance_predictions(frame, detections((10, 20))).get_image()
    assert np.ptp(picture[5, 190]) <= 1
    assert np.ptp(picture[62, 44]) > 20
    with pytest.raises(AssertionError, match="mode|IMAGE"):
        VideoVisualizer(metadata, ColorMode.SEGMENTATION)


@pytest.mark.core_only("upstream draws a frame without objects in colour")
def test_grey_mode_without_objects(metadata):
    frame = np.full((HEIGHT, WIDTH, 3), (200, 100, 0), dtype=np.uint8)
    video = VideoVisualizer(metadata, ColorMode.IMAGE_BW)
    picture = video.draw_instance_predictions(frame, detections()).get_image()
    assert np.ptp(picture, axis=2).max() <= 1


def test_a_label_map(frame, metadata):
    labels = torch.full((HEIGHT, WIDTH), 255)
    labels[60:, :100] = 1
    picture = VideoVisualizer(metadata).draw_sem_seg(frame, labels).get_image()
    red, green, blue = picture[110, 8].tolist()
    assert green > 150 > max(red, blue)
    assert picture[10, 190].tolist() == [100, 100, 100]


class TestPanoptic:
    INFO = (
        {"id": 1, "category_id": 1, "isthing": False},
        {"id": 2, "category_id": 0, "isthing": True, "score": 0.9},
    )

    def segmentation(self, x=20):
        ids = torch.zeros(HEIGHT, WIDTH, dtype=torch.int32)
        ids[60:] = 1
        ids[30:90, x : x + 60] = 2
        return ids

    def check(self, output):
        picture = output.get_image().astype(int)
        assert np.abs(picture[5, 5] - 100).max() <= 1
        red, green, blue = picture[115, 195]
        assert green > red + 40
        assert green > blue + 40
        assert np.abs(picture[85, 25] - 100).max() > 20
        assert np.abs(picture[85, 25] - picture[115, 195]).max() > 20

    def test_picture(self, frame, metadata):
        self.check(Visualizer(frame, metadata).draw_panoptic_seg(self.segmentation(), self.INFO))

    def test_ids_that_hold_the_class(self, frame, metadata):
        ids = self.segmentation().long()
        coded = torch.full_like(ids, -1)
        coded[ids == 1] = 1000
        coded[ids == 2] = 3
        self.check(Visualizer(frame, metadata).draw_panoptic_seg(coded, None))

    @pytest.mark.core_only("upstream needs panopticapi")
    def test_ground_truth(self, frame, metadata, tmp_path):
        ids = self.segmentation().numpy().astype(np.uint8)
        png = np.stack([ids, ids * 0, ids * 0], axis=2)
        Image.fromarray(png).save(tmp_path / "a.png")
        sample = {"pan_seg_file_name": str(tmp_path / "a.png"), "segments_info": list(self.INFO)}
        self.check(Visualizer(frame, metadata).draw_dataset_dict(sample))

    def test_video(self, frame, metadata):
        video = VideoVisualizer(metadata)
        before = video.draw_panoptic_seg_predictions(frame, self.segmentation(), self.INFO)
        self.check(before)
        moved = self.segmentation(x=30)
        after = video.draw_panoptic_seg_predictions(frame, moved, self.INFO)
        assert after.get_image()[85, 40].tolist() == before.get_image()[85, 30].tolist()
