"""Package archives as data: find one at the package index or in Debian, check its sha256, read members from it.

Nothing here installs, builds or imports a package: a wheel is a zip, an sdist a tar, a Debian package an ar with a tar.
"""

from __future__ import annotations

import base64
import errno
import html.parser
import http.client
import io
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import tarfile
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from speech_eval.cache import file_sha256
from speech_eval.errors import BadInput, NotFetched, require
from speech_eval.progress import Progress

_BLOCK = 1 << 18
_ATTEMPTS = 3
_TIMEOUT = 60.0


# ------------------------------------------------------------------------------------------ where archives come from


def fetch(kind: str, package: str, version: str, filename: str, sha256: str, target: Path, progress: Progress) -> None:
    """Put the archive `filename` of a package at `target` and check its sha256.

    A folder named by $SPEECH_EVAL_ARCHIVES is looked into first (machines without a network); then the package index
    of pip, or apt for `kind` "deb". Raises `NotFetched` where the archive cannot be had, `BadInput` where it is not
    the pinned one.
    """
    local = os.environ.get("SPEECH_EVAL_ARCHIVES")
    try:
        if local and (Path(local) / filename).is_file():
            shutil.copyfile(Path(local) / filename, target)
        elif kind == "deb":
            _apt_download(package, version, target)
        else:
            _download(_find_url(package, filename), target, f"{package} {version}", progress)
        found = file_sha256(target)
        if found != sha256:
            raise BadInput(
                f"{filename}: sha256 is {found}, pinned is {sha256}.",
                "The archive was changed or damaged on its way: fetch again, and do not use it if this stays.",
            )
    except OSError as error:
        raise plain(error, filename) from error


