"""The augmentations of semantic segmentation, one by one and as the published recipe."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from detectron2.data import DatasetMapper
from detectron2.data import transforms as T
from projects_ext.data.semantic_augmentation import (
    Distortion,
    PadToSize,
    PhotometricDistortion,
    RandomScale,
)
from tests.golden_files import DATA
from tests.references.photometric import literal_distortion


def image_of(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).randint(0, 256, (height, width, 3), dtype=np.uint8)


def augment(
    augmentation: Any, image: np.ndarray, labels: np.ndarray, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    np.random.seed(seed)
    sample = T.AugInput(image, sem_seg=labels)
    T.AugmentationList([augmentation])(sample)
    return sample.image, sample.sem_seg


@pytest.mark.parametrize(
    ("size", "factor", "expected"),
    [
        ((300, 400), 1.0, (512, 683)),
        ((400, 300), 1.0, (683, 512)),
        ((300, 400), 0.5, (256, 341)),
        ((300, 2000), 1.0, (307, 2048)),  # the longer edge is what fits
        ((300, 2000), 0.5, (154, 1024)),
    ],
)
def test_random_scale_fits_into_the_base_scale(
    size: tuple[int, int], factor: float, expected: tuple[int, int]
) -> None:
    augmentation = RandomScale((2048, 512), (factor, factor))
    labels = np.zeros(size, dtype=np.uint8)
    image, labels = augment(augmentation, image_of(*size), labels)
    assert image.shape[:2] == labels.shape == expected


def test_random_scale_draws_from_the_whole_range_and_mixes_no_labels() -> None:
    labels = np.random.RandomState(0).choice([3, 200, 255], (32, 64)).astype(np.uint8)
    heights = []
    for seed in range(150):
        _, resized = augment(RandomScale((64, 32)), image_of(32, 64), labels, seed)
        assert set(np.unique(resized)) <= {3, 200, 255}
        heights.append(resized.shape[0])
    assert 16 <= min(heights) <= 18
    assert 62 <= max(heights) <= 64
    assert 38 < np.mean(heights) < 42


@pytest.mark.parametrize("contrast_first", [False, True])
@pytest.mark.parametrize(
    ("brightness", "contrast", "saturation", "hue"),
    [
        (0, 1, 1, 0),
        (31.7, 1, 1, 0),
        (-20.2, 1.43, 1, 0),
        (0, 0.5, 1, 0),
        (0, 1, 0.517, 0),
        (0, 1, 1.483, 0),
        (0, 1, 0, 0),
        (0, 1, 1, 34),
        (0, 1, 1, -36),
        (0, 1, 1, 180),
        (12.3, 1.213, 1.417, -22),
        (-31.9, 0.713, 0.617, 10),
    ],
)
def test_distortion_is_the_literal_one(
    brightness: float, contrast: float, saturation: float, hue: float, contrast_first: bool
) -> None:
    image = image_of(24, 24)
    image[0, :6] = [[0, 0, 0], [255, 255, 255], [77, 77, 77], [255, 0, 0], [0, 9, 9], [1, 0, 1]]
    before = image.copy()
    values = (brightness, contrast, contrast_first, saturation, hue)
    found = Distortion(*values)(image)
    expected = literal_distortion(image, *values)
    assert found.dtype == np.uint8
    difference = np.abs(found.astype(int) - expected)
    # Contrast after a rounding that fell the other way makes two of one.
    assert difference.max() <= (1 if contrast <= 1 or contrast_first else 2)
    assert (difference > 0).mean() < 0.01
    np.testing.assert_array_equal(image, before)


def test_distortion_of_nothing_and_of_grey() -> None:
    image = image_of(16, 16)
    np.testing.assert_array_equal(Distortion()(image), image)
    grey = np.repeat(image[..., :1], 3, axis=2)
    np.testing.assert_array_equal(Distortion(saturation=1.5, hue=30)(grey), grey)


def test_the_order_of_contrast_matters() -> None:
    image = image_of(16, 16)
    first, last = (
        Distortion(brightness=20, contrast=1.5, contrast_first=order, saturation=1.5)(image)
        for order in (True, False)
    )
    assert (first != last).any()


def test_distortions_are_drawn_as_documented() -> None:
    np.random.seed(0)
    augmentation, image = PhotometricDistortion(), image_of(4, 4)
    drawn = [augmentation.get_transform(image).op for _ in range(1500)]

    def of(name: str, neutral: float) -> np.ndarray:
        values = np.array([getattr(distortion, name) for distortion in drawn])
        changed = values[values != neutral]
        assert 0.45 < len(changed) / len(values) < 0.55
        return changed

    for name, neutral, low, high in (
        ("brightness", 0, -32, 32),
        ("contrast", 1, 0.5, 1.5),
        ("saturation", 1, 0.5, 1.5),
    ):
        values, margin = of(name, neutral), (high - low) / 50
        assert low <= values.min() < low + margin
        assert high - margin < values.max() <= high
        assert abs(values.mean() - (low + high) / 2) < 2 * margin
    hue = of("hue", 0)
    assert set(hue) == set(range(-36, 35, 2)) - {0}
    assert 0.45 < np.mean([distortion.contrast_first for distortion in drawn]) < 0.55


def test_a_distortion_leaves_labels_and_can_be_replayed() -> None:
    image, labels = image_of(16, 16), np.random.RandomState(1).randint(0, 20, (16, 16))
    sample = T.AugInput(image, sem_seg=labels.astype(np.uint8))
    np.random.seed(5)
    transform = PhotometricDistortion()(sample)
    assert (sample.image != image).any()
    np.testing.assert_array_equal(sample.sem_seg, labels)
    np.testing.assert_array_equal(transform.apply_image(image), sample.image)
    np.testing.assert_array_equal(transform.apply_coords(np.ones((2, 2))), np.ones((2, 2)))


def test_padding() -> None:
    image, labels = image_of(5, 9), np.ones((5, 9), dtype=np.uint8)
    padded, padded_labels = augment(PadToSize((8, 8), (124, 116, 104)), image, labels)
    assert padded.shape == (8, 9, 3)
    np.testing.assert_array_equal(padded[:5], image)
    assert (padded[5:] == [124, 116, 104]).all()
    np.testing.assert_array_equal(padded_labels[:5], labels)
    assert (padded_labels[5:] == 255).all()
    assert padded.dtype == padded_labels.dtype == np.uint8
    padded, padded_labels = augment(PadToSize((4, 12), label=254), image, labels)
    assert padded.shape == (5, 12, 3)
    assert (padded[:, 9:] == 0).all()
    assert (padded_labels[:, 9:] == 254).all()
    unchanged, _ = augment(PadToSize((5, 9)), image, labels)
    np.testing.assert_array_equal(unchanged, image)


def crops(labels: np.ndarray) -> list[np.ndarray]:
    """40 crops by Detectron2's own augmentation, with the published limit."""
    crop = T.RandomCrop_CategoryAreaConstraint("absolute", (16, 16), 0.75, 255)
    image = image_of(*labels.shape)
    return [augment(crop, image, labels, seed)[1] for seed in range(40)]


