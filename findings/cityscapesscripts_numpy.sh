#!/usr/bin/env bash
# The official evaluation of Cityscapes, cityscapesscripts 2.3.0 (its requirement is any numpy),
# calls numpy.in1d, which numpy 2.4 has removed: on a fresh installation neither the pixel-level nor
# the instance-level metrics can be computed.
# Seen: with numpy 2.4.6 AttributeError, with numpy 2.3.5 an IoU of 1.0 for a perfect prediction.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > run.py <<'PYTHON'
import contextlib
import io

import numpy as np
from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as evaluation
from PIL import Image

labels = np.full((64, 128), 7, dtype=np.uint8)  # road
labels[20:40, 30:60] = 26  # a car
truth, prediction = "city_000000_000000_gtFine_labelIds.png", "city_000000_000000.png"
Image.fromarray(labels).save(truth)
Image.fromarray(labels).save(prediction)
Image.fromarray(np.where(labels == 26, 26000, labels).astype(np.uint16)).save(
    truth.replace("labelIds", "instanceIds")
)
evaluation.args.quiet, evaluation.args.JSONOutput = True, False
try:
    with contextlib.redirect_stdout(io.StringIO()):
        results = evaluation.evaluateImgLists([prediction], [truth], evaluation.args)
    print("IoU", results["averageScoreClasses"])
except AttributeError as error:
    print("AttributeError", "in1d" in str(error))
PYTHON
for numpy in 2.4.6 2.3.5; do
    python3 -m venv "venv$numpy"
    "venv$numpy/bin/pip" install --quiet cityscapesscripts==2.3.0 "numpy==$numpy"
    "venv$numpy/bin/python" run.py > "seen$numpy" 2> "log$numpy" || { cat "log$numpy"; exit 1; }
    echo "numpy $numpy: $(cat "seen$numpy")"
done
grep -qx "AttributeError True" seen2.4.6 || { echo "changed: numpy 2.4.6"; exit 1; }
grep -qx "IoU 1.0" seen2.3.5 || { echo "changed: numpy 2.3.5"; exit 1; }
echo "cityscapesscripts 2.3.0: no evaluation on numpy 2.4"
