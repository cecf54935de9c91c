"""Archives on the net -> the data tree: ``Train/Image``, ``Train/Mask``, ``Test/Image``, ``Test/Mask`` where public.

Two sources: the public archives of ISIC 2016, over HTTP, and Kaggle competitions laid out alike, through Kaggle's own
client. All is fetched and unpacked in ``.download`` beside the tree and moved into place last: a tree is there whole or
not at all, and a broken download goes on where it stopped.
"""

import difflib
import re
import shutil
import stat
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PureWindowsPath

import requests
from tqdm import tqdm

from seglib.errors import InputError
from seglib.images.suffixes import is_image_name, split_suffix
from seglib.kaggle.client import require_client

ISIC_URL = "https://isic-challenge-data.s3.amazonaws.com/2016"
ISIC_PAGE = "https://challenge.isic-archive.com/landing/2016/37"
NEEDED = ("Train/Image", "Train/Mask", "Test/Image")
WAITS = (0, 1, 3, 10)  # seconds before each try
TIMEOUT = (10, 60)  # seconds to connect, seconds without a byte
CHUNK = 1 << 14  # bytes; a broken connection loses the chunk that was under way
MAX_BYTES = 20_000_000_000  # unpacked
MAX_RATIO = 200  # unpacked / packed; photographs stay near 1, a zip bomb starts at 1000
# ".../Train/Images/1.png" in any case, also with a folder repeated, as archives made of archives have it
ROLE = re.compile(r"(?:.*/)?(train|test)(?:ing|s)?/(?:.*/)?(image|mask)s?/[^/]+", re.IGNORECASE)
ISIC2016 = {  # folder of the tree: the archive that fills it, and how many images that holds
    "Train/Image": ("ISBI2016_ISIC_Part1_Training_Data.zip", 900),
    "Train/Mask": ("ISBI2016_ISIC_Part1_Training_GroundTruth.zip", 900),
    "Test/Image": ("ISBI2016_ISIC_Part1_Test_Data.zip", 379),
    "Test/Mask": ("ISBI2016_ISIC_Part1_Test_GroundTruth.zip", 379),
}


def get_data(name: str, folder: Path) -> Path:
    """Fetch a data set and lay it out as the tree every other module reads.

    A folder that holds a whole tree is returned as it is, without any network. What a broken download left in
    ``folder/.download`` is used by the next call.

    Args:
        name: ``isic2016``, or ``kaggle:SLUG`` with the last part of the competition's address.
        folder: Where the tree goes; made when missing. Other files in it are left alone.

    Returns:
        ``folder``, which now holds ``Train/Image``, ``Train/Mask``, ``Test/Image`` and, where public, ``Test/Mask``.

    Raises:
        InputError: Unknown name; part of a tree in ``folder``; a failing network, client or disk; a bad archive.
    """
    folder, slug = Path(folder), _slug(name)
    try:
        problem = _problem(folder, slug)
        if problem is None:
            return folder
        if (folder / "Train").exists() or (folder / "Test").exists():
            raise InputError(f"{folder} holds a tree, but {problem}: move it away or name another folder")
        _fill(folder, slug)
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error}): free space or name another folder") from error
    return folder


