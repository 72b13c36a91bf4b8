"""The import rules of the architecture, checked by parsing every file's imports."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SYSTEMS = {"groie", "gcnet", "grid_rcnn", "carafe", "condinst"}


def imported_modules(path: Path, package: str) -> Iterator[str]:
    """Every module that ``path`` imports, absolute, with the names it takes from it."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                base = ".".join([*parents[: len(parents) - node.level + 1], *base.split(".")])
                base = base.rstrip(".")
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def files(folder: str, package_root: str = "") -> list[tuple[Path, str]]:
    """The Python files below ``folder`` with the dotted name of the package they lie in."""
    root = ROOT / package_root
    found = sorted((ROOT / folder).rglob("*.py")) if (ROOT / folder).is_dir() else []
    return [(path, ".".join(path.parent.relative_to(root).parts)) for path in found]


def violations(entries: list[tuple[Path, str]], forbidden: set[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)} imports {module}"
        for path, package in entries
        for module in sorted(set(imported_modules(path, package)))
        if any(module == name or module.startswith(f"{name}.") for name in forbidden)
    ]


def test_core_never_imports_the_extension() -> None:
    entries = files("core/detectron2", "core")
    assert entries
    assert violations(entries, {"projects_ext"}) == []


def test_layers_import_torch_and_torchvision_only() -> None:
    standard = {
        "__future__", "collections", "contextlib", "contextvars", "dataclasses", "functools",
        "math", "typing",
    }  # fmt: skip
    allowed = standard | {"torch", "torchvision", "triton", "projects_ext"}
    for path, package in files("projects_ext/layers"):
        for module in imported_modules(path, package):
            assert module.split(".")[0] in allowed, f"{path} imports {module}"
            if module.startswith("projects_ext."):
                assert module.startswith("projects_ext.layers"), f"{path} imports {module}"


@pytest.mark.parametrize("system", sorted(SYSTEMS))
def test_a_system_never_imports_another(system: str) -> None:
    others = {f"projects_ext.{other}" for other in SYSTEMS - {system}}
    assert violations(files(f"projects_ext/{system}"), others) == []


def test_what_all_segmentation_shares_imports_no_system() -> None:
    entries = files("projects_ext/semantic")
    assert entries
    assert violations(entries, {f"projects_ext.{system}" for system in SYSTEMS}) == []


def test_training_script_and_engine_name_no_system() -> None:
    entries = [(ROOT / "train_net.py", ""), *files("projects_ext/engine")]
    assert violations(entries, {f"projects_ext.{system}" for system in SYSTEMS}) == []
    for path, _ in entries:
        words = set(path.read_text().lower().replace(".", " ").replace("_", " ").split())
        assert not words & SYSTEMS, f"{path} names a system"


def test_no_foreign_framework_is_imported() -> None:
    everything = [
        *files("projects_ext"),
        *files("core/detectron2", "core"),
        *files("configs"),
        *files("tools"),
        *files("demo"),
        *files("datasets"),
    ]
    assert violations(everything, {"mmcv", "mmdet", "mmseg", "mmengine", "pkg_resources"}) == []


def test_core_uses_no_undeclared_library() -> None:
    forbidden = {"cv2", "scipy", "shapely", "setuptools"}
    assert violations(files("core/detectron2", "core"), forbidden) == []
    # VisImage.fig and .ax are matplotlib's own, for whoever asks for them.
    drawing = [x for x in files("core/detectron2", "core") if x[0].name != "_drawing.py"]
    assert violations(drawing, {"matplotlib"}) == []


def test_the_checks_can_fail(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("from ..carafe import fpn\nimport projects_ext.groie.roi_pooler\n")
    found = set(imported_modules(module, "projects_ext.condinst"))
    assert {"projects_ext.carafe.fpn", "projects_ext.groie.roi_pooler"} <= found
