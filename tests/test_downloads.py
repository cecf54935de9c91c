"""Downloads from a server on the loopback that knows ranges, and that Kaggle's real client takes for Kaggle."""

import http.server
import importlib.util
import io
import json
import os
import random
import re
import stat
import subprocess
import sys
import threading
import urllib.parse
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from seglib import downloads
from seglib.downloads import get_data
from seglib.errors import InputError

SMALL = {
    "Train/Image": ("train_images.zip", 3),
    "Train/Mask": ("train_masks.zip", 3),
    "Test/Image": ("test_images.zip", 2),
    "Test/Mask": ("test_masks.zip", 2),
}
SLUG = "small-competition"


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as pack:
        for name, content in members.items():
            pack.writestr(name, content)
    return buffer.getvalue()


def noise(seed: int, size: int = 20_000) -> bytes:
    return random.Random(seed).randbytes(size)


def archives() -> dict[str, bytes]:
    """The four archives as the challenge ships them, in small: each with a folder and with files not wanted."""
    made = {}
    for number, (role, (file_name, count)) in enumerate(SMALL.items()):
        first = 0 if role.startswith("Train") else 500
        end = "_Segmentation.png" if role.endswith("Mask") else ".jpg"
        folder = file_name.removesuffix(".zip")
        members = {f"{folder}/ISIC_{first + i:07}{end}": noise(10 * number + i) for i in range(count)}
        members[f"{folder}/ISIC_{first:07}_superpixels.png"] = b"not wanted"
        members[f"__MACOSX/{folder}/._ISIC_{first:07}{end}"] = b"not wanted"
        members[f"{folder}/ATTRIBUTION.txt"] = b"not wanted"
        made[file_name] = zipped(members)
    return made


class Server(http.server.ThreadingHTTPServer):
    """Serves ``files`` under /; each request is written to ``log`` as (method, path, Range or None)."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/data"
        self.files: dict[str, bytes] = {}
        self.stamp = '"first"'
        self.ranges = True  # whether it knows Range
        self.obeys_if_range = True
        self.piece = 1_000_000  # at most so many bytes of a range at once
        self.cuts: list[int] = []  # bytes after which each of the next answers breaks off
        self.failures: list[int] = []  # status codes of the next answers
        self.log: list[tuple[str, str, str | None]] = []
        self.kaggle_answer: tuple[int, dict] | None = None


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *args: object) -> None:
        pass

    def answer(self, code: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body[: self.server.cuts.pop(0)] if self.server.cuts else body)

    def do_GET(self) -> None:
        path, asked = urllib.parse.urlsplit(self.path).path, self.headers["Range"]
        self.server.log.append(("GET", path, asked))
        if self.server.failures:
            return self.answer(self.server.failures.pop(0))
        body = self.server.files.get(path.rpartition("/")[2])
        if body is None:
            return self.answer(404)
        stamp = {"ETag": self.server.stamp} if self.server.stamp else {}
        same = self.headers["If-Range"] == self.server.stamp or not self.server.obeys_if_range
        if not (asked and self.server.ranges and same):
            return self.answer(200, body, **stamp)
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
        if start >= len(body):
            return self.answer(416, b"out of range", Content_Range=f"bytes */{len(body)}")
        end = min(start + self.server.piece, len(body))
        return self.answer(206, body[start:end], Content_Range=f"bytes {start}-{end - 1}/{len(body)}", **stamp)

    def do_POST(self) -> None:
        """Kaggle's API: one call is known, and it sends the client on to the archive."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.log.append(("POST", urllib.parse.urlsplit(self.path).path, asked.get("competitionName")))
        if self.server.kaggle_answer is None:
            return self.answer(302, Location=f"{self.server.url}/archive.zip?signature=1")
        code, said = self.server.kaggle_answer
        return self.answer(code, json.dumps(said).encode(), Content_Type="application/json")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(downloads, "ISIC2016", SMALL)
    monkeypatch.setattr(downloads, "WAITS", (0, 0, 0))
    monkeypatch.setattr(downloads, "CHUNK", 100)
    with Server() as server:
        monkeypatch.setattr(downloads, "ISIC_URL", server.url)
        server.files = archives()
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def expected() -> dict[str, bytes]:
    """What the tree must hold, byte for byte."""
    found = {}
    for role, (file_name, _) in SMALL.items():
        with zipfile.ZipFile(io.BytesIO(archives()[file_name])) as pack:
            names = [name for name in pack.namelist() if re.search(r"/ISIC_\d+(_Segmentation\.png|\.jpg)$", name)]
            found |= {f"{role}/{Path(name).name}": pack.read(name) for name in names}
    return found


