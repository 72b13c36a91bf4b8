"""ADE20K's 150 classes under $DETECTRON2_DATASETS: 512 pixels, scales of 0.5 to 2, crops of 512.

`datasets/prepare_ade20k.py` makes the label maps.
"""

from detectron2.config import LazyCall as L
from projects_ext.evaluation import SemanticEvaluator

from ..semantic import evaluate_both_ways
from .cityscapes_semantic import dataloader, use_scale

use_scale(dataloader, scale=(512, 2048), crop=(512, 512))
dataloader.train.dataset.names = "ade20k_sem_seg_train"
dataloader.test.dataset.names = "ade20k_sem_seg_val"
dataloader.train.total_batch_size = 16
dataloader.evaluator[0] = L(SemanticEvaluator)(
    dataset_name="${dataloader.test.dataset.names}", output_dir="${train.output_dir}"
)
dataloader.evaluator.pop()
evaluate_both_ways(dataloader)
