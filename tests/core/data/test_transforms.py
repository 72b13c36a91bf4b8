"""Augmentations and transforms: geometry, random streams, coordinates that follow the pixels."""

import numpy as np
import pycocotools.mask as mask_util
import pytest
from omegaconf import ListConfig
from PIL import Image

from detectron2.data import transforms as T
from detectron2.structures import polygons_to_bitmask


@pytest.mark.parametrize(
    ("height", "width", "short", "longest", "expected"),
    [
        (480, 640, 800, 1333, (800, 1067)),
        (640, 480, 800, 1333, (1067, 800)),
        (480, 1000, 800, 1333, (640, 1333)),
        (427, 640, 640, 10**9, (640, 959)),
        (100, 100, 33, 50, (33, 33)),
        (1, 2000, 800, 1333, (1, 1333)),
    ],
)
def test_output_shape(height, width, short, longest, expected):
    assert T.ResizeShortestEdge.get_output_shape(height, width, short, longest) == expected


@pytest.mark.core_only(reason="upstream rounds a very thin image to nothing")
@pytest.mark.parametrize("shape", [(1, 5000), (5000, 1)])
def test_a_very_thin_image_keeps_a_line(shape):
    image = np.zeros((*shape, 3), dtype=np.uint8)
    for augmentation in (T.ResizeShortestEdge(800, 1333), T.ResizeScale(1.0, 1.0, 640, 640)):
        height, width = augmentation.get_transform(image).apply_image(image).shape[:2]
        assert min(height, width) == 1
        assert max(height, width) > 600


def test_uint8_is_resized_by_pil(image):
    out = T.ResizeTransform(97, 131, 50, 200).apply_image(image)
    expected = np.asarray(Image.fromarray(image).resize((200, 50), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(out, expected)
    gray = T.ResizeTransform(97, 131, 50, 200).apply_image(image[:, :, :1])
    assert gray.shape == (50, 200, 1)
    np.testing.assert_array_equal(gray[:, :, 0], expected[:, :, 0])


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 3), (4, 6, 2, 2)])
def test_float_is_resized_without_filter(shape):
    a = np.random.RandomState(0).rand(*shape).astype(np.float32)
    out = T.ResizeTransform(4, 6, 2, 3).apply_image(a)
    # At half the size, bilinear samples lie in the middle of 2 x 2 pixels.
    blocks = a.reshape(2, 2, 3, 2, *shape[2:]).mean(axis=(1, 3))
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, blocks, atol=1e-6)


@pytest.mark.core_only(reason="upstream resizes no integers but uint8")
def test_label_maps_of_any_integer_type():
    labels = np.array([[0, 70000], [-1, 5]], dtype=np.int32)
    out = T.ResizeTransform(2, 2, 4, 4).apply_segmentation(labels)
    np.testing.assert_array_equal(out, np.kron(labels, np.ones((2, 2), dtype=np.int32)))


def test_resize_moves_coordinates_and_back():
    transform = T.ResizeTransform(10, 20, 30, 10)
    points = np.array([[2.0, 3.0], [20.0, 10.0]])
    moved = transform.apply_coords(points.copy())
    np.testing.assert_allclose(moved, [[1, 9], [10, 30]])
    np.testing.assert_allclose(transform.inverse().apply_coords(moved), points)


@pytest.mark.core_only(reason="upstream asserts without a message")
def test_resize_of_another_size_is_refused(image):
    with pytest.raises(ValueError, match=r"10 x 20 .*\(97, 131, 3\)"):
        T.ResizeTransform(10, 20, 5, 5).apply_image(image)


def test_random_streams_of_seeds(image):
    """The parameters that numpy's global generator gives at a seed (upstream's, too)."""
    np.random.seed(0)
    resize = T.ResizeShortestEdge([60, 120], 1000, "range").get_transform(image)
    crop = T.RandomCrop("relative_range", (0.5, 0.5)).get_transform(image)
    flips = [type(T.RandomFlip().get_transform(image)).__name__[0] for _ in range(8)]
    bright = T.RandomBrightness(0.5, 1.5).get_transform(image)
    scale = T.ResizeScale(0.1, 2.0, 100, 100).get_transform(image)
    choice = T.ResizeShortestEdge((10, 20, 30, 40), 1000, "choice").get_transform(image)
    fixed = T.FixedSizeCrop((50, 60)).get_transform(image).transforms[0]
    assert (resize.new_h, resize.new_w) == (104, 140)
    assert (crop.x0, crop.y0, crop.w, crop.h) == (7, 3, 121, 77)
    assert "".join(flips) == "HNHNNHNN"
    assert bright.dst_weight == pytest.approx(1.0680445610939322, abs=1e-12)
    assert (scale.new_h, scale.new_w) == (138, 186)
    assert (choice.new_h, choice.new_w) == (20, 27)
    assert (fixed.x0, fixed.y0, fixed.w, fixed.h) == (24, 16, 60, 50)


