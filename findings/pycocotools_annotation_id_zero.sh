#!/usr/bin/env bash
# pycocotools 2.0.11 stores the id of the object that a detection matches, and 0 for no match. The
# object whose annotation has the id 0 (several exporters count from 0) is never found.
# Seen: two objects, both detected perfectly: AP 1.0 with ids 1 and 2, 0.2525 with ids 0 and 1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet pycocotools==2.0.11
cat > run.py <<'PYTHON'
import contextlib
import io

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

BOXES = [[10, 10, 20, 20], [50, 10, 20, 20]]


def average_precision(first_id):
    truth = COCO()
    common = {"image_id": 1, "category_id": 1}
    truth.dataset = {
        "info": {},
        "images": [{"id": 1, "width": 100, "height": 100, "file_name": "image.png"}],
        "categories": [{"id": 1, "name": "mug"}],
        "annotations": [
            {**common, "id": first_id + place, "bbox": box, "area": 400, "iscrowd": 0}
            for place, box in enumerate(BOXES)
        ],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        scores = [0.9, 0.8]
        answers = [{**common, "bbox": b, "score": s} for b, s in zip(BOXES, scores)]
        evaluation = COCOeval(truth, truth.loadRes(answers), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])


from_one, from_zero = average_precision(1), average_precision(0)
print(f"AP of perfect detections: ids from 1: {from_one:.4f}, ids from 0: {from_zero:.4f}")
assert abs(from_one - 1) < 1e-6, "changed: ids from 1"
assert abs(from_zero - 0.25248) < 1e-4, "changed: ids from 0"
PYTHON
venv/bin/python run.py
echo "pycocotools 2.0.11: an object with annotation id 0 counts as missed"
