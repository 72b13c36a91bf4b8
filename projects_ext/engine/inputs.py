"""Whether the records and the mapper of the training data give a model what it trains on."""

from typing import Any

from torch import nn

from detectron2.data import DatasetMapper
from detectron2.modeling.roi_heads import BaseMaskRCNNHead
from projects_ext.errors import UserError


def require_mask_parts(model: nn.Module) -> None:
    """Refuse RoI heads that would predict masks, but have no head or pooler for them.

    Raises:
        UserError: with the key of the missing part.
    """
    for name, part in model.named_modules():
        if not getattr(part, "mask_on", False):
            continue
        head = getattr(part, "mask_head", None)
        missing = "mask_head" if head is None else ""
        # Other heads may take whole feature maps.
        if isinstance(head, BaseMaskRCNNHead) and getattr(part, "mask_pooler", head) is None:
            missing = "mask_pooler"
        if missing:
            key = ".".join(filter(None, ("model", name)))
            raise UserError(
                f"{key}.{missing} is null, but {key}.mask_in_features asks for masks: give it one, "
                f"or set {key}.mask_in_features=null for boxes only"
            )


def require_truth(model: nn.Module, loader: Any) -> None:
    """Refuse training data without the masks or label maps that the model's losses need.

    Args:
        model: looked through for RoI heads with masks and for a head of semantic segmentation.
        loader: of the training; known as far as its mapper is Detectron2's.

    Raises:
        UserError: with the key that takes the masks away, or the first image without label map.
    """
    mapper = getattr(loader, "mapper", None)
    mapper = getattr(mapper, "mapper", mapper)  # within the one that names files
    if type(mapper) is not DatasetMapper:
        return
    if getattr(model, "masks_required", False) and not mapper.use_instance_mask:
        raise UserError(
            f"dataloader.train.mapper.use_instance_mask is False, but {type(model).__name__} is "
            "trained on masks: set it to True (YAML: MODEL.MASK_ON True)"
        )
    needs_masks = any(getattr(part, "mask_on", False) for part in model.modules())
    if needs_masks and not mapper.use_instance_mask:
        raise UserError(
            "dataloader.train.mapper.use_instance_mask is False, but the model trains a mask head: "
            "set it to True, or train on boxes only with data.masks=False (YAML: MODEL.MASK_ON "
            "False)"
        )
    records = getattr(loader, "dataset", None)
    if not hasattr(model, "sem_seg_head") or records is None or not len(records):
        return
    if "sem_seg_file_name" not in records[0]:
        raise UserError(
            f"the model trains on label maps, but the record of {records[0].get('file_name')} "
            "names none (sem_seg_file_name): give data sets with label maps, e.g. by "
            "data.train_labels (YAML: DATASETS.LABEL_FOLDERS), or a model of instances"
        )
