"""Any two folders of images and label maps; the classes are a list or a file.

Give them on the command line: `data.train_images=… data.train_labels=…`, the same for `val`, and
`data.classes=[name,name,…]` or `data.classes=FILE` (.txt, .json or FILE.json:KEY).
"""

import detectron2.data.transforms as T
from detectron2.config import LazyCall as L
from detectron2.data import DatasetMapper, get_detection_dataset_dicts
from projects_ext.data import build_test_loader, build_train_loader, register_label_folders
from projects_ext.evaluation import SemanticEvaluator, SemanticPictures

data = dict(train_images="", train_labels="", val_images="", val_labels="", classes="")

dataloader = dict(
    train=L(build_train_loader)(
        dataset=L(get_detection_dataset_dicts)(
            names=L(register_label_folders)(
                images="${data.train_images}",
                labels="${data.train_labels}",
                classes="${data.classes}",
            )
        ),
        mapper=L(DatasetMapper)(
            is_train=True, augmentations=[L(T.RandomFlip)(horizontal=True)], image_format="RGB"
        ),
        total_batch_size=8,
        num_workers=1,
    ),
    test=L(build_test_loader)(
        dataset=L(get_detection_dataset_dicts)(
            names=L(register_label_folders)(
                images="${data.val_images}", labels="${data.val_labels}", classes="${data.classes}"
            ),
            filter_empty=False,
        ),
        mapper=L(DatasetMapper)(
            is_train=False, augmentations=[], image_format="${dataloader.train.mapper.image_format}"
        ),
        num_workers=1,
    ),
    evaluator=[
        L(SemanticEvaluator)(
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
