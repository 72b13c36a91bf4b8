"""Loading of pictures, and of a data set as large as COCO, on whichever detectron2 is active.

    python -m benchmarks.data_loading
    python -m benchmarks.compare --other OTHER_PYTHON data_loading

The large data set (118,000 records, 860,000 annotations) is made by the benchmark: its json is
loaded and filtered, and its records are served to two worker processes without their pictures.
"""

import argparse
import copy
import multiprocessing
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import detectron2.data.transforms as T
from benchmarks.measure import PeakMemory, Result, measure, report, time_once
from benchmarks.scenes import write_annotations, write_pictures
from detectron2.data import (
    DatasetCatalog,
    DatasetMapper,
    build_detection_train_loader,
    get_detection_dataset_dicts,
)
from detectron2.data.datasets import register_coco_instances

BATCH = 4


def coco_mapper() -> DatasetMapper:
    """COCO's training augmentation: 640 to 800 pixels, flips, polygons."""
    resize = T.ResizeShortestEdge((640, 672, 704, 736, 768, 800), 1333, "choice")
    return DatasetMapper(
        is_train=True,
        augmentations=[resize, T.RandomFlip()],
        image_format="BGR",
        use_instance_mask=True,
    )


def served(dataset: Any, mapper: Callable[..., Any], workers: int) -> Iterator[Any]:
    """Batches of Detectron2's training loader."""
    loader = build_detection_train_loader(
        dataset, mapper=mapper, total_batch_size=BATCH, num_workers=workers
    )
    return iter(loader)


def picture_cases(pictures: int, repeat: int) -> list[Result]:
    """Decoding and augmenting of pictures of 640 x 480, by this process and by two others."""
    results = []
    with tempfile.TemporaryDirectory() as folder:
        register_coco_instances(
            "benchmark_pictures", {}, str(write_pictures(Path(folder), 64)), folder
        )
        dataset = get_detection_dataset_dicts("benchmark_pictures")
        for workers in (0, 2):
            batches = served(dataset, coco_mapper(), workers)
            case = f"pictures, {workers} workers"

            def load(batches: Iterator[Any] = batches) -> None:
                for _ in islice(batches, pictures // BATCH):
                    pass

            results.append(measure(case, load, images=pictures, repeat=repeat))
            del batches, load
    return results


def without_picture(record: dict[str, Any]) -> dict[str, Any]:
    """A mapper that only copies, as every mapper does first."""
    return copy.deepcopy(record)


def large_cases(images: int, annotations: int) -> list[Result]:
    """Load and filter; serialise and serve; memory of the workers."""
    with tempfile.TemporaryDirectory() as folder:
        json_file = Path(folder) / "instances.json"
        write_annotations(json_file, images, annotations)
        register_coco_instances("benchmark_large", {}, str(json_file), folder)
        results = []
        records: list[Any] = []
        with PeakMemory() as memory:
            seconds = time_once(
                lambda: records.append(get_detection_dataset_dicts("benchmark_large"))
            )
        results.append(
            Result(f"load and filter {len(records[0])} of {images}", seconds, memory.mib)
        )
        batches: list[Iterator[Any]] = []
        with PeakMemory() as memory:

            def start() -> None:
                batches.append(served(records.pop(), without_picture, 2))
                next(batches[0])

            seconds = time_once(start)
        results.append(Result("serialise, start 2 workers, first batch", seconds, memory.mib))
        case = f"{1000 * BATCH} records from 2 workers; private memory of one"
        result = measure(case, lambda: sum(1 for _ in islice(batches[0], 1000)), repeat=7)
        private = memory_of_all("Private_")[1:]
        results.append(replace(result, peak_mib=sum(private) / len(private)))
        results.append(
            Result("memory of the 3 processes together", 0.0, sum(memory_of_all("Pss:")))
        )
    DatasetCatalog.remove("benchmark_large")
    return results


def memory_of_all(field: str) -> list[float]:
    """MiB of this process and of each worker, by a field of Linux's ``smaps_rollup``."""
    processes = ["self", *(str(worker.pid) for worker in multiprocessing.active_children())]
    found = []
    for process in processes:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
        found.append(sum(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024)
    return found


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pictures", type=int, default=256, help="pictures of one repetition")
    parser.add_argument("--images", type=int, default=118_000, help="its records; 0: without it")
    parser.add_argument("--annotations", type=int, default=860_000, help="its annotations")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", default="", help="write the results to this file as well")
    args = parser.parse_args()
    results = picture_cases(args.pictures, args.repeat)
    if args.images:
        results += large_cases(args.images, args.annotations)
    report(results, args.json)


if __name__ == "__main__":
    main()
