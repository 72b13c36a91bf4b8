"""Two processes share the images; the result is that of one process."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed
import torch.multiprocessing
from PIL import Image

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import COCOEvaluator, SemSegEvaluator
from detectron2.structures import Boxes, Instances

NAME = "test_evaluation_distributed"
SIZE = (40, 60)


def _write(folder):
    """Four images with one box each, and a label map each."""
    images = [{"id": i, "width": 60, "height": 40, "file_name": f"{i}.jpg"} for i in range(4)]
    annotations = [
        {"id": i + 1, "image_id": i, "category_id": i % 2 + 1, "bbox": [2 * i, 3, 20, 30]}
        | {"area": 600, "iscrowd": 0}
        for i in range(4)
    ]
    content = {"images": images, "annotations": annotations}
    content["categories"] = [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    (folder / "gt.json").write_text(json.dumps(content))
    for i in range(4):
        labels = np.random.RandomState(i).randint(0, 2, SIZE).astype(np.uint8)
        Image.fromarray(labels).save(folder / f"{i}.png")


def _evaluate(folder, image_ids, distributed):
    dicts = [
        {"file_name": f"{i}.jpg", "sem_seg_file_name": f"{folder}/{i}.png", "image_id": i}
        for i in range(4)
    ]
    DatasetCatalog.register(NAME, lambda: dicts)
    MetadataCatalog.get(NAME).set(
        json_file=f"{folder}/gt.json",
        thing_classes=["a", "b"],
        thing_dataset_id_to_contiguous_id={1: 0, 2: 1},
        stuff_classes=["a", "b"],
        ignore_label=255,
    )
    evaluators = [cls(NAME, distributed=distributed) for cls in (COCOEvaluator, SemSegEvaluator)]
    for evaluator in evaluators:
        evaluator.reset()
        for i in image_ids:
            instances = Instances(SIZE, pred_boxes=Boxes(torch.tensor([[0.0, 3, 20 + i, 33]])))
            instances.scores = torch.tensor([0.9 - 0.1 * i])
            instances.pred_classes = torch.tensor([i % 2])
            logits = torch.from_numpy(np.random.RandomState(9 + i).uniform(size=(2, *SIZE)))
            evaluator.process([dicts[i]], [{"instances": instances, "sem_seg": logits}])
    answers = [evaluator.evaluate() for evaluator in evaluators]
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)
    return answers


def _work(rank, folder):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
    answers = _evaluate(folder, range(rank, 4, 2), distributed=True)
    Path(f"{folder}/answer{rank}.json").write_text(json.dumps(answers, default=float))
    torch.distributed.destroy_process_group()


@pytest.mark.skipif(not torch.distributed.is_available(), reason="needs torch.distributed")
def test_two_processes_answer_as_one(tmp_path):
    _write(tmp_path)
    # Forked, they import nothing anew; that is safe with one thread, see conftest.
    torch.multiprocessing.start_processes(
        _work, args=(str(tmp_path),), nprocs=2, start_method="fork"
    )
    main, other = (json.loads((tmp_path / f"answer{i}.json").read_text()) for i in (0, 1))
    assert not any(other)
    alone = _evaluate(str(tmp_path), range(4), distributed=False)
    assert 0 < alone[0]["bbox"]["AP"] < 100
    np.testing.assert_equal(main, json.loads(json.dumps(alone, default=float)))
