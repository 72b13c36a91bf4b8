#!/usr/bin/env bash
# supervision 0.31.2 exports an object whose mask has two parts or a hole with "iscrowd": 1. COCO's
# evaluation (pycocotools 2.0.11) does not count crowd regions, so detections of the first object
# alone reach AP 1.0, although two of the three objects are missed.
# Seen: iscrowd 0, 1, 1; AP 1.0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet supervision==0.31.2 pycocotools==2.0.11
cat > run.py <<'PYTHON'
import contextlib
import io
import json

import numpy as np
import supervision as sv
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

Image.new("RGB", (64, 48)).save("image.png")
masks = np.zeros((3, 48, 64), dtype=bool)
masks[0, 5:20, 5:15] = True  # one part
masks[1, 5:20, 20:25] = masks[1, 5:20, 30:35] = True  # two parts, as behind a pole
masks[2, 25:45, 5:30] = True  # a ring
masks[2, 30:40, 10:20] = False
detections = sv.Detections(
    xyxy=sv.mask_to_xyxy(masks).astype(float), mask=masks, class_id=np.zeros(3, dtype=int)
)
data = sv.DetectionDataset(
    classes=["mug"], images=["image.png"], annotations={"image.png": detections}
)
data.as_coco(annotations_path="annotations.json")
with open("annotations.json") as file:
    annotations = json.load(file)["annotations"]
crowds = [annotation["iscrowd"] for annotation in annotations]
with contextlib.redirect_stdout(io.StringIO()):
    truth = COCO("annotations.json")
    first = {key: annotations[0][key] for key in ("image_id", "category_id", "bbox")}
    evaluation = COCOeval(truth, truth.loadRes([{**first, "score": 0.9}]), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
print("iscrowd:", crowds)
print("AP when only the first object is found:", round(float(evaluation.stats[0]), 3))
assert crowds == [0, 1, 1], "changed: iscrowd"
assert abs(evaluation.stats[0] - 1) < 1e-6, "changed: AP"
PYTHON
venv/bin/python run.py 2> /dev/null
echo "supervision 0.31.2: ordinary objects of several parts or with a hole become crowd regions"