def test_the_published_archives_are_the_four_of_the_challenge() -> None:
    assert {role: count for role, (_, count) in downloads.ISIC2016.items()} == {
        "Train/Image": 900,
        "Train/Mask": 900,
        "Test/Image": 379,
        "Test/Mask": 379,
    }
    assert all(name.startswith("ISBI2016_ISIC_Part1_") for name, _ in downloads.ISIC2016.values())


def test_a_download_makes_the_tree_and_leaves_nothing_else(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "data"
    assert get_data("isic2016", folder) == folder
    assert files_in(folder) == expected()
    assert sorted(path.name for path in folder.iterdir()) == ["Test", "Train"]


def test_other_files_in_the_folder_stay(server: Server, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    get_data("isic2016", tmp_path)
    assert files_in(tmp_path) == {**expected(), "README.md": b"mine"}
    assert server.log[0][1] == "/data/train_images.zip"


def test_a_whole_tree_is_returned_without_a_single_request(server: Server, tmp_path: Path) -> None:
    get_data("isic2016", tmp_path)
    server.log.clear()
    assert get_data("isic2016", tmp_path) == tmp_path
    assert server.log == []


def test_without_a_terminal_there_is_one_line_per_archive(server: Server, tmp_path: Path, capfd) -> None:
    get_data("isic2016", tmp_path)
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [f"fetching {server.url}/{name}" for name, _ in SMALL.values()]


def test_a_connection_that_breaks_half_way_is_taken_up_at_the_same_byte(server: Server, tmp_path: Path) -> None:
    server.cuts = [30_000]
    get_data("isic2016", tmp_path)
    assert [asked for _, path, asked in server.log if path.endswith("train_images.zip")] == [None, "bytes=30000-"]
    assert files_in(tmp_path) == expected()


def test_the_next_call_takes_up_what_a_failed_one_left(server: Server, tmp_path: Path) -> None:
    server.cuts = [100, 200, 300]
    with pytest.raises(InputError, match=rf"{server.url}/train_images.zip .*ChunkedEncodingError.* resumes"):
        get_data("isic2016", tmp_path)
    assert not (tmp_path / "Train").exists()
    server.log.clear()
    get_data("isic2016", tmp_path)
    assert server.log[0] == ("GET", "/data/train_images.zip", "bytes=600-")
    assert files_in(tmp_path) == expected()


def test_a_range_that_comes_in_pieces_is_asked_for_until_all_is_there(server: Server, tmp_path: Path) -> None:
    server.cuts, server.piece = [10_000], 40_000
    get_data("isic2016", tmp_path)
    assert [asked for _, _, asked in server.log[:3]] == [None, "bytes=10000-", "bytes=50000-"]
    assert files_in(tmp_path) == expected()


def leave_a_part(server: Server, folder: Path, size: int) -> None:
    server.cuts = [size, 0, 0]
    with pytest.raises(InputError, match="train_images"):
        get_data("isic2016", folder)
    server.log.clear()


def change_the_archive(server: Server) -> None:
    """Other bytes in the same length: only the stamp tells."""
    old = server.files["train_images.zip"]
    with zipfile.ZipFile(io.BytesIO(old)) as pack:
        members = {name: pack.read(name) for name in pack.namelist()}
    first = next(iter(members))
    server.files["train_images.zip"] = zipped({**members, first: noise(99)})
    server.stamp = '"second"'
    assert len(server.files["train_images.zip"]) == len(old)


@pytest.mark.parametrize("obeys_if_range", [True, False])
def test_an_archive_that_changed_meanwhile_starts_anew(server: Server, tmp_path: Path, obeys_if_range: bool) -> None:
    leave_a_part(server, tmp_path, 30_000)
    change_the_archive(server)
    server.obeys_if_range = obeys_if_range
    get_data("isic2016", tmp_path)
    assert (tmp_path / "Train/Image/ISIC_0000000.jpg").read_bytes() == noise(99)
    assert files_in(tmp_path).keys() == expected().keys()


def test_a_server_that_knows_no_ranges_starts_anew(server: Server, tmp_path: Path) -> None:
    leave_a_part(server, tmp_path, 30_000)
    server.ranges = False
    get_data("isic2016", tmp_path)
    assert server.log[0][2] == "bytes=30000-"
    assert files_in(tmp_path) == expected()


@pytest.mark.parametrize("stamp", ["", 'W/"weak"'])
def test_without_a_stamp_that_proves_it_the_same_no_range_is_asked(server: Server, tmp_path: Path, stamp: str) -> None:
    server.stamp, server.cuts = stamp, [30_000]
    get_data("isic2016", tmp_path)
    assert {asked for _, _, asked in server.log} == {None}
    assert files_in(tmp_path) == expected()


@pytest.mark.parametrize("surplus", [0, 7])
def test_a_part_that_is_whole_or_too_long_is_settled_by_a_416(server: Server, tmp_path: Path, surplus: int) -> None:
    leave_a_part(server, tmp_path, 100)
    part = tmp_path / ".download" / "train_images.zip.part"
    part.write_bytes(server.files["train_images.zip"] + b"x" * surplus)
    get_data("isic2016", tmp_path)
    requests_for_it = [asked for _, path, asked in server.log if path.endswith("train_images.zip")]
    assert len(requests_for_it) == (2 if surplus else 1)
    assert files_in(tmp_path) == expected()


def test_an_overloaded_server_is_asked_again_and_then_named(server: Server, tmp_path: Path) -> None:
    server.failures = [503, 429]
    get_data("isic2016", tmp_path / "a")
    server.failures = [503, 503, 503]
    with pytest.raises(InputError, match=r"train_images\.zip could not be fetched \(503 Service Unavailable\)"):
        get_data("isic2016", tmp_path / "b")


def test_a_404_names_the_address_and_is_not_asked_again(server: Server, tmp_path: Path) -> None:
    del server.files["test_images.zip"]
    with pytest.raises(InputError, match=rf"{server.url}/test_images.zip answers 404 Not Found: see https://challenge"):
        get_data("isic2016", tmp_path)
    assert [path for _, path, _ in server.log].count("/data/test_images.zip") == 1


@pytest.mark.usefixtures("server")
def test_no_server_names_the_address_and_the_cure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(downloads, "ISIC_URL", "http://127.0.0.1:9")
    with pytest.raises(InputError, match=r"http://127\.0\.0\.1:9/train_images\.zip could not be .*: run the same"):
        get_data("isic2016", tmp_path)


def test_a_truncated_archive_is_named_and_fetched_anew_by_the_next_call(server: Server, tmp_path: Path) -> None:
    whole = server.files["train_masks.zip"]
    server.files["train_masks.zip"] = whole[:-500]
    with pytest.raises(InputError, match=r"train_masks\.zip cannot be unpacked \(File is not a zip file\): run again"):
        get_data("isic2016", tmp_path)
    assert not (tmp_path / "Train").exists()
    server.files["train_masks.zip"] = whole
    server.log.clear()
    get_data("isic2016", tmp_path)
    assert [path for _, path, _ in server.log] == ["/data/train_masks.zip"]
    assert files_in(tmp_path) == expected()


def test_a_flipped_byte_is_found(server: Server, tmp_path: Path) -> None:
    body = bytearray(server.files["train_masks.zip"])
    body[10_000] ^= 255
    server.files["train_masks.zip"] = bytes(body)
    with pytest.raises(InputError, match=r"train_masks\.zip cannot be unpacked"):
        get_data("isic2016", tmp_path)
    assert not (tmp_path / "Train").exists()


def link(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    member.create_system, member.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return member


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        ("../../evil.png", "leads outside"),
        ("a/../../../evil.png", "leads outside"),
        ("..\\..\\evil.png", "leads outside"),
        ("/evil.png", "leads outside"),
        ("C:\\evil.png", "leads outside"),
        ("C:evil.png", "leads outside"),
        (link("evil.png"), "is a link"),
    ],
)
@pytest.mark.parametrize("flat", [True, False])
def test_an_archive_that_reaches_outside_is_refused_and_writes_nothing(tmp_path: Path, member, reason, flat) -> None:
    archive, folder = tmp_path / "a" / "evil.zip", tmp_path / "a" / "b" / "out"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as pack:
        pack.writestr("good.png", noise(1))
        pack.writestr(member, b"evil")
    with pytest.raises(InputError, match=f"evil.zip cannot be unpacked .*evil.png' {reason}"):
        downloads._unpack(archive, folder, flat=flat)
    assert files_in(tmp_path) == {}


def test_a_zip_bomb_is_refused_before_it_grows_and_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb, large = tmp_path / "bomb.zip", tmp_path / "large.zip"
    bomb.write_bytes(zipped({"zeros.bmp": bytes(5_000_000)}))
    large.write_bytes(zipped({"noise.bmp": noise(1)}))
    with pytest.raises(
        InputError, match=r"bomb\.zip would fill 5000000 bytes, more than the limit of 200 times its own"
    ):
        downloads._unpack(bomb, tmp_path / "out", flat=True)
    monkeypatch.setattr(downloads, "MAX_BYTES", 19_999)
    with pytest.raises(
        InputError, match=r"would fill 20000 bytes, more than the limit of 1.9999e-05 GB; unpack by hand"
    ):
        downloads._unpack(large, tmp_path / "out", flat=True)
    assert sorted(files_in(tmp_path)) == ["bomb.zip", "large.zip"]


def test_what_is_not_unpacked_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zipped({"volumes.npz": bytes(9_000_000), "noise.bmp": noise(1)}))
    downloads._unpack(tmp_path / "a.zip", tmp_path / "out", flat=True)
    assert sorted(files_in(tmp_path / "out")) == ["noise.bmp"]