def _slug(name: str) -> str | None:
    """The competition's slug, or None for isic2016; every other name is refused."""
    kind, _, slug = name.partition(":")
    if kind == "kaggle" and slug:
        if not re.fullmatch(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*", slug):
            raise InputError(f"{slug!r} is no competition's slug: give the last part of its address")
    elif name != "isic2016":
        near = difflib.get_close_matches(kind.lower(), ("isic2016", "kaggle"), n=1)
        known = "name isic2016 or kaggle:SLUG, the last part of a competition's address"
        hint = f"did you mean {near[0].replace('kaggle', 'kaggle:SLUG')}?" if near else known
        raise InputError(f"there is no data set {name!r}; {hint}")
    return slug or None


def _problem(tree: Path, slug: str | None) -> str | None:
    """What keeps a tree from being whole, in words; None when it is whole."""
    if slug is not None:
        return next((f"{role} holds no image" for role in NEEDED if not _ids(tree / role)), None)
    for role, (_, count) in ISIC2016.items():
        ids, part = _ids(tree / role), tree / role.partition("/")[0]
        lost = (_ids(part / "Image") | _ids(part / "Mask")) - ids
        if lost:
            return f"{role} lacks {len(lost)} of its files, that of {min(lost)} among them"
        if len(ids) != count:
            return f"{role} holds {len(ids)} images instead of {count}"
    return None


def _ids(folder: Path) -> set[str]:
    stems = (split_suffix(path.name)[0] for path in folder.glob("*") if is_image_name(path.name))
    return {re.sub("_segmentation$", "", stem, flags=re.IGNORECASE) for stem in stems}


def _fill(folder: Path, slug: str | None) -> None:
    """Fetch and unpack beside the tree; move into place when all is well."""
    work = folder / ".download"  # inside the folder, so that a move never crosses disks and git ignores it
    tree, raw = work / "new" / "tree", work / "new" / "raw"
    shutil.rmtree(work / "new", ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    if slug is not None:
        _unpack(_from_kaggle(slug, work), raw, flat=False)
        _sort_out(raw, tree)
    else:
        archives = {role: _fetch(f"{ISIC_URL}/{name}", work) for role, (name, _) in ISIC2016.items()}
        for role, archive in archives.items():
            _unpack(archive, tree / role, flat=True)
    problem = _problem(tree, slug)
    if problem:
        raise InputError(f"the archives are not as published, {problem}: delete {work} and run again")
    for path in sorted(tree.iterdir()):
        path.replace(folder / path.name)
    shutil.rmtree(work, ignore_errors=True)


def _fetch(url: str, work: Path) -> Path:
    """The file at ``url``, in ``work``; it bears its name only when it is whole."""
    archive = work / url.rpartition("/")[2]
    if archive.exists():
        return archive
    if not sys.stderr.isatty():  # on a terminal the bar tells it
        print(f"fetching {url}", file=sys.stderr)
    for wait in WAITS:
        time.sleep(wait)
        try:
            return _stream(url, archive.with_name(archive.name + ".part")).replace(archive)
        except requests.RequestException as error:
            failure = error
    reason = str(failure) if isinstance(failure, requests.HTTPError) else type(failure).__name__
    raise InputError(f"{url} could not be fetched ({reason}): run the same command again, it resumes") from failure


def _stream(url: str, part: Path) -> Path:
    """Append what is missing to ``part``; a RequestException means that another try may help."""
    stamp, asked = part.with_suffix(".stamp"), {}
    if part.exists() and stamp.exists() and stamp.read_text():  # else nothing shows that what lies there is the same
        asked = {"Range": f"bytes={part.stat().st_size}-", "If-Range": stamp.read_text()}
    headers = {"Accept-Encoding": "identity", **asked}  # so that Content-Length counts the bytes that are written
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        start, total = _plan(response, part, asked)
        bar = tqdm(initial=start, total=total, unit="B", unit_scale=True, desc=part.stem, disable=None)
        with part.open("ab") as file, bar:
            for chunk in response.iter_content(CHUNK) if start != total else ():
                file.write(chunk)
                bar.update(len(chunk))
    if total is not None and part.stat().st_size != total:
        raise requests.ConnectionError(f"{part.stat().st_size} of {total} bytes came")
    return part


def _plan(response: requests.Response, part: Path, asked: dict[str, str]) -> tuple[int, int | None]:
    """How many bytes are there and how many there will be, after making ``part`` ready to be appended to."""
    if response.status_code in (206, 416) and asked:
        size, where = part.stat().st_size, response.headers.get("Content-Range", "")
        fits = re.fullmatch(rf"bytes (?:{size}-\d+/(\d+)|\*/{size})", where)  # "*/size": all is there already
        if fits and _stamp(response) in ("", asked["If-Range"]):  # some servers overlook If-Range
            return size, int(fits[1] or size)
        part.unlink()
        raise requests.ConnectionError("the rest does not fit what came before")
    if response.status_code != 200:
        _refuse(response)
    part.unlink(missing_ok=True)  # before the new stamp: old bytes must never meet it
    part.with_suffix(".stamp").write_text(_stamp(response))
    length = response.headers.get("Content-Length")
    return 0, int(length) if length else None


def _refuse(response: requests.Response) -> None:
    said = f"{response.status_code} {response.reason}"
    if response.status_code >= 500 or response.status_code in (408, 416, 429):
        raise requests.HTTPError(said)
    raise InputError(f"{response.url} answers {said}: see {ISIC_PAGE} for where the archive is now")


def _stamp(response: requests.Response) -> str:
    etag = response.headers.get("ETag", "W/")
    return response.headers.get("Last-Modified", "") if etag.startswith("W/") else etag  # a weak one cannot resume


def _unpack(archive: Path, folder: Path, *, flat: bool) -> None:
    """Write the images of an archive under ``folder``, with or without the folders they lie in."""
    try:
        with zipfile.ZipFile(archive) as pack:
            _refuse_unsafe(pack.infolist())
            wanted = list(filter(_wanted, pack.infolist()))
            _refuse_large(archive, sum(member.file_size for member in wanted))
            for member in wanted:
                parts = PureWindowsPath(member.filename).parts
                target = folder.joinpath(*parts[-1:] if flat else parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                with pack.open(member) as source, target.open("wb") as sink:
                    shutil.copyfileobj(source, sink)
    except InputError:
        raise  # it is a ValueError, too
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
        archive.unlink()  # else the next run would trust it
        raise InputError(f"{archive.name} cannot be unpacked ({error}): run again to fetch it anew") from error


def _refuse_unsafe(members: list[zipfile.ZipInfo]) -> None:
    for member in members:
        path = PureWindowsPath(member.filename)  # knows both kinds of slash, and drives
        if path.drive or path.root or ".." in path.parts:
            raise zipfile.BadZipFile(f"{member.filename!r} leads outside")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise zipfile.BadZipFile(f"{member.filename!r} is a link")


def _refuse_large(archive: Path, size: int) -> None:
    """Refuse images of too many bytes when unpacked; the archive stays, as fetching it anew would change nothing."""
    packed = archive.stat().st_size
    limit = f"{MAX_BYTES / 1e9:g} GB" if size > MAX_BYTES else f"{MAX_RATIO} times its own {packed} bytes"
    if size > MAX_BYTES or size > MAX_RATIO * packed:
        raise InputError(
            f"the images in {archive} would fill {size} bytes, more than the limit of {limit}; unpack by hand what you "
            "need of it, and name that folder"
        )


def _wanted(member: zipfile.ZipInfo) -> bool:
    path = PureWindowsPath(member.filename.lower())
    if not is_image_name(path.name) and path.name != "sample_submission.csv":
        return False
    hidden = any(part.startswith((".", "__macosx")) for part in path.parts)
    return not (hidden or member.is_dir() or "superpixel" in path.name)


def _from_kaggle(slug: str, work: Path) -> Path:
    require_client()
    archive = work / f"{slug}.zip"
    code, words = _run_client(slug, work)
    if code == 0 and zipfile.is_zipfile(archive):
        return archive
    if code == 0:  # so it leaves after some failures too; a broken file would count as whole next time
        archive.unlink(missing_ok=True)
    rules = f"https://www.kaggle.com/competitions/{slug}/rules"
    raise InputError(f"the kaggle client brought no archive of {slug!r} (are its rules accepted, {rules}?):\n{words}")


def _run_client(slug: str, work: Path) -> tuple[int, str]:
    # kaggle.cli runs in every version, kaggle alone in new ones; from work, where no kaggle.py can stand in its way
    command = [sys.executable, "-m", "kaggle.cli", "competitions", "download", "-c", slug, "-p", str(work.resolve())]
    live = sys.stderr.isatty()  # then its bar and its errors show as they come
    command, errors = (command, None) if live else ([*command, "--quiet"], subprocess.STDOUT)
    done = subprocess.run(command, cwd=work, stdout=subprocess.PIPE, stderr=errors, text=True, errors="replace")
    lines = dict.fromkeys(line for line in done.stdout.splitlines() if line)  # it says some things twice
    return done.returncode, "\n".join(lines) or ("what it said is above" if live else "it said nothing")


def _sort_out(raw: Path, tree: Path) -> None:
    """Move unpacked files to the folder of the tree that the names of their own folders speak of."""
    files = {path.relative_to(raw).as_posix(): path for path in sorted(raw.rglob("*")) if path.is_file()}
    roles = {name: f"{found[1]}/{found[2]}".title() for name in files if (found := ROLE.fullmatch(name))}
    for role in (*NEEDED, "Test/Mask"):
        _refuse_unclear(role, {name.rpartition("/")[0] for name in roles if roles[name] == role}, files, raw)
    roles |= {name: "" for name in files if name.lower().endswith("sample_submission.csv")}
    for name, role in roles.items():
        (tree / role).mkdir(parents=True, exist_ok=True)
        files[name].replace(tree / role / files[name].name)


def _refuse_unclear(role: str, homes: set[str], names: Iterable[str], raw: Path) -> None:
    if len(homes) > 1 or (not homes and role in NEEDED):
        there = sorted(homes or {name.rpartition("/")[0] for name in names})
        found = f"{len(homes)} folders like {role} among {', '.join(there[:6]) or 'no folder at all'}"
        raise InputError(f"the archive has {found}: lay out by hand what is in {raw}")
