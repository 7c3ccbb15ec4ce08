"""data_download.sh, on a small archive served over file:// and by a server that drops the line."""

import http.server
import os
import shutil
import tarfile
import threading
from functools import partial
from pathlib import Path

import pytest
from shell_project import Project

from deep_cnn.data.index import build_index

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX shells and signals")


class Ranges(http.server.SimpleHTTPRequestHandler):
    """Serves files with `Range:`, and cuts the first `cuts` answers short: a line that drops."""

    cuts, starts = 0, []

    def do_GET(self):
        data = Path(self.translate_path(self.path)).read_bytes()
        first = int(self.headers.get("Range", "bytes=0-")[6:-1])
        self.starts.append(first)
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(data) - first))
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        cut = type(self).cuts > 0
        type(self).cuts -= cut
        self.wfile.write(data[first : first + 20_000 if cut else None])

    def log_message(self, *_):
        pass


@pytest.fixture
def places(tmp_path):
    if not shutil.which("curl"):
        pytest.skip("needs curl")
    made = Project(tmp_path, "data_download.sh")
    (made.folder / "deep_cnn").mkdir()
    source = tmp_path / "source/places365_standard"
    for number, name in enumerate(["alley", "butte", "street", "airfield", "sky"]):
        for split in ("train", "val"):
            (source / split / name).mkdir(parents=True)
            (source / split / name / f"{number}.jpg").write_bytes(os.urandom(9_000))
    served = tmp_path / "source/places.tar"
    with tarfile.open(served, "w") as tar:
        tar.add(source, "places365_standard")
    made.served = served
    made.target = made.folder / "input/places365standard_easyformat/places365_standard"
    made.classes = lambda split="train": sorted(path.name for path in (made.target / split).iterdir())
    made.env["PLACES_URL"] = served.as_uri()
    yield made
    made.kill_all()


def test_places_are_downloaded_and_the_listed_classes_unpacked(places):
    done = places.run("sh", "data_download.sh")
    assert done.returncode == 0, done.stderr
    assert places.classes() == places.classes("val") == ["alley", "butte", "street"]
    source = places.served.parent / "places365_standard/train/butte/1.jpg"
    assert (places.target / "train/butte/1.jpg").read_bytes() == source.read_bytes()
    assert "Zhou" in done.stdout and "not for commercial use" in done.stdout

    # Classes added later come from the kept file
    (places.folder / "input/keep.txt").write_text("airfield  # planes\nsk*\nairfeild\n", encoding="utf-8")
    places.served.unlink()
    done = places.run("sh", "data_download.sh")
    assert done.returncode == 0, done.stderr
    assert places.classes() == ["airfield", "alley", "butte", "sky", "street"]
    assert "no class is called airfeild" in done.stderr
    assert "unpacking 4 class folders" in done.stderr and "train: 5 classes, 5 images" in done.stderr


def test_a_download_goes_on_where_it_stopped(places):
    Ranges.cuts, Ranges.starts[:] = 2, []
    handler = partial(Ranges, directory=str(places.served.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = places.run("sh", "data_download.sh", PLACES_URL=f"http://127.0.0.1:{server.server_port}/places.tar")
        server.shutdown()
    assert done.returncode == 0, done.stderr
    assert Ranges.starts == [0, 20_000, 40_000]
    assert (places.folder / "input/places.tar").read_bytes() == places.served.read_bytes()


def test_a_failed_download_keeps_what_it_has(places):
    part = places.folder / "input/places.tar.part"
    part.parent.mkdir()
    part.write_bytes(places.served.read_bytes()[:30_000])
    gone = places.served.with_name("elsewhere.tar")
    places.served.rename(gone)
    done = places.run("sh", "data_download.sh", PLACES_TRIES="1")
    assert done.returncode == 2 and "continues from there" in done.stderr
    assert part.stat().st_size == 30_000
    gone.rename(places.served)
    assert places.run("sh", "data_download.sh").returncode == 0
    assert places.classes() == ["alley", "butte", "street"]


def test_a_full_disk_is_seen_before_anything_is_written(places):
    places.fake("df", "#!/bin/sh\nprintf 'head\\nfs 10 10 1 100%% /\\n'\n")
    done = places.run("sh", "data_download.sh")
    assert done.returncode == 2 and "Make room" in done.stderr
    assert not list((places.folder / "input").iterdir())


def test_a_failed_unpacking_leaves_whole_folders_only(places):
    assert places.run("sh", "data_download.sh").returncode == 0
    shutil.rmtree(places.target / "val/alley")
    tar = Path(shutil.which("tar"))
    places.fake("tar", f'#!/bin/sh\n"{tar}" "$@"; exit 2\n')  # a quota that ends half way
    done = places.run("sh", "data_download.sh")
    assert done.returncode == 2 and "untouched" in done.stderr
    assert places.classes("val") == ["butte", "street"] and places.classes() == ["alley", "butte", "street"]
    places.fake("tar", f'#!/bin/sh\nexec "{tar}" "$@"\n')
    assert places.run("sh", "data_download.sh").returncode == 0
    assert places.classes("val") == ["alley", "butte", "street"]


def test_a_truncated_archive_is_refused(places):
    with places.served.open("r+b") as file:
        file.truncate(40_000)
    done = places.run("sh", "data_download.sh")
    assert done.returncode == 2 and "is damaged" in done.stderr
    assert not places.target.exists()


def test_a_second_download_is_refused_while_one_runs(places):
    lock = places.folder / "input/.download.lock"
    lock.mkdir(parents=True)
    (lock / "owner").write_text(f"{os.uname().nodename} {os.getpid()}\n", encoding="utf-8")
    done = places.run("sh", "data_download.sh")
    assert done.returncode == 2 and f"process {os.getpid()}" in done.stderr
    (lock / "owner").write_text(f"{os.uname().nodename} 99999999\n", encoding="utf-8")
    assert places.run("sh", "data_download.sh").returncode == 0


def test_places_may_stay_in_their_archive(places):
    places.env["PLACES_KEEP_ARCHIVE"] = "1"
    done = places.run("sh", "data_download.sh")
    assert done.returncode == 0 and "--data_dir=" in done.stderr, done.stderr
    archive = places.folder / "input/places.tar"
    index = build_index(archive)
    assert not places.target.exists() and len(index.classes) == 5 and set(index.given_split.tolist()) == {0, 1}
