"""The first screen of a data set."""

from collections.abc import Sequence

from projects_ext.data.formats import Source
from projects_ext.data.formats.part import Record


def describe(
    sources: Sequence[Source], classes: Sequence[str], train: Record, val: Record, how: str
) -> str:
    """Format, classes, counts and split of a data set, in a few lines.

    Args:
        sources: as they were found.
        classes: the names.
        train, val: contents in COCO's format.
        how: where the validation part is from.
    """
    found = ", ".join(f"{source.path} ({source.format})" for source in sources)
    shown = ", ".join(classes[:10]) + (f", … ({len(classes)})" if len(classes) > 10 else "")
    remarks = [remark for source in sources for remark in source.train.remarks]
    return "\n".join(
        [
            f"Data: {found}",
            f"  {len(classes)} {'class' if len(classes) == 1 else 'classes'}: {shown}",
            f"  training:   {_counted(train)}",
            f"  validation: {_counted(val)}, {how}",
            *(f"  {remark}" for remark in remarks),
        ]
    )


def _counted(content: Record) -> str:
    images, objects = content["images"], content["annotations"]
    if images and "sem_seg_file_name" in images[0]:
        return f"{len(images)} images with label maps"
    filled = len({a["image_id"] for a in objects if not a.get("iscrowd")})
    return f"{len(images)} images ({len(images) - filled} without objects), {len(objects)} objects"
