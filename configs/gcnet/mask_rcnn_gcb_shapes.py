"""The newcomer's small Mask R-CNN on the shapes data, with GC blocks (r4) in res3 to res5.

python train_net.py --config-file configs/gcnet/mask_rcnn_gcb_shapes.py
"""

from projects_ext.gcnet import ContextBasicBlock

from ..quickstart.mask_rcnn_shapes import data, dataloader, lr_multiplier, model, optimizer, train

for _stage in model.backbone.bottom_up.stages[1:]:
    _stage.update(block_class=ContextBasicBlock, ratio=1 / 4)
train.output_dir = "output/gcnet/mask_rcnn_gcb_shapes"
