"""What is drawn where. Exact pixels are the business of a look at the pictures."""

import random

import numpy as np
import pytest
import torch
from PIL import Image

from detectron2.data import MetadataCatalog
from detectron2.structures import BitMasks, Boxes, BoxMode, Instances, PolygonMasks
from detectron2.utils.colormap import colormap, random_color, random_colors
from detectron2.utils.visualizer import ColorMode, GenericMask, VisImage, Visualizer

HEIGHT, WIDTH = 120, 200
SQUARE = [60.0, 30.0, 120.0, 30.0, 120.0, 90.0, 60.0, 90.0]
RED, GREEN = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)


@pytest.fixture
def image():
    return np.full((HEIGHT, WIDTH, 3), 100, dtype=np.uint8)


@pytest.fixture
def metadata():
    name = "test_visualizer"
    meta = MetadataCatalog.get(name)
    meta.set(thing_classes=["cat", "dog"], thing_colors=[(250, 20, 20), (20, 20, 250)])
    meta.set(stuff_classes=["sky", "grass"], stuff_colors=[(0, 0, 255), (0, 255, 0)])
    yield meta
    MetadataCatalog.remove(name)


@pytest.fixture(autouse=True)
def _fixed_colors():
    """Random colours are drawn from both of these."""
    random.seed(1)
    np.random.seed(1)


def square_mask():
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[30:90, 60:120] = True
    return mask


def changed(output, image):
    """(H, W) bool: where the picture differs from the image."""
    return (np.abs(output.get_image().astype(int) - image) > 8).any(axis=2)


@pytest.mark.parametrize("scale", [1.0, 0.5, 1.5])
def test_picture_has_scaled_size(image, scale):
    output = Visualizer(image, scale=scale).get_output()
    picture = output.get_image()
    assert picture.shape == (int(HEIGHT * scale), int(WIDTH * scale), 3)
    assert picture.dtype == np.uint8
    assert np.abs(picture.astype(int) - 100).max() <= 1


def test_image_itself_is_not_changed(image):
    before = image.copy()
    Visualizer(image).draw_box((10, 10, 50, 50), edge_color="r", alpha=1)
    assert np.array_equal(image, before)


def test_save(image, tmp_path):
    output = Visualizer(image).draw_polygon(np.reshape(SQUARE, (-1, 2)), RED)
    output.save(str(tmp_path / "x.png"))
    saved = np.array(Image.open(tmp_path / "x.png").convert("RGB")).astype(int)
    assert np.abs(saved - output.get_image()).max() <= 2


def test_vis_image_alone(image):
    assert np.array_equal(VisImage(image).get_image(), image)


@pytest.mark.parametrize("form", ["polygon", "mask"])
def test_area_is_blended_inside_only(image, form):
    visualizer = Visualizer(image)
    if form == "polygon":
        output = visualizer.draw_polygon(np.reshape(SQUARE, (-1, 2)), RED, alpha=0.5)
    else:
        output = visualizer.draw_binary_mask(square_mask(), RED, alpha=0.5)
    picture = output.get_image().astype(int)
    assert np.abs(picture[60, 90] - (178, 50, 50)).max() <= 2
    where = changed(output, image)
    assert where[33:87, 63:117].all()
    where[26:94, 56:124] = False
    assert not where.any()


def test_mask_with_hole_and_with_too_few_pixels(image):
    mask = square_mask()
    mask[50:70, 80:100] = False
    output = Visualizer(image).draw_binary_mask(mask, RED, alpha=0.5)
    assert not changed(output, image)[53:67, 83:97].any()
    tiny = np.zeros_like(mask)
    tiny[5:7, 5:7] = True
    output = Visualizer(image).draw_binary_mask(tiny, RED, area_threshold=10)
    assert not changed(output, image).any()


def test_soft_mask_follows_its_values(image):
    soft = np.zeros((HEIGHT, WIDTH), dtype=np.float32)
    soft[:, 100:150], soft[:, 150:] = 0.5, 1.0
    picture = Visualizer(image).draw_soft_mask(soft, GREEN, alpha=0.8).get_image().astype(int)
    green = picture[60, [50, 125, 175], 1]
    assert green == pytest.approx([100, 162, 224], abs=3)


def test_box_outline(image):
    output = Visualizer(image).draw_box((60, 30, 120, 90), alpha=1, edge_color=RED)
    where = changed(output, image)
    for row, column in ((30, 90), (90, 90), (60, 60), (60, 120)):
        assert where[row - 3 : row + 4, column - 3 : column + 4].any()
    assert not where[36:84, 66:114].any()


def test_dashed_box_has_gaps(image):
    counts = [
        changed(
            Visualizer(image).draw_box((20, 20, 180, 100), alpha=1, line_style=style), image
        ).sum()
        for style in ("-", "--", ":")
    ]
    assert 0 < counts[1] < counts[0]
    assert 0 < counts[2] < counts[0]