def test_a_mask_without_its_image_or_an_image_without_its_mask_is_named(server: Server, tmp_path: Path) -> None:
    good = server.files["train_masks.zip"]
    masks = {f"m/ISIC_{i:07}_Segmentation.png": noise(i) for i in (0, 2)}
    server.files["train_masks.zip"] = zipped(masks)
    with pytest.raises(InputError, match="Train/Mask lacks 1 of its files, that of ISIC_0000001 among them: delete"):
        get_data("isic2016", tmp_path / "a")
    assert not (tmp_path / "a" / "Train").exists()
    server.files |= {"train_masks.zip": good, "test_images.zip": zipped({"i/ISIC_0000500.jpg": noise(1)})}
    with pytest.raises(InputError, match="Test/Image lacks 1 of its files, that of ISIC_0000501"):
        get_data("isic2016", tmp_path / "b")


def test_fewer_pairs_than_published_are_counted(server: Server, tmp_path: Path) -> None:
    server.files["test_images.zip"] = zipped({"i/ISIC_0000500.jpg": noise(1)})
    server.files["test_masks.zip"] = zipped({"m/ISIC_0000500_Segmentation.png": noise(2)})
    with pytest.raises(InputError, match="Test/Image holds 1 images instead of 2"):
        get_data("isic2016", tmp_path)


