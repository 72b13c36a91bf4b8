"""COCO 2017 instance segmentation under $DETECTRON2_DATASETS: 640 to 800 pixels, flips."""

import detectron2.data.transforms as T
from detectron2.config import LazyCall as L
from detectron2.data import DatasetMapper, get_detection_dataset_dicts
from detectron2.evaluation import COCOEvaluator
from projects_ext.data import build_test_loader, build_train_loader

dataloader = dict(
    train=L(build_train_loader)(
        dataset=L(get_detection_dataset_dicts)(
            names="coco_2017_train",
            # False: train on images without objects, too.
            filter_empty=True,
        ),
        mapper=L(DatasetMapper)(
            is_train=True,
            augmentations=[
                L(T.ResizeShortestEdge)(
                    short_edge_length=(640, 672, 704, 736, 768, 800),
                    sample_style="choice",
                    max_size=1333,
                ),
                L(T.RandomFlip)(horizontal=True),
            ],
            image_format="BGR",
            use_instance_mask=True,
            # "bitmask" where objects have run lengths in place of polygons, whatever stands here.
            instance_mask_format="polygon",
        ),
        total_batch_size=16,
        # "repeat_factor" or "class_balanced" where some classes are rare.
        sampler=None,
        num_workers=4,
    ),
    test=L(build_test_loader)(
        dataset=L(get_detection_dataset_dicts)(names="coco_2017_val", filter_empty=False),
        mapper=L(DatasetMapper)(
            is_train=False,
            augmentations=[L(T.ResizeShortestEdge)(short_edge_length=800, max_size=1333)],
            image_format="${dataloader.train.mapper.image_format}",
        ),
        num_workers=4,
    ),
    evaluator=L(COCOEvaluator)(
        dataset_name="${dataloader.test.dataset.names}", output_dir="${train.output_dir}"
    ),
)