def test_line_and_circle(image):
    visualizer = Visualizer(image)
    visualizer.draw_line([10, 100], [20, 20], color="b", linewidth=2)
    output = visualizer.draw_circle((150, 80), color=RED, radius=10)
    picture = output.get_image().astype(int)
    assert picture[20, 50, 2] > 180
    assert picture[80, 150, 0] > 240
    assert not changed(output, image)[40:60].any()


def test_text_is_written_at_its_place(image):
    where = changed(Visualizer(image).draw_text("cat", (100, 40), color="w"), image)
    assert where[40:60, 85:115].mean() > 0.2
    where[30:75, 70:130] = False
    assert not where.any()


@pytest.mark.parametrize("boxes", [Boxes(torch.tensor([[60.0, 30, 120, 90]])), None])
def test_all_forms_of_masks_draw_the_same(image, boxes):
    forms = [
        [square_mask().astype(np.uint8)],
        [[np.array(SQUARE)]],
        BitMasks(torch.from_numpy(square_mask())[None]),
        PolygonMasks([[np.array(SQUARE)]]),
    ]
    pictures = [
        Visualizer(image).overlay_instances(boxes=boxes, masks=f, assigned_colors=[RED], alpha=0.5)
        for f in forms
    ]
    for output in pictures:
        picture = output.get_image().astype(int)
        assert np.abs(picture[60, 90] - (178, 50, 50)).max() <= 2
        assert not changed(output, image)[:, 130:].any()


def predictions(num=2):
    found = Instances((HEIGHT, WIDTH))
    found.pred_boxes = Boxes(torch.tensor([[60.0, 30, 120, 90], [5, 60, 40, 110]])[:num])
    found.scores = torch.tensor([0.9, 0.4])[:num]
    found.pred_classes = torch.tensor([1, 0])[:num]
    masks = torch.zeros(2, HEIGHT, WIDTH, dtype=torch.bool)
    masks[0, 30:90, 60:120] = True
    masks[1, 60:110, 5:40] = True
    found.pred_masks = masks[:num]
    return found


@pytest.mark.parametrize("mode", list(ColorMode))
def test_predictions_in_every_mode(metadata, mode):
    image = np.full((HEIGHT, WIDTH, 3), (20, 60, 220), dtype=np.uint8)
    visualizer = Visualizer(image, metadata, instance_mode=mode)
    picture = visualizer.draw_instance_predictions(predictions(), jittering=False).get_image()
    outside = picture[10, 180].astype(int)
    if mode is ColorMode.IMAGE_BW:
        assert np.ptp(outside) <= 2
    else:
        assert np.abs(outside - (20, 60, 220)).max() <= 2
    if mode is ColorMode.SEGMENTATION:
        inside = picture[75, 90].astype(int)
        assert inside[2] > 200
        assert inside[0] < 60


def test_no_predictions_leave_the_image(image, metadata):
    output = Visualizer(image, metadata).draw_instance_predictions(predictions(0))
    assert not changed(output, image).any()


def test_dataset_dict(image, metadata):
    annotation = {"bbox": [60, 30, 60, 60], "bbox_mode": BoxMode.XYWH_ABS, "category_id": 1}
    annotation |= {"segmentation": [SQUARE], "iscrowd": 0}
    visualizer = Visualizer(image, metadata, instance_mode=ColorMode.SEGMENTATION)
    output = visualizer.draw_dataset_dict({"annotations": [annotation]})
    inside = output.get_image()[75, 90].astype(int)
    assert inside[2] > inside[0] + 40
    assert changed(output, image)[33:87, 63:117].mean() > 0.9
    assert not changed(Visualizer(image, metadata).draw_dataset_dict({}), image).any()


def test_semantic_labels(image, metadata):
    labels = np.full((HEIGHT, WIDTH), 255)
    labels[:, :80], labels[:, 80:160] = 0, 1
    visualizer = Visualizer(image, metadata)
    output = visualizer.draw_sem_seg(labels, alpha=0.8, draw_text=False)
    picture = output.get_image().astype(int)
    assert np.abs(picture[100, 40] - (20, 20, 224)).max() <= 2
    assert np.abs(picture[100, 120] - (20, 224, 20)).max() <= 2
    assert not changed(output, image)[:, 165:].any()
    named = Visualizer(image, metadata).draw_sem_seg(torch.from_numpy(labels), alpha=0.8)
    difference = (named.get_image() != output.get_image()).any(axis=2)
    assert difference[:, :80].any()
    assert difference[:, 80:160].any()


def test_semantic_labels_from_file(image, metadata, tmp_path):
    Image.fromarray(np.ones((HEIGHT, WIDTH), dtype=np.uint8)).save(tmp_path / "x.png")
    record = {"sem_seg_file_name": str(tmp_path / "x.png")}
    output = Visualizer(image, metadata).draw_dataset_dict(record)
    assert output.get_image()[5, 5, 1] > 160


@pytest.mark.core_only(reason="labels are placed otherwise by upstream")
def test_labels_do_not_cover_each_other(image):
    visualizer = Visualizer(image)
    placed = []
    for _ in range(3):
        visualizer._draw_label("person", np.array([50.0, 40, 150, 100]), None, RED, placed)
    for i, a in enumerate(placed):
        assert a[0] >= 0
        assert a[3] <= HEIGHT
        for b in placed[:i]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


