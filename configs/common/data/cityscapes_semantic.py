"""Cityscapes' 19 classes under $DETECTRON2_DATASETS: scales of 0.5 to 2, crops of 512x1024.

`datasets/prepare_cityscapes.py` makes the label maps.
"""

from typing import Any

import detectron2.data.transforms as T
from detectron2.config import LazyCall as L
from detectron2.data import DatasetMapper, get_detection_dataset_dicts
from projects_ext.data import build_test_loader, build_train_loader
from projects_ext.data.opencv_resize import OpenCVResizeShortestEdge
from projects_ext.data.semantic_augmentation import PadToSize, PhotometricDistortion, RandomScale
from projects_ext.evaluation import CityscapesSemanticEvaluator, SemanticPictures

from ..semantic import evaluate_both_ways

dataloader = dict(
    train=L(build_train_loader)(
        dataset=L(get_detection_dataset_dicts)(names="cityscapes_fine_sem_seg_train"),
        mapper=L(DatasetMapper)(
            is_train=True,
            augmentations=[
                L(RandomScale)(scale=(1024, 2048), factors=(0.5, 2.0)),
                L(T.RandomCrop_CategoryAreaConstraint)(
                    crop_type="absolute",
                    crop_size=(512, 1024),
                    single_category_max_area=0.75,
                    ignored_category=255,
                ),
                L(T.RandomFlip)(horizontal=True),
                L(PhotometricDistortion)(),
                # The mean, which the model subtracts.
                L(PadToSize)(size=(512, 1024), pixel=(124, 116, 104), label=255),
            ],
            image_format="RGB",
        ),
        total_batch_size=8,
        num_workers=4,
    ),
    test=L(build_test_loader)(
        dataset=L(get_detection_dataset_dicts)(
            names="cityscapes_fine_sem_seg_val", filter_empty=False
        ),
        mapper=L(DatasetMapper)(
            is_train=False,
            augmentations=[L(OpenCVResizeShortestEdge)(short_edge_length=1024, max_size=2048)],
            image_format="${dataloader.train.mapper.image_format}",
        ),
        num_workers=4,
    ),
    evaluator=[
        L(CityscapesSemanticEvaluator)(
            dataset_name="${dataloader.test.dataset.names}", output_dir="${train.output_dir}"
        ),
        # The worst and the best so many images, as pictures; 0 for none.
        L(SemanticPictures)(
            dataset_name="${dataloader.test.dataset.names}",
            output_dir="${train.output_dir}",
            count=0,
        ),
    ],
)

evaluate_both_ways(dataloader)


def use_scale(dataloader: Any, scale: tuple[int, int], crop: tuple[int, int]) -> None:
    """Exchange the size of images and crops.

    Args:
        dataloader: of this module; changed.
        scale: shorter and longer edge of an image at scale 1, at most.
        crop: height and width of what the model trains on.
    """
    augmentations = dataloader.train.mapper.augmentations
    augmentations[0].scale, augmentations[1].crop_size = scale, crop
    augmentations[-1].size = crop
    dataloader.test.mapper.augmentations[0].update(short_edge_length=scale[0], max_size=scale[1])
