"""CARAFE's Triton kernels: interpreted and compiled anywhere, run where there is a GPU."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from projects_ext.layers import carafe
from tests.procedural import procedural_noise

ROOT = Path(__file__).parents[3]
triton = pytest.importorskip("triton")


def test_interpreted_kernels_agree_with_the_literal_form() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tests.projects_ext.layers.carafe_interpreted"],
        cwd=ROOT,
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("agrees") == 14


@pytest.mark.parametrize("kernel", ["reassemble", "features_gradient", "kernels_gradient"])
def test_kernels_compile_for_a_gpu_that_is_not_there(kernel, tmp_path, monkeypatch) -> None:
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from projects_ext.layers import carafe_triton

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    options = {
        "K": 5, "S": 2, "SUM": triton.language.float32, "SUB_ROWS": 2, "TAPS": 32, "CHANNELS": 8,
        "COLUMNS": 64,
    }  # fmt: skip
    function = getattr(carafe_triton, f"{kernel}_kernel")
    constants = {name: value for name, value in options.items() if name in function.arg_names}
    types = dict.fromkeys(function.arg_names, "i32") | dict.fromkeys(constants, "constexpr")
    for name in {"x", "gradient", "output", "result", "kernels"} & set(types):
        types[name] = "*fp32" if name == "kernels" else "*bf16"
    source = ASTSource(fn=function, signature=types, constexprs=constants)
    code = triton.compile(source, target=GPUTarget("cuda", 80, 32)).asm["ptx"]
    assert f".entry {kernel}_kernel" in code
    assert "atom." not in code


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("shape", [(2, 64, 25, 42, 5, 1, 2), (1, 6, 3, 4, 7, 3, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_gpu_gives_what_the_cpu_gives(dtype: torch.dtype, shape, last: bool) -> None:
    n, channels, height, width, k, groups, s = shape
    form = torch.channels_last if last else torch.contiguous_format
    values = [
        procedural_noise("x", (n, channels, height, width)),
        procedural_noise("kernels", (n, groups * k**2, height * s, width * s)),
        procedural_noise("gradient", (n, channels, height * s, width * s)),
    ]
    values = [value.to(dtype, memory_format=form) for value in values]
    results = []
    for device in ("cpu", "cuda"):
        x, kernels, gradient = (value.to(device) for value in values)
        x.requires_grad_()
        kernels.requires_grad_()
        output = carafe(x, kernels, k, groups, s)
        output.backward(gradient)
        results.append([output.detach().cpu(), x.grad.cpu(), kernels.grad.cpu()])
    tolerance = 1e-4 if dtype == torch.float32 else 2e-2
    for expected, found in zip(*results, strict=True):
        atol = tolerance * expected.abs().max().item()
        torch.testing.assert_close(found, expected, rtol=tolerance, atol=atol)