AUGMENTATIONS = [
    T.ResizeShortestEdge([60, 120], 100),
    T.ResizeShortestEdge((40, 50, 200), 300, "choice"),
    T.Resize((40, 77)),
    T.RandomFlip(1.0),
    T.RandomFlip(1.0, horizontal=False, vertical=True),
    T.RandomCrop("relative", (0.5, 0.7)),
    T.RandomCrop("relative_range", (0.5, 0.7)),
    T.RandomCrop("absolute", (50, 200)),
    T.RandomCrop("absolute_range", (30, 110)),
    T.FixedSizeCrop((80, 160)),
    T.ResizeScale(0.5, 2.0, 100, 100),
    T.RandomApply(T.RandomFlip(1.0), 1.0),
]


@pytest.mark.parametrize("augmentation", AUGMENTATIONS, ids=lambda a: type(a).__name__)
def test_coordinates_and_labels_follow_the_pixels(augmentation):
    np.random.seed(1)
    labels = np.zeros((97, 131), dtype=np.uint8)
    labels[40:60, 50:90] = 7
    aug_input = T.AugInput(
        labels[:, :, None] * 30, boxes=np.array([[50.0, 40.0, 90.0, 60.0]]), sem_seg=labels
    )
    transform = augmentation(aug_input)
    assert isinstance(transform, (T.Transform, T.TransformList))
    assert aug_input.image.shape[:2] == aug_input.sem_seg.shape
    rows, columns = np.nonzero(aug_input.sem_seg == 7)
    found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    height, width = aug_input.sem_seg.shape
    box = np.clip(aug_input.boxes[0], 0, [width, height, width, height])
    np.testing.assert_allclose(found, box, atol=1.01)


def test_fixed_size_crop_pads(image):
    aug_input = T.AugInput(image, sem_seg=np.zeros((97, 131), np.uint8))
    T.FixedSizeCrop((200, 100), pad_value=9, seg_pad_value=255)(aug_input)
    assert aug_input.image.shape == (200, 100, 3)
    assert (aug_input.image[97:] == 9).all()
    assert (aug_input.sem_seg[97:] == 255).all()
    cropped, _ = T.apply_augmentations([T.FixedSizeCrop((200, 100), pad=False)], image)
    assert cropped.shape == (97, 100, 3)


def test_category_area_constraint_avoids_uniform_windows():
    labels = np.zeros((100, 100), dtype=np.uint8)
    labels[:, 50:] = 1
    augmentation = T.RandomCrop_CategoryAreaConstraint("absolute", (40, 40), 0.75)
    for seed in range(5):
        np.random.seed(seed)
        aug_input = T.AugInput(labels, sem_seg=labels)
        augmentation(aug_input)
        counts = np.bincount(aug_input.sem_seg.reshape(-1), minlength=2)
        assert counts.max() < 0.75 * 1600


def test_colour_augmentations(image):
    for augmentation in (T.RandomBrightness, T.RandomContrast, T.RandomSaturation):
        same, _ = T.apply_augmentations([augmentation(1.0, 1.0)], image)
        np.testing.assert_allclose(same.astype(int), image, atol=1)
    dark, _ = T.apply_augmentations([T.RandomBrightness(0.5, 0.5)], image)
    np.testing.assert_array_equal(dark, (image * np.float32(0.5)).astype(np.uint8))
    gray, _ = T.apply_augmentations([T.RandomSaturation(0, 0)], image)
    assert np.ptp(gray.astype(int), axis=2).max() == 0


def test_own_augmentation_sees_what_it_names(image):
    class DependsOnBoxes(T.Augmentation):
        def get_transform(self, image, boxes):
            return T.HFlipTransform(image.shape[1]) if len(boxes) else T.NoOpTransform()

    aug_input = T.AugInput(image, boxes=np.array([[0.0, 0, 10, 10]]))
    DependsOnBoxes()(aug_input)
    np.testing.assert_allclose(aug_input.boxes, [[121, 0, 131, 10]])

    class WantsDepth(T.Augmentation):
        def get_transform(self, image, depth):
            return T.NoOpTransform()

    with pytest.raises(AttributeError, match="depth"):
        WantsDepth()(aug_input)


