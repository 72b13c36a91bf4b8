#!/usr/bin/env bash
# torch 2.14.1 exports the division of whole numbers to ONNX (the exporter by torch.export, onnxscript
# 0.7.2) as a division in float32: quotients of numbers above 2^24 are off by one, without a word.
# Resizing in fixed point, as Pillow and OpenCV do it, divides such sums.
# Seen: 34 of 200 quotients differ; 16777221 / 3 is 5592407 in PyTorch, 5592406 in ONNX Runtime 1.32.0;
# the graph is Cast, Div, Abs, Floor, Sign, Mul, Cast.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet torch==2.14.1 onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.32.0
cat > run.py <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
import torch


class Divide(torch.nn.Module):
    def forward(self, numbers):
        return torch.div(numbers, 3, rounding_mode="trunc")


numbers = torch.arange(2**24 + 1, 2**24 + 201, dtype=torch.int32)
torch.onnx.export(Divide(), (numbers,), "divide.onnx", dynamo=True, verbose=False)
session = onnxruntime.InferenceSession("divide.onnx", providers=["CPUExecutionProvider"])
(exported,) = session.run(None, {session.get_inputs()[0].name: numbers.numpy()})
expected = Divide()(numbers).numpy()
wrong = np.flatnonzero(exported != expected)
nodes = [node.op_type for node in onnx.load("divide.onnx").graph.node]
print(f"{len(wrong)} of {len(expected)} quotients differ; nodes: {', '.join(nodes)}")
assert len(wrong) == 34, "changed: the number of wrong quotients"
first = wrong[0]
print(f"{numbers[first]} / 3: PyTorch {expected[first]}, ONNX Runtime {exported[first]}")
assert (numbers[first], expected[first], exported[first]) == (16777221, 5592407, 5592406)
PYTHON
venv/bin/python -W ignore run.py