@pytest.mark.core_only(reason="upstream has these")
def test_what_is_left_out_says_so(image):
    visualizer = Visualizer(image)
    with pytest.raises(AttributeError, match="draws no keypoints"):
        visualizer.draw_and_connect_keypoints(None)
    assert not hasattr(visualizer, "overlay_rotated_instances")
    with pytest.raises(NotImplementedError, match="keypoints"):
        visualizer.overlay_instances(boxes=np.zeros((1, 4)), keypoints=np.zeros((1, 1, 3)))


@pytest.mark.core_only(reason="sentences of core's own")
def test_bad_input_is_named(image):
    visualizer = Visualizer(image)
    with pytest.raises(ValueError, match="not \\(255, 0, 0\\)"):
        visualizer.draw_box((1, 1, 5, 5), edge_color=(255, 0, 0))
    with pytest.raises(ValueError, match="Line style '~'"):
        visualizer.draw_box((1, 1, 5, 5), line_style="~")
    with pytest.raises(AssertionError, match="mask of shape \\(3, 4\\)"):
        visualizer.overlay_instances(masks=[np.zeros((3, 4))])
    with pytest.raises(AssertionError, match="differ in number"):
        visualizer.overlay_instances(boxes=np.zeros((2, 4)), labels=["a"])


@pytest.mark.core_only(reason="upstream takes colour images only")
def test_grey_image_and_run_lengths(image):
    from pycocotools import mask as mask_util

    rle = mask_util.encode(np.asfortranarray(square_mask(), dtype=np.uint8))
    flat = square_mask().flatten(order="F")
    change = np.flatnonzero(np.diff(np.concatenate([[0], flat.astype(int), [0]])))
    counts = np.diff(np.concatenate([[0], change, [flat.size]])).tolist()
    uncompressed = {"size": [HEIGHT, WIDTH], "counts": counts}
    for form in (rle, uncompressed):
        output = Visualizer(image[..., 0]).overlay_instances(masks=[form], assigned_colors=[RED])
        where = changed(output, image)
        assert where[30:90, 60:120].all()
        assert where.sum() == 3600


@pytest.mark.parametrize(("rgb", "maximum"), [(True, 255), (False, 1)])
def test_colormap(rgb, maximum):
    colors = colormap(rgb=rgb, maximum=maximum)
    assert colors.shape[0] >= 60
    assert colors.shape[1] == 3
    assert colors.min() >= 0
    assert colors.max() <= maximum
    assert len(np.unique(colors, axis=0)) >= 60
    assert np.allclose(colors[:, ::-1], colormap(rgb=not rgb, maximum=maximum))
    assert (np.abs(colors - random_color(rgb=rgb, maximum=maximum)).max(axis=1) < 1e-5).any()
    assert len({tuple(color) for color in random_colors(20)}) >= 15


@pytest.mark.core_only(reason="upstream's palette ends")
def test_more_random_colors_than_the_palette_has():
    assert len(random_colors(500)) == 500


@pytest.mark.core_only(reason="about core's own palette")
def test_neighbouring_colors_differ():
    colors = colormap(rgb=True)
    assert (np.abs(np.diff(colors, axis=0)).max(axis=1) > 40).all()
    first = colors[:12]
    apart = np.abs(first[:, None] - first[None]).max(axis=-1) + 999 * np.eye(12)
    assert apart.min() > 60


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 1)])
def test_grey_images_are_drawn_on(shape: tuple[int, ...]) -> None:
    drawn = Visualizer(np.full(shape, 77, dtype=np.uint8)).output.get_image()
    assert drawn.shape == (20, 30, 3)
    assert (drawn == drawn[0, 0]).all()


def test_outlines_of_a_mask():
    mask = np.zeros((12, 16), dtype=np.uint8)
    mask[2:10, 3:12] = 1
    solid = GenericMask(mask, 12, 16)
    assert [len(x) % 2 for x in solid.polygons] == [0]
    assert not solid.has_holes
    mask[4:7, 5:9] = 0
    hollow = GenericMask(mask, 12, 16)
    assert hollow.has_holes
    assert len(hollow.polygons) == 2
    given = GenericMask([[3.0, 2, 12, 2, 12, 10, 3, 10]], 12, 16)
    assert not given.has_holes
    assert given.polygons_to_mask(given.polygons).sum() == 72
    assert GenericMask(np.zeros((12, 16)), 12, 16).polygons == []


def test_matplotlib_may_draw_on_the_picture():
    pytest.importorskip("matplotlib")
    picture = VisImage(np.full((40, 60, 3), 200, dtype=np.uint8), scale=2.0)
    before = picture.get_image()
    assert picture.fig.get_dpi() == picture.dpi
    picture.ax.plot([10, 50], [20, 20], color="red", linewidth=3)
    after = picture.get_image()
    assert after.shape == before.shape == (80, 120, 3)
    assert after[40, 60].tolist() == [255, 0, 0]
    assert after[10, 60].tolist() == [200, 200, 200]
