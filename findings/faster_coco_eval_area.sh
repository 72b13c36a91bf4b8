#!/usr/bin/env bash
# faster-coco-eval 1.8.0 accepts annotations without "area" (pycocotools raises KeyError) and takes
# their area as 0: an object of 300 x 300 pixels then counts as small.
# Seen: AP small, medium, large of one large object found: -1, -1, 1 with area; 1, -1, -1 without.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet faster-coco-eval==1.8.0
cat > run.py <<'PYTHON'
import contextlib
import io

from faster_coco_eval import COCO, COCOeval_faster


def by_size(area):
    common = {"image_id": 1, "category_id": 1, "bbox": [10, 10, 300, 300]}
    truth = {
        "info": {},
        "images": [{"id": 1, "width": 640, "height": 640, "file_name": "image.png"}],
        "categories": [{"id": 1, "name": "mug"}],
        "annotations": [{**common, "id": 1, "iscrowd": 0, **area}],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(truth)
        evaluation = COCOeval_faster(coco, coco.loadRes([{**common, "score": 0.9}]), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [round(float(value), 3) for value in evaluation.stats[3:6]]


given, missing = by_size({"area": 90000}), by_size({})
print("AP small, medium, large with area:   ", given)
print("AP small, medium, large without area:", missing)
assert given == [-1, -1, 1], "changed: with area"
assert missing == [1, -1, -1], "changed: without area"
PYTHON
venv/bin/python run.py 2> /dev/null
echo "faster-coco-eval 1.8.0: without area every object counts as small"
