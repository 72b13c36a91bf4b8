import json
import logging

import pytest
import torch

from detectron2.utils.events import (
    CommonMetricPrinter,
    EventStorage,
    EventWriter,
    JSONWriter,
    TensorboardXWriter,
    get_event_storage,
    has_event_storage,
)


def test_storage_is_found_inside_its_block_only():
    assert not has_event_storage()
    with pytest.raises(AssertionError):
        get_event_storage()
    with EventStorage() as outer:
        assert get_event_storage() is outer
        with EventStorage(7) as inner:
            assert get_event_storage() is inner
            assert inner.iter == inner.iteration == 7
        assert get_event_storage() is outer
    assert not has_event_storage()


def test_block_ends_where_the_code_in_it_raises():
    with pytest.raises(ZeroDivisionError), EventStorage():
        _ = 1 / 0
    assert not has_event_storage()


def test_scalars_histories_and_scopes():
    with EventStorage(3) as storage:
        storage.put_scalar("loss", torch.tensor(2.0))
        storage.step()
        storage.put_scalars(loss=4, rate=0.5, cur_iter=9)
        with storage.name_scope("bbox/"), storage.name_scope("inner"):
            storage.put_scalar("AP", 1, smoothing_hint=False)
        storage.put_scalar("x", 1.5)
    assert storage.history("loss").values() == [(2.0, 3), (4.0, 9)]
    assert storage.latest() == {
        "loss": (4.0, 9),
        "rate": (0.5, 9),
        "inner/AP": (1.0, 4),
        "x": (1.5, 4),
    }
    assert storage.smoothing_hints()["inner/AP"] is False
    assert set(storage.histories()) == {"loss", "rate", "inner/AP", "x"}


def test_smoothing_takes_the_median_of_the_windows_iterations():
    with EventStorage() as storage:
        for iteration, value in enumerate([5.0, 1.0, 9.0, 2.0]):
            storage.iter = iteration * 10
            storage.put_scalar("noisy", value)
            storage.put_scalar("exact", value, smoothing_hint=False)
    assert storage.count_samples("noisy", 20) == 2
    assert storage.count_samples("noisy", 21) == 3
    smoothed = storage.latest_with_smoothing_hint(21)
    assert smoothed == {"noisy": (2.0, 30), "exact": (2.0, 30)}
    assert storage.latest_with_smoothing_hint(11)["noisy"] == (5.5, 30)


def test_hint_cannot_change_and_unknown_names_are_refused():
    with EventStorage() as storage:
        storage.put_scalar("a", 1)
        with pytest.raises(AssertionError, match="a"):
            storage.put_scalar("a", 1, smoothing_hint=False)
        with pytest.raises(KeyError, match="nope"):
            storage.history("nope")


def test_json_writer_appends_what_is_new(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text('{"iteration": 0}\n')
    writer = JSONWriter(str(path), window_size=2)
    with EventStorage(3) as storage:
        storage.put_scalar("b", 1)
        storage.put_scalar("a", 3)
        writer.write()
        writer.write()
        storage.step()
        storage.put_scalar("a", 5)
        writer.write()
    writer.close()
    lines = path.read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"iteration": 0},
        {"a": 3.0, "b": 1.0, "iteration": 3},
        {"a": 4.0, "iteration": 4},
    ]
    assert lines[1].index('"a"') < lines[1].index('"b"')


def printed(caplog, printer, storage):
    caplog.clear()
    with caplog.at_level(logging.INFO):
        printer.write()
    return " ".join(caplog.text.split("INFO")[-1].split()[1:]) if caplog.records else None


def test_metric_printer(caplog):
    logging.getLogger("detectron2").propagate = True
    printer = CommonMetricPrinter(20)
    with EventStorage(3) as storage:
        for iteration in range(4):
            storage.put_scalars(total_loss=1 / (iteration + 1), lr=0.01, time=float(iteration))
            storage.put_scalar("[metric]x", 1.5)
            storage.put_scalar("unseen", 1.5)
            storage.put_scalar("data_time", iteration / 100)
            storage.step()
        line = printed(caplog, printer, storage)
        # 12 iterations are left, the median time is 1.5 s.
        assert "eta: 0:00:18 iter: 7 total_loss: 0.4167 [metric]x: 1.5 time: 1.5000" in line
        assert "last_time: 3.0000 data_time: 0.0150 last_data_time: 0.0300 lr: 0.01" in line
        assert "unseen" not in line
        assert storage.latest()["eta_seconds"] == (18.0, 7)
        storage.iter = 20
        assert printed(caplog, printer, storage) is None


def test_metric_printer_with_nothing_to_say(caplog):
    logging.getLogger("detectron2").propagate = True
    with EventStorage(5) as storage:
        line = printed(caplog, CommonMetricPrinter(), storage)
    assert "iter: 5 lr: N/A" in line
    assert "eta" not in line


def test_histogram_and_images():
    with EventStorage(4) as storage:
        storage.put_histogram("h", torch.arange(10.0), bins=3)
        storage.put_image("i", torch.zeros(3, 2, 2))
        (histogram,) = storage._histograms
        assert histogram["bucket_counts"] == [3, 3, 4]
        assert histogram["bucket_limits"] == pytest.approx([3, 6, 9])
        assert (histogram["min"], histogram["max"], histogram["num"]) == (0, 9, 10)
        assert (histogram["sum"], histogram["sum_squares"]) == (45, 285)
        assert histogram["global_step"] == 4
        assert [(name, step) for name, _, step in storage._vis_data] == [("i", 4)]
        storage.clear_histograms()
        storage.clear_images()
        assert not storage._histograms
        assert not storage._vis_data


def test_tensorboard_writer(tmp_path):
    pytest.importorskip("tensorboard")
    writer = TensorboardXWriter(str(tmp_path / "unused"))
    writer.close()
    assert not (tmp_path / "unused").exists()
    writer = TensorboardXWriter(str(tmp_path / "log"))
    with EventStorage(1) as storage:
        storage.put_scalar("a", 2.0)
        storage.put_image("i", torch.zeros(3, 2, 2))
        storage.put_histogram("h", torch.arange(3.0))
        writer.write()
        assert not storage._vis_data
        assert not storage._histograms
    writer.close()
    (file,) = (tmp_path / "log").iterdir()
    assert file.stat().st_size > 100


def test_base_writer_has_no_output():
    with pytest.raises(NotImplementedError):
        EventWriter().write()
    EventWriter().close()
