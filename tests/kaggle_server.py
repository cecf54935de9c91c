"""A stand-in for Kaggle on the loopback, as far as data sets and kernels go; the real client takes it for Kaggle."""

import http.server
import io
import itertools
import json
import threading
import urllib.parse
import zipfile
from pathlib import Path

API = "/api/v1/"


class Kaggle(http.server.ThreadingHTTPServer):
    """What the client sent is in ``datasets``, ``files`` and ``kernels``; what is answered can be changed."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.calls: list[str] = []  # names of the calls, in order
        self.datasets: dict[str, dict] = {}  # the last request that made or changed each data set
        self.versions: dict[str, int] = {}
        self.kernels: dict[str, dict] = {}  # the last request that saved each kernel
        self.uploads: dict[str, tuple[str, bytes]] = {}  # token -> name and bytes
        self.outputs: dict[str, dict[str, bytes]] = {}  # of kernels, by slug
        self.seen_versions: list[int] = []  # of data sets, answered first, as the new one may take its time to show
        self.dataset_states: list[str] = ["READY"]  # of data sets there are; the last one lasts
        self.kernel_states: list[str] = ["RUNNING", "COMPLETE"]
        self.kernel_answer: dict = {}  # added to the answer to a kernel
        self.dataset_answer: dict = {}  # added to the answer to a data set
        self.codes: dict[str, int] = {}  # calls that fail, and how
        self.tokens = itertools.count(1)

    def __enter__(self) -> "Kaggle":
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def environment(self, home: Path) -> dict[str, str]:
        """Variables with which the client talks to this server: a proxy for its own local environment."""
        names = {"HOME": str(home), "TMPDIR": str(home), "KAGGLE_USERNAME": "tester", "KAGGLE_KEY": "0"}
        names |= {"KAGGLE_API_ENVIRONMENT": "LOCALHOST", "http_proxy": self.url, "no_proxy": "127.0.0.1"}
        return names

    def mount_dataset(self, identifier: str, folder: Path) -> None:
        """Lay a data set out as kernels see it: its files, its zips unpacked."""
        folder.mkdir(parents=True)
        for entry in self.datasets[identifier]["files"]:
            name, content = self.uploads[entry["token"]]
            if name.endswith(".zip"):
                with zipfile.ZipFile(io.BytesIO(content)) as pack:
                    pack.extractall(folder / name.removesuffix(".zip"))
            else:
                (folder / name).write_bytes(content)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Kaggle

    def log_message(self, *args: object) -> None:
        pass

    def answer(self, said: object, code: int = 200, kind: str = "application/json") -> None:
        body = said if isinstance(said, bytes) else json.dumps(said).encode()
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), "Content-Type": kind}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def read(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"] or 0))

    def do_PUT(self) -> None:
        token = self.path.rpartition("/")[2]
        name, _ = self.server.uploads[token]
        self.server.uploads[token] = (name, self.read())
        self.answer({})

    def do_GET(self) -> None:
        slug, _, name = self.path.removeprefix("/files/").partition("/")
        self.answer(self.server.outputs[slug][urllib.parse.unquote(name)], kind="application/octet-stream")

    def do_POST(self) -> None:
        service = urllib.parse.urlsplit(self.path).path.removeprefix(API)
        name, asked = service.partition("/")[2], json.loads(self.read() or b"{}")
        self.server.calls.append(name)
        if name in self.server.codes:
            code = self.server.codes[name]
            return self.answer({"code": code, "message": f"{name} is refused"}, code)
        return getattr(self, f"on_{name}")(asked)

    def on_GetDatasetStatus(self, asked: dict) -> None:  # noqa: N802
        server = self.server
        if f"{asked['ownerSlug']}/{asked['datasetSlug']}" not in server.datasets:
            return self.answer({"code": 404, "message": "Dataset not found"}, 404)
        states = server.dataset_states
        return self.answer({"status": states.pop(0) if len(states) > 1 else states[0]})

    def on_GetDataset(self, asked: dict) -> None:  # noqa: N802
        identifier = f"{asked['ownerSlug']}/{asked['datasetSlug']}"
        if identifier not in self.server.datasets:
            return self.answer({"code": 404, "message": "Dataset not found"}, 404)
        seen = self.server.seen_versions
        return self.answer({"currentVersionNumber": seen.pop(0) if seen else self.server.versions[identifier]})

    def on_StartBlobUpload(self, asked: dict) -> None:  # noqa: N802
        token = f"token{next(self.server.tokens)}"
        self.server.uploads[token] = (asked["name"], b"")
        self.answer({"token": token, "createUrl": f"{self.server.url}/upload/{token}"})

    def on_CreateDataset(self, asked: dict) -> None:  # noqa: N802
        self.keep(f"{asked['ownerSlug']}/{asked['slug']}", asked)

    def on_CreateDatasetVersion(self, asked: dict) -> None:  # noqa: N802
        self.keep(f"{asked['ownerSlug']}/{asked['datasetSlug']}", asked["body"])

    def keep(self, identifier: str, asked: dict) -> None:
        answer = {
            "url": f"https://www.kaggle.com/{identifier}",
            "status": "ok",
            "error": "",
        } | self.server.dataset_answer
        if answer["status"] == "ok":
            self.server.datasets[identifier] = asked
            self.server.versions[identifier] = self.server.versions.get(identifier, 0) + 1
        self.answer(answer)

    def on_SaveKernel(self, asked: dict) -> None:  # noqa: N802
        answer = {"ref": f"/code/{asked['slug']}", "url": f"https://www.kaggle.com/code/{asked['slug']}"}
        answer |= {"versionNumber": 1, "kernelId": 1} | self.server.kernel_answer
        if not answer.get("error"):
            self.server.kernels[asked["slug"]] = asked
        self.answer(answer)

    def on_GetKernelSessionStatus(self, asked: dict) -> None:  # noqa: N802
        if f"{asked['userName']}/{asked['kernelSlug']}" not in self.server.kernels:
            return self.answer({"code": 404, "message": "Kernel not found"}, 404)
        states = self.server.kernel_states
        state = states.pop(0) if len(states) > 1 else states[0]
        return self.answer({"status": state} | ({"failureMessage": "out of luck"} if state == "ERROR" else {}))

    def on_ListKernelSessionOutput(self, asked: dict) -> None:  # noqa: N802
        slug = asked["kernelSlug"]
        names = self.server.outputs.get(slug, {})
        files = [{"url": f"{self.server.url}/files/{slug}/{name}", "fileName": name} for name in names]
        self.answer({"files": files, "log": json.dumps([{"stream_name": "stdout", "time": 1.0, "data": "done\n"}])})
