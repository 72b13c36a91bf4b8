"""Mask R-CNN R50-FPN with CARAFE in the FPN and the mask head, 2000 test proposals.

Its row in the published table is empty. Training is that of `mask_rcnn_r50_fpn_carafe_1x.py`, whose
weights can be evaluated with this one.
"""

from ..common.models.carafe import use_test_proposals
from .mask_rcnn_r50_fpn_carafe_1x import dataloader, lr_multiplier, model, optimizer, train

use_test_proposals(model, 2000)
train.output_dir = "output/carafe/mask_rcnn_r50_fpn_carafe_2000_proposals_1x"
