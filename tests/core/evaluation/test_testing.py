import logging
import math

import pytest

from detectron2.config import get_cfg
from detectron2.evaluation import print_csv_format, verify_results
from detectron2.evaluation.testing import flatten_results_dict

RESULTS = {"bbox": {"AP": 40.123456, "AP50": 60.0, "AP-cat": 1.0}, "note": 3}


def test_main_metrics_are_printed_as_csv(caplog):
    with caplog.at_level(logging.INFO):
        print_csv_format(RESULTS)
    assert [record.getMessage() for record in caplog.records] == [
        "copypaste: Task: bbox",
        "copypaste: AP,AP50",
        "copypaste: 40.1235,60.0000",
        "copypaste: note=3",
    ]


def test_flatten_joins_keys():
    nested = {"bbox": {"AP": 1, "by": {"size": 2}}, "x": 3}
    assert flatten_results_dict(nested) == {"bbox/AP": 1, "bbox/by/size": 2, "x": 3}
    assert flatten_results_dict({}) == {}


def _config(*expected):
    cfg = get_cfg()
    cfg.TEST.EXPECTED_RESULTS = [list(row) for row in expected]
    return cfg


def test_expected_results_within_tolerance_pass():
    assert verify_results(_config(), RESULTS)
    assert verify_results(_config(("bbox", "AP", 40.0, 0.2), ("bbox", "AP50", 60.0, 0.0)), RESULTS)


@pytest.mark.parametrize(
    ("results", "row"),
    [
        (RESULTS, ("bbox", "AP", 41.0, 0.2)),
        (RESULTS, ("bbox", "AP75", 41.0, 0.2)),
        ({"bbox": {"AP": math.nan}}, ("bbox", "AP", 41.0, 0.2)),
    ],
)
def test_a_difference_ends_the_program(results, row):
    with pytest.raises(SystemExit) as stop:
        verify_results(_config(row), results)
    assert stop.value.code == 1
