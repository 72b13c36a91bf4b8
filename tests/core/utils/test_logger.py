import logging
import re

import pytest

from detectron2.utils.logger import (
    create_small_table,
    log_every_n,
    log_every_n_seconds,
    log_first_n,
    setup_logger,
)


@pytest.fixture
def name(request):
    name = f"for_{request.node.name}"
    yield name
    logger = logging.getLogger(name)
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()


def flush(name):
    for handler in logging.getLogger(name).handlers:
        handler.flush()


def test_terminal_and_file(tmp_path, capsys, name):
    logger = setup_logger(str(tmp_path / "out"), color=False, name=name)
    logger.debug("first words")
    flush(name)
    line = r"\[\d\d/\d\d \d\d:\d\d:\d\d\] " + name + " DEBUG: first words\n"
    assert re.fullmatch(line, capsys.readouterr().out)
    assert re.fullmatch(line, (tmp_path / "out" / "log.txt").read_text())
    assert logger.propagate is False


def test_colour_format_abbreviates(capsys, name):
    setup_logger(name=name, abbrev_name="short")
    logging.getLogger(f"{name}.part").info("words")
    logging.getLogger(name).warning("careful")
    plain = re.sub(r"\x1b\[\d+m", "", capsys.readouterr().out).splitlines()
    assert re.fullmatch(r"\[.* short\.part\]: words", plain[0])
    assert re.fullmatch(rf"WARNING \[.* {name}\]: careful", plain[1])


def test_calling_twice_adds_nothing(tmp_path, capsys, name):
    for _ in range(2):
        logger = setup_logger(str(tmp_path / "log.txt"), name=name, color=False)
    logger.info("once")
    flush(name)
    assert capsys.readouterr().out.count("once") == 1
    assert (tmp_path / "log.txt").read_text().count("once") == 1


@pytest.mark.core_only(reason="upstream repeats lines where only the output is new")
def test_adding_a_file_later_does_not_repeat_lines(tmp_path, capsys, name):
    setup_logger(name=name)
    setup_logger(str(tmp_path), name=name).info("once")
    assert capsys.readouterr().out.count("once") == 1


def test_other_ranks_write_to_files_of_their_own(tmp_path, capsys, name):
    setup_logger(str(tmp_path), 2, name=name).info("words")
    flush(name)
    assert capsys.readouterr().out == ""
    assert "words" in (tmp_path / "log.txt.rank2").read_text()


def test_propagation_and_no_terminal(capsys, caplog, name):
    logger = setup_logger(name=name, enable_propagation=True, configure_stdout=False)
    logger.info("words")
    assert capsys.readouterr().out == ""
    assert "words" in caplog.text


def test_log_first_n(caplog):
    with caplog.at_level(logging.INFO):
        for index in range(5):
            log_first_n(logging.INFO, f"caller {index}", n=2)
        for index in range(6):
            log_first_n(logging.INFO, f"message {index % 2}", key="message")
        for _ in range(3):
            log_first_n(logging.INFO, "both", key=("caller", "message"))
    words = [record.getMessage() for record in caplog.records]
    assert words == ["caller 0", "caller 1", "message 0", "message 1", "both"]
    assert {record.name for record in caplog.records} == {__name__}


def test_log_every_n(caplog):
    with caplog.at_level(logging.INFO):
        for index in range(7):
            log_every_n(logging.INFO, str(index), n=3)
        for _ in range(3):
            log_every_n(logging.INFO, "all", name="other")
    words = [record.getMessage() for record in caplog.records]
    assert words == ["0", "3", "6", "all", "all", "all"]
    assert caplog.records[-1].name == "other"


def test_log_every_n_seconds(caplog):
    with caplog.at_level(logging.INFO):
        for index in range(3):
            log_every_n_seconds(logging.INFO, str(index), n=1000)
        for _ in range(2):
            log_every_n_seconds(logging.INFO, "always", n=0)
    assert [record.getMessage() for record in caplog.records] == ["0", "always", "always"]


def test_small_table():
    table = create_small_table({"AP": 1.23456, "n": 3, "x": float("nan")})
    assert table.splitlines()[0].split() == ["|", "AP", "|", "n", "|", "x", "|"]
    assert table.splitlines()[2].split() == ["|", "1.235", "|", "3", "|", "nan", "|"]
