"""Weights are downloaded once and checked; what goes wrong ends in one sentence."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from projects_ext.errors import UserError
from projects_ext.zoo import Experiment, find
from projects_ext.zoo.download import cached_path, fetch, is_published

CONTENT = b"weights" * 1000
PREFIX = hashlib.sha256(CONTENT).hexdigest()[:8]


@dataclass
class Server:
    """A web server of this machine, and what was asked of it."""

    folder: Path
    address: str = ""
    requests: list[str] = field(default_factory=list)


class Handler(SimpleHTTPRequestHandler):
    def __init__(self, *arguments: Any, server_record: Server) -> None:
        self.record = server_record
        super().__init__(*arguments, directory=str(server_record.folder))

    def log_request(self, *arguments: Any) -> None:
        self.record.requests.append(self.path)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    # A proxy of the surroundings does not know this machine.
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "cache"))
    record = Server(tmp_path / "published")
    record.folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, server_record=record)) as http:
        record.address = f"http://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield record
        http.shutdown()
        thread.join()


def experiment(address: str) -> Experiment:
    return Experiment("a/b", "table", "data", "somebody", {"box AP": 1.0}, "1x", address=address)


def test_a_file_is_downloaded_once(server: Server) -> None:
    name = f"weights-{PREFIX}.pth"
    (server.folder / name).write_bytes(CONTENT)
    wanted = experiment(f"{server.address}/{name}")
    path = fetch(wanted)
    assert Path(path).read_bytes() == CONTENT
    assert Path(path) == cached_path(wanted.address)
    asked = len(server.requests)
    assert asked > 0
    assert fetch(wanted) == path
    assert len(server.requests) == asked


def test_a_file_that_was_put_in_place_by_hand_is_taken(server: Server) -> None:
    wanted = experiment(f"{server.address}/models/weights-{PREFIX}.pth")
    place = cached_path(wanted.address)
    place.parent.mkdir(parents=True)
    place.write_bytes(CONTENT)
    assert fetch(wanted) == str(place)
    assert server.requests == []


def test_another_content_is_refused(server: Server) -> None:
    name = "weights-00000000.pth"
    (server.folder / name).write_bytes(CONTENT)
    wanted = experiment(f"{server.address}/{name}")
    with pytest.raises(UserError, match="does not start with 00000000, .* delete it"):
        fetch(wanted)
    assert not is_published(wanted, str(cached_path(wanted.address)))


def test_a_missing_file_is_said_with_its_address_and_its_place(server: Server) -> None:
    address = f"{server.address}/gone-{PREFIX}.pth"
    with pytest.raises(UserError) as raised:
        fetch(experiment(address))
    sentence = str(raised.value)
    assert sentence.startswith(f"{address} cannot be fetched (HTTP Error 404")
    assert f"put it at {cached_path(address)}" in sentence


def test_without_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    # Nothing listens on port 1.
    with pytest.raises(UserError, match=r"cannot be fetched .* or bring the file from elsewhere"):
        fetch(experiment(f"http://127.0.0.1:1/weights-{PREFIX}.pth"))


def test_a_file_that_is_no_longer_published() -> None:
    with pytest.raises(UserError, match="AdelaiDet no longer publishes .* add --weights FILE"):
        fetch(find("condinst/condinst_r50_fpn_ms_3x"))