def plain(error: OSError, what: str) -> NotFetched:
    """An operating system's error as one of ours."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NotFetched(f"{what}: the disk is full.", "Free space, or set $SPEECH_EVAL_CACHE to a larger disk.")
    return NotFetched(f"{what} could not be stored ({error}).", "Check the cache folder, $SPEECH_EVAL_CACHE.")


# ---------------------------------------------------------------------------------------------- the package index


def index_urls() -> list[str]:
    """The package indexes that pip is configured to use, the main one first, then the extra ones."""
    urls = (os.environ.get("PIP_INDEX_URL") or _pip_config("global.index-url") or _pip_default()).split()[:1]
    urls += (os.environ.get("PIP_EXTRA_INDEX_URL") or _pip_config("global.extra-index-url")).split()
    return [url.rstrip("/") for url in urls if url.startswith(("https://", "http://"))]


def _pip_config(key: str) -> str:
    answer = subprocess.run([sys.executable, "-m", "pip", "config", "get", key], capture_output=True, text=True)
    return answer.stdout.strip() if answer.returncode == 0 else ""


def _pip_default() -> str:
    code = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if answer.returncode != 0:
        raise NotFetched(
            "pip is not installed here, so the package index is not known.",
            "Run 'python -m ensurepip', or set PIP_INDEX_URL to your package index.",
        )
    return answer.stdout.strip()


def _find_url(package: str, filename: str) -> str:
    name = re.sub(r"[-_.]+", "-", package).lower()
    problem = ""
    for index in index_urls():
        try:
            with _open(f"{index}/{name}/", "application/vnd.pypi.simple.v1+json, text/html;q=0.5") as answer:
                links = _links(answer.read().decode("utf-8", "replace"), answer.headers.get_content_type())
                for link in links:
                    url = urllib.parse.urljoin(answer.url, link)
                    if urllib.parse.unquote(urllib.parse.urlsplit(url).path).rsplit("/", 1)[-1] == filename:
                        return urllib.parse.urldefrag(url).url
        except (OSError, http.client.HTTPException, ValueError) as error:
            problem = f" ({_reason(error)})"
    raise NotFetched(
        f"The package index does not offer {filename}{problem}.",
        "Check the network and pip's index-url, or put the file into a folder named by $SPEECH_EVAL_ARCHIVES.",
    )


def _links(body: str, content_type: str) -> list[str]:
    """The file links of one project page of the index, in JSON or in HTML."""
    if content_type.endswith("json"):
        return [str(file["url"]) for file in json.loads(body)["files"]]
    links: list[str] = []

    class Anchors(html.parser.HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            links.extend(value for key, value in attrs if tag == "a" and key == "href" and value)

    Anchors().feed(body)
    return links


def _open(url: str, accept: str) -> Any:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise ValueError("not an http address")
    request = urllib.request.Request(url, headers={"Accept": accept})
    if "@" in parts.netloc:
        # urllib does not read name and password from an address, as pip does.
        user, _, host = parts.netloc.rpartition("@")
        request = urllib.request.Request(parts._replace(netloc=host).geturl(), headers={"Accept": accept})
        token = base64.b64encode(urllib.parse.unquote(user).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {token}")
    certificates = os.environ.get("PIP_CERT") or os.environ.get("REQUESTS_CA_BUNDLE")
    context = ssl.create_default_context(cafile=certificates) if certificates and parts.scheme == "https" else None
    return urllib.request.urlopen(request, timeout=_TIMEOUT, context=context)


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}"
    return str(error) or type(error).__name__


def _download(url: str, target: Path, what: str, progress: Progress) -> None:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with _open(url, "*/*") as answer:
                length = answer.headers.get("Content-Length")
                total = int(length) if length else None
                done = _copy(answer, target, what, total, progress)
            if total is None or done == total:
                return
            problem = f"{done} of {total} bytes arrived"
        except urllib.error.HTTPError as error:
            problem = _reason(error)
            if error.code < 500:
                break
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            problem = _reason(error)
        except http.client.HTTPException as error:
            problem = _reason(error)
        if attempt == _ATTEMPTS:
            break
    raise NotFetched(f"The download of {what} was cut off or refused: {problem}.", "Check the network and try again.")


def _copy(source: IO[bytes], target: Path, what: str, total: int | None, progress: Progress) -> int:
    done = 0
    with target.open("wb") as file:
        while block := source.read(_BLOCK):
            file.write(block)
            done += len(block)
            progress(what, done, total)
    return done


# ---------------------------------------------------------------------------------------------- Debian


def _apt_download(package: str, version: str, target: Path) -> None:
    if shutil.which("apt-get") is None:
        raise NotFetched(
            f"{package} {version} is a Debian package and there is no apt-get here.",
            "Use a Debian or Ubuntu machine, put the .deb into a folder named by $SPEECH_EVAL_ARCHIVES, or use the "
            "dataset 'librivox-en' (English), which needs pip's package index only.",
        )
    folder = target.parent / f"apt-{package}"
    folder.mkdir()
    try:
        said = _apt(["download", f"{package}={version}"], folder, [])
        if not list(folder.glob("*.deb")):
            # Package lists of our own: no root is needed and the system's stay as they are.
            for name in ("state/lists/partial", "cache/archives/partial"):
                (folder / name).mkdir(parents=True)
            own = ["-o", f"Dir::State={folder}/state", "-o", f"Dir::Cache={folder}/cache"]
            own += ["-o", "Dir::State::status=/var/lib/dpkg/status", "-o", "APT::Sandbox::User="]
            _apt(["update"], folder, own)
            said = _apt(["download", f"{package}={version}"], folder, own)
        found = list(folder.glob("*.deb"))
        if not found:
            raise NotFetched(
                f"apt-get could not download {package}={version}: {said}.",
                "Check that the machine's Debian or Ubuntu sources carry it, or use the dataset 'librivox-en' "
                "(English), which needs pip's package index only.",
            )
        found[0].replace(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _apt(words: list[str], folder: Path, options: list[str]) -> str:
    """Run apt-get; what it complained about, in one line."""
    try:
        answer = subprocess.run(
            ["apt-get", "-qq", *options, *words], cwd=folder, capture_output=True, text=True, timeout=600
        )
    except subprocess.TimeoutExpired:
        return "no answer within ten minutes"
    errors = [line for line in answer.stderr.splitlines() if line.startswith("E:")]
    return errors[0].rstrip(".") if errors else f"exit status {answer.returncode}"


# ---------------------------------------------------------------------------------------------- reading archives


def safe_relative(path: str) -> PurePosixPath:
    """`path` as a relative path that stays inside its folder; `BadInput` for any other."""
    pure = PurePosixPath(path)
    outside = pure.is_absolute() or ".." in pure.parts or re.match("[A-Za-z]:", path) is not None
    if outside or not pure.parts or "\\" in path or "\0" in path:
        raise BadInput(f"The path {path!r} leaves its folder.", "Use relative paths without '..' and backslashes.")
    return pure


def members(path: Path, kind: str) -> Iterator[tuple[str, IO[bytes]]]:
    """The regular files of an archive, as (name, open stream), in its order; links and devices are left out.

    `kind` is "wheel", "sdist" or "deb". A stream is good until the next one is asked for. Raises `BadInput` for an
    archive that cannot be read.
    """
    try:
        if kind == "wheel":
            with zipfile.ZipFile(path) as archive:
                for info in archive.infolist():
                    if not info.is_dir():
                        with archive.open(info) as stream:
                            yield info.filename, stream
        else:
            source = path.open("rb") if kind == "sdist" else _deb_data(path)
            with source, tarfile.open(fileobj=source, mode="r|*") as tar:
                for member in tar:
                    stream_or_none = tar.extractfile(member) if member.isfile() else None
                    if stream_or_none is not None:
                        yield member.name.removeprefix("./"), stream_or_none
    except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise BadInput(f"{path.name}: the archive cannot be read ({error}).", "Fetch it again.") from error


def _deb_data(path: Path) -> IO[bytes]:
    """The data tar of a Debian package: an ar archive of 60-byte headers, each body padded to an even length."""
    file = path.open("rb")
    if file.read(8) == b"!<arch>\n":
        while len(header := file.read(60)) == 60:
            name, size = header[:16].decode("ascii", "replace").strip().rstrip("/"), int(header[48:58])
            if name.startswith("data.tar"):
                body = io.BytesIO(file.read(size))
                file.close()
                return _unzstd(body) if name.endswith(".zst") else body
            file.seek(size + size % 2, os.SEEK_CUR)
    file.close()
    raise BadInput(f"{path.name}: not a Debian package.", "Fetch it again.")


def _unzstd(body: IO[bytes]) -> IO[bytes]:
    zstandard = require("zstandard", "demo")
    return io.BytesIO(zstandard.ZstdDecompressor().stream_reader(body).read())
