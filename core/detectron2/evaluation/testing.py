"""Results as text that is easy to copy, and their comparison with expected values."""

import logging
import math
import pprint
import sys
from collections.abc import Mapping
from typing import Any


def print_csv_format(results: Mapping[str, Any]) -> None:
    """Log the main metrics of each task as two comma-separated lines, ready for a spreadsheet.

    Args:
        results: ``{task: {metric: value}}``. Metrics with "-" in their name are by class and left
            out; a task whose value is no mapping is logged as it is.
    """
    assert isinstance(results, Mapping) or not len(results), (
        f"Results have to be a dict from task to metrics, not {type(results).__name__}."
    )
    logger = logging.getLogger(__name__)
    for task, metrics in results.items():
        if not isinstance(metrics, Mapping):
            logger.info(f"copypaste: {task}={metrics}")
            continue
        overall = {name: value for name, value in metrics.items() if "-" not in name}
        logger.info(f"copypaste: Task: {task}")
        logger.info("copypaste: " + ",".join(overall))
        logger.info("copypaste: " + ",".join(f"{value:.4f}" for value in overall.values()))


def verify_results(cfg: Any, results: Mapping[str, Mapping[str, float]]) -> bool:
    """Compare results with ``cfg.TEST.EXPECTED_RESULTS``; a difference ends the program.

    Args:
        cfg: has ``TEST.EXPECTED_RESULTS``, a list of (task, metric, expected value, tolerance).
        results: ``{task: {metric: value}}``.

    Returns:
        True if every expectation is met, or there is none.

    Raises:
        SystemExit: with status 1 where a value is missing, not finite or outside its tolerance.
    """
    expectations = cfg.TEST.EXPECTED_RESULTS
    if not len(expectations):
        return True
    logger = logging.getLogger(__name__)
    failures = []
    for task, metric, expected, tolerance in expectations:
        actual = results.get(task, {}).get(metric)
        if actual is None or not math.isfinite(actual) or abs(actual - expected) > tolerance:
            failures.append(f"{task}/{metric}: {actual}, expected {expected} ± {tolerance}")
    if not failures:
        logger.info("Results verification passed.")
        return True
    logger.error("Result verification failed!\n" + "\n".join(failures))
    logger.error(f"Expected results: {expectations}\nActual results: {pprint.pformat(results)}")
    sys.exit(1)


def flatten_results_dict(results: Mapping[str, Any]) -> dict[str, Any]:
    """Join nested keys with "/": ``{"bbox": {"AP": 1}}`` becomes ``{"bbox/AP": 1}``.

    Args:
        results: mappings nested to any depth.
    """
    flat: dict[str, Any] = {}
    for key, value in results.items():
        if isinstance(value, Mapping):
            flat.update(
                (f"{key}/{inner}", leaf) for inner, leaf in flatten_results_dict(value).items()
            )
        else:
            flat[key] = value
    return flat
