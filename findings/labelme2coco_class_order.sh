#!/usr/bin/env bash
# labelme2coco 0.2.6 numbers the classes of a folder by their first appearance. Two folders of one
# project (train and val) that begin with another class get the same classes under swapped ids, and
# nothing in the files says so.
# Seen: train has cat 0 and dog 1, val has dog 0 and cat 1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet labelme2coco==0.2.6
cat > run.py <<'PYTHON'
import json
from pathlib import Path

import labelme2coco
from PIL import Image


def shape(label, left):
    corners = [[left, 5], [left + 15, 5], [left + 15, 25], [left, 25]]
    return {"label": label, "points": corners, "group_id": None, "shape_type": "polygon", "flags": {}}


def export(name, labels):
    folder = Path(name)
    folder.mkdir()
    Image.new("RGB", (64, 48)).save(folder / "image.png")
    shapes = [shape(label, 5 + 25 * place) for place, label in enumerate(labels)]
    content = {
        "version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": "image.png", "imageData": None,
        "imageHeight": 48, "imageWidth": 64,
    }
    (folder / "image.json").write_text(json.dumps(content))
    labelme2coco.convert(name, f"coco_{name}")
    exported = json.loads(Path(f"coco_{name}/dataset.json").read_text())
    return {category["name"]: category["id"] for category in exported["categories"]}


train, val = export("train", ["cat", "dog"]), export("val", ["dog", "cat"])
print("train:", train)
print("val:  ", val)
assert train == {"cat": 0, "dog": 1}, "changed: ids of train"
assert val == {"dog": 0, "cat": 1}, "changed: ids of val"
PYTHON
venv/bin/python run.py 2> /dev/null
echo "labelme2coco 0.2.6: the same two classes have different ids in train and val"