def largest_share(labels: np.ndarray) -> float:
    _, counts = np.unique(labels[labels != 255], return_counts=True)
    return counts.max() / counts.sum() if len(counts) else 1.0


def test_detectron2_crops_as_the_recipe_asks() -> None:
    """At most 75 % of a class where ten tries find such a crop; ignored pixels do not count."""
    labels = np.zeros((32, 32), dtype=np.uint8)
    labels[:, 16:] = 1
    assert all(largest_share(crop) < 0.75 for crop in crops(labels))
    labels[:, 18:] = 255
    found = crops(labels)
    assert {crop.shape for crop in found} == {(16, 16)}
    assert np.mean([largest_share(crop) < 0.75 for crop in found]) > 0.5
    assert any((crop == 255).mean() > 0.75 for crop in found)
    small = crops(np.zeros((9, 40), dtype=np.uint8))
    assert {crop.shape for crop in small} == {(9, 16)}


def recipe() -> list[Any]:
    return [
        RandomScale((256, 64)),
        T.RandomCrop_CategoryAreaConstraint("absolute", (64, 96), 0.75, 255),
        T.RandomFlip(horizontal=True),
        PhotometricDistortion(),
        PadToSize((64, 96), (124, 116, 104)),
    ]


def test_the_recipe_on_real_images() -> None:
    """Every sample has the crop's size; a class stays on its pixels through all of it."""
    folder = DATA / "coco_semseg"
    images = sorted((folder / "images").glob("**/*.jpg"))[:3]
    assert images
    mapper = DatasetMapper(is_train=True, augmentations=recipe(), image_format="RGB")
    for seed, image in enumerate(images):
        name = next((folder / "labels_supercategory").glob(f"**/{image.stem}.png"))
        np.random.seed(seed)
        sample = mapper({"file_name": str(image), "sem_seg_file_name": str(name)})
        assert tuple(sample["image"].shape) == (3, 64, 96)
        assert tuple(sample["sem_seg"].shape) == (64, 96)
        known = set(np.unique(np.asarray(Image.open(name)))) | {255}
        assert set(sample["sem_seg"].unique().tolist()) <= known


def test_geometry_is_the_same_for_image_and_labels() -> None:
    labels = np.zeros((40, 80), dtype=np.uint8)
    labels[:, 30:] = 1
    image = np.repeat(np.where(labels, 200, 20)[..., None], 3, axis=2).astype(np.uint8)
    steps = [step for step in recipe() if not isinstance(step, PhotometricDistortion)]
    np.random.seed(2)
    sample = T.AugInput(image, sem_seg=labels)
    T.AugmentationList(steps)(sample)
    inside = sample.sem_seg != 255
    assert 0 < (sample.sem_seg[inside] == 1).mean() < 1
    wrong = (sample.image[..., 0] > 110) != (sample.sem_seg == 1)
    assert wrong[inside].mean() < 0.03


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomScale((0, 512)), "positive edges"),
        (lambda: RandomScale((64, 32), (2, 1)), "lower factor first"),
        (lambda: PhotometricDistortion(contrast_range=(1.5, 0.5)), "contrast_range"),
        (lambda: PhotometricDistortion(saturation_range=(-1, 0.5)), "saturation_range"),
        (lambda: PhotometricDistortion(hue_delta=-1), "hue_delta is -1"),
        (lambda: PadToSize((0, 3)), "positive height and width"),
        (lambda: PhotometricDistortion().get_transform(np.zeros((4, 4), np.uint8)), "three chann"),
        (lambda: Distortion(hue=9)(np.zeros((4, 4, 3), np.float32)), "uint8 images"),
    ],
)
def test_what_cannot_be_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_augmentations_show_their_settings() -> None:
    for step in (PadToSize((4, 5)), RandomScale((4, 5))):
        assert "(4, 5)" in str(step)