def test_part_of_another_tree_is_neither_touched_nor_downloaded_over(server: Server, tmp_path: Path) -> None:
    (tmp_path / "Train" / "Image").mkdir(parents=True)
    (tmp_path / "Train" / "Image" / "mine.jpg").write_bytes(b"mine")
    with pytest.raises(InputError, match="holds a tree, but Train/Image holds 1 images instead of 3: move it"):
        get_data("isic2016", tmp_path)
    assert server.log == []
    assert files_in(tmp_path) == {"Train/Image/mine.jpg": b"mine"}


def test_a_folder_that_cannot_be_made_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    with pytest.raises(InputError, match=r"file/data cannot be written .*name another folder"):
        get_data("isic2016", tmp_path / "file" / "data")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("isic2106", "there is no data set 'isic2106'; did you mean isic2016?"),
        ("ISIC2016", "did you mean isic2016?"),
        ("kagle:abc", "did you mean kaggle:SLUG?"),
        ("kaggle", "did you mean kaggle:SLUG?"),
        ("coco", "there is no data set 'coco'; name isic2016 or kaggle:SLUG, the last"),
        ("kaggle:--help", "'--help' is no competition's slug"),
        ("kaggle:../x", "is no competition's slug"),
        ("kaggle:https://www.kaggle.com/c/abc", "give the last part of its address"),
    ],
)
def test_an_unknown_name_is_answered_with_the_known_ones(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        get_data(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_importing_the_module_reads_and_prints_nothing() -> None:
    code = "import seglib.downloads, sys; sys.exit('kaggle' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=Path(__file__).parents[1])
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_missing_client_is_named_with_its_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "six" else object())
    with pytest.raises(InputError, match="'six' is missing: pip install kaggle six"):
        get_data(f"kaggle:{SLUG}", tmp_path)


@pytest.fixture
def kaggle(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """Kaggle's real client in its local environment, which it reaches through a proxy: the server of these tests."""
    pytest.importorskip("six")
    if importlib.util.find_spec("kaggle") is None:  # importing it would look for credentials
        pytest.skip("kaggle is not installed")
    for name in [name for name in os.environ if name.startswith("KAGGLE")]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    for name, value in {"HOME": home, "TMPDIR": home, "no_proxy": "127.0.0.1"}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("http_proxy", server.url.removesuffix("/data"))
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")
    monkeypatch.setenv("KAGGLE_USERNAME", "tester")
    monkeypatch.setenv("KAGGLE_KEY", "0")
    return server


COMPETITION = {
    "a/train/images/1.png": noise(1),
    "a/train/images/2.PNG": noise(2),
    "a/train/masks/1.png": noise(3),
    "a/train/masks/2.png": noise(4),
    "a/Test/Test/Images/3.jpg": noise(5),
    "a/notes/plot.png": noise(6),
    "a/sample_submission.csv": b"id,rle\n3,\n",
    "a/train.csv": b"not wanted",
}
LAID_OUT = {
    "Train/Image/1.png": noise(1),
    "Train/Image/2.PNG": noise(2),
    "Train/Mask/1.png": noise(3),
    "Train/Mask/2.png": noise(4),
    "Test/Image/3.jpg": noise(5),
    "sample_submission.csv": b"id,rle\n3,\n",
}


def test_the_real_client_brings_a_competition_and_its_tree_is_laid_out(kaggle: Server, tmp_path: Path) -> None:
    kaggle.files["archive.zip"] = zipped(COMPETITION)
    folder = tmp_path / "data"
    assert get_data(f"kaggle:{SLUG}", folder) == folder
    assert kaggle.log[0] == ("POST", "/api/v1/competitions.CompetitionApiService/DownloadDataFiles", SLUG)
    assert files_in(folder) == LAID_OUT
    assert not (folder / ".download").exists()
    kaggle.log.clear()
    get_data(f"kaggle:{SLUG}", folder)
    assert kaggle.log == []


def test_what_the_client_says_about_unaccepted_rules_comes_through(kaggle: Server, tmp_path: Path) -> None:
    kaggle.kaggle_answer = 403, {"code": 403, "message": "You must accept this competition's rules"}
    with pytest.raises(InputError, match=rf"competitions/{SLUG}/rules[\s\S]*You must accept this competition's rules"):
        get_data(f"kaggle:{SLUG}", tmp_path / "data")


def test_what_the_client_says_about_missing_credentials_comes_through_once(
    kaggle: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KAGGLE_USERNAME")
    monkeypatch.delenv("KAGGLE_KEY")
    with pytest.raises(InputError, match=r"Authentication required[\s\S]*export KAGGLE_API_TOKEN") as caught:
        get_data(f"kaggle:{SLUG}", tmp_path / "data")
    assert str(caught.value).count("Authentication required") == 1
    assert kaggle.log == []


def test_a_client_that_ends_well_but_brings_no_zip_is_not_believed(kaggle: Server, tmp_path: Path) -> None:
    kaggle.files["archive.zip"] = b"<html>please log in</html>"
    with pytest.raises(InputError, match=f"brought no archive of '{SLUG}'"):
        get_data(f"kaggle:{SLUG}", tmp_path / "data")
    assert files_in(tmp_path / "data") == {}


@pytest.mark.parametrize(
    "names",
    [
        ["Train/Image/1.png", "Train/Mask/1.png", "Test/Image/2.png", "Test/Mask/2.png"],
        ["x/TRAINING/IMAGES/1.png", "x/TRAINING/MASKS/1.png", "x/TESTING/IMAGES/2.png", "x/TESTING/MASKS/2.png"],
        ["train/train/image/1.png", "train/train/mask/1.png", "test/test/image/2.png", "test/test/mask/2.png"],
        ["a/test/Train/Images/Images/1.png", "b/train/Mask/1.png", "test/a/Image/2.png", "test/a/Mask/2.png"],
    ],
)
def test_the_tree_is_found_in_any_nesting_and_spelling(tmp_path: Path, names: list[str]) -> None:
    for number, name in enumerate(names):
        path = tmp_path / "raw" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(bytes([number]))
    downloads._sort_out(tmp_path / "raw", tmp_path / "tree")
    wanted = ["Train/Image/1.png", "Train/Mask/1.png", "Test/Image/2.png", "Test/Mask/2.png"]
    assert files_in(tmp_path / "tree") == {name: bytes([number]) for number, name in enumerate(wanted)}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["pictures/1.png"], "0 folders like Train/Image among pictures: lay out by hand"),
        (["Train/Image/1.png", "Test/Image/2.png"], "0 folders like Train/Mask among Test/Image, Train/Image"),
        (["a/Train/Image/1.png", "b/Train/Image/1.png"], "2 folders like Train/Image among a/Train/Image, b/Train/Im"),
        ([], "0 folders like Train/Image among no folder at all"),
    ],
)
def test_an_archive_without_one_clear_tree_is_described(tmp_path: Path, names: list[str], message: str) -> None:
    for name in names:
        path = tmp_path / "raw" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")
    with pytest.raises(InputError, match=message):
        downloads._sort_out(tmp_path / "raw", tmp_path / "tree")
    assert sorted(files_in(tmp_path / "raw")) == sorted(names)