def test_augmentation_list_flattens_transforms(image):
    augmentations = T.AugmentationList(
        [T.Resize((50, 60)), T.AugmentationList([T.HFlipTransform(60), T.RandomFlip(1.0)])]
    )
    aug_input = T.AugInput(image)
    transforms = augmentations(aug_input)
    names = [type(t).__name__ for t in transforms.transforms]
    assert names == ["ResizeTransform", "HFlipTransform", "HFlipTransform"]
    assert "Resize(shape=(50, 60)" in repr(augmentations)


def test_representation_shows_what_was_given():
    augmentation = T.ResizeShortestEdge((640, 800), max_size=1333, sample_style="choice")
    assert "short_edge_length=(640, 800), max_size=1333, sample_style='choice'" in repr(
        augmentation
    )


def test_lists_of_lazy_configs_are_accepted(image):
    for augmentation in (
        T.ResizeShortestEdge(ListConfig([40, 60]), sample_style="choice"),
        T.ResizeShortestEdge(ListConfig([40, 60])),
        T.RandomCrop("absolute", ListConfig([40, 60])),
        T.RandomCrop("relative_range", ListConfig([0.4, 0.6])),
        T.FixedSizeCrop(ListConfig([40, 60])),
        T.Resize(ListConfig([40, 60])),
    ):
        out, _ = T.apply_augmentations([augmentation], image)
        assert out.shape[2] == 3


@pytest.mark.core_only(reason="upstream asserts without a message, or not at all")
def test_bad_arguments_are_explained(image):
    with pytest.raises(ValueError, match="exactly one direction"):
        T.RandomFlip(horizontal=True, vertical=True)
    with pytest.raises(ValueError, match="'range' or 'choice'"):
        T.ResizeShortestEdge(3, sample_style="random")
    with pytest.raises(ValueError, match="crop_type"):
        T.RandomCrop("relativ", (1, 1))
    with pytest.raises(TypeError, match="int32"):
        T.AugInput(image.astype(np.int32))
    with pytest.raises(TypeError, match="Augmentation or a Transform"):
        T.AugmentationList([abs])
    with pytest.raises(ValueError, match="sem_seg"):
        T.RandomCrop_CategoryAreaConstraint("absolute", (5, 5), 0.5)(T.AugInput(image))


@pytest.mark.core_only(reason="upstream needs the shapely package to crop polygons")
@pytest.mark.parametrize("seed", range(12))
def test_cropped_polygons_cover_the_cropped_pixels(seed):
    random = np.random.RandomState(seed)
    angles = np.sort(random.uniform(0, 2 * np.pi, 12))
    radii = random.uniform(5, 45, 12)  # a star, mostly concave
    points = 50 + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    x0, y0 = random.randint(0, 50, 2)
    crop = T.CropTransform(x0, y0, 40, 30)
    whole = polygons_to_bitmask([points.reshape(-1)], 100, 100)
    clipped = crop.apply_polygons([points.copy()])
    mask = np.zeros((30, 40), dtype=bool)
    if clipped:
        assert all((p >= -1e-9).all() and (p <= [40 + 1e-9, 30 + 1e-9]).all() for p in clipped)
        rle = mask_util.frPyObjects([p.reshape(-1).tolist() for p in clipped], 30, 40)
        mask = mask_util.decode(mask_util.merge(rle)).astype(bool)
    assert (mask != crop.apply_image(whole)).sum() <= 0.02 * mask.size


@pytest.mark.core_only(reason="upstream needs the shapely package to crop polygons")
def test_crop_leaves_out_polygons_outside():
    crop = T.CropTransform(10, 10, 20, 20)
    outside = np.array([[0.0, 0], [9, 0], [9, 9]])
    touching = np.array([[0.0, 15], [10, 15], [10, 20]])
    inside = np.array([[12.0, 12], [20, 12], [20, 20]])
    kept = crop.apply_polygons([outside, touching, inside])
    assert len(kept) == 1
    # As shapely does, whichever way round they came.
    np.testing.assert_allclose(kept[0], (inside - 10)[::-1])
    np.testing.assert_allclose(crop.apply_polygons([inside[::-1]])[0], (inside - 10)[::-1])


def test_integer_polygons_stay_integers():
    polygons = [np.array([[91, 46], [144, 46], [144, 111]])]
    (resized,) = T.ResizeTransform(100, 200, 73, 145).apply_polygons(polygons)
    assert resized.dtype.kind == "i"
    assert resized.tolist() == [[65, 33], [104, 33], [104, 81]]
    (exact,) = T.ResizeTransform(100, 200, 73, 145).apply_polygons([np.array([[91.0, 46.0]])])
    np.testing.assert_allclose(exact, [[91 * 0.725, 46 * 0.73]])
