"""An image with this machine's Python and its boto3, built on the spot: what a program with the SDK needs, and no more.

A child process goes through the calls once, against a server of its own, and then tells which files that took: modules,
and what the kernel has mapped. They lie in the image where they lie here, above busybox.
"""

import importlib.util
import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

from .oci_image import BuiltImage, Entry, build_image, build_layer, busybox_layer, save

SERVICES = ("sts", "ecs", "ssm")  # whose models are in the image
_TIMEOUT_S = 120
_PROBE = r"""
import boto3, datetime, http.server, json, os, sys, threading
class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args): pass
    def answer(self, body, kind):
        self.send_response(200); self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def do_GET(self):
        self.answer(json.dumps({"AccessKeyId": "A", "SecretAccessKey": "S", "Token": "T", "RoleArn": "R",
            "Expiration": "2100-01-01T00:00:00Z"}).encode(), "application/json")
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        if "X-Amz-Target" in self.headers:
            return self.answer(b"{}", "application/x-amz-json-1.1")
        self.answer(b"<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>a</Arn></GetCallerIdentityResult>"
            b"<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></GetCallerIdentityResponse>", "text/xml")
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"
os.environ.update(AWS_CONTAINER_CREDENTIALS_FULL_URI=url + "/v2/credentials/x", AWS_ENDPOINT_URL=url,
    AWS_REGION="us-east-1", AWS_DEFAULT_REGION="us-east-1")
boto3.client("sts").get_caller_identity()
boto3.client("ecs").list_clusters()
try:
    raise boto3.client("sts").exceptions.ClientError({"Error": {"Code": "c", "Message": "m"}}, "o")
except Exception:
    import traceback; traceback.format_exc()
modules = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
maps = {line.split(None, 5)[5].strip() for line in open("/proc/self/maps") if len(line.split(None, 5)) == 6}
print(json.dumps({"files": sorted({*filter(None, modules), *(name for name in maps if name.startswith("/"))}),
    "botocore": os.path.dirname(sys.modules["botocore"].__file__), "boto3": os.path.dirname(boto3.__file__)}))
"""


def python() -> str:
    """The interpreter, in the image as here."""
    return os.path.realpath(sys.executable)


def python_image() -> BuiltImage:
    """Its entry point is the interpreter: a command is `-c` and a program, with boto3 on its path."""
    packages = sysconfig.get_paths()["purelib"]
    environment = {"PYTHONPATH": packages, "PATH": "/usr/bin:/bin", "HOME": "/nowhere"}
    done = subprocess.run(
        [python(), "-B", "-c", _PROBE], capture_output=True, check=True, timeout=_TIMEOUT_S, env=environment
    )
    found = json.loads(done.stdout)
    files = {Path(name) for name in found["files"] if Path(name).is_file()}
    files |= {name for package in (found["botocore"], found["boto3"]) for name in _data(Path(package) / "data")}
    files |= {Path(name) for name in _landmarks()}
    return build_image(
        [busybox_layer(), build_layer(_entries(files))],
        config={
            "Entrypoint": [python(), "-B"],
            "Env": ["PATH=/bin:/usr/bin", f"PYTHONPATH={packages}"],
        },
    )


def _data(directory: Path) -> list[Path]:
    """What belongs to no service, and the models of SERVICES."""
    common = [path for path in directory.iterdir() if path.is_file()]
    return common + [path for name in SERVICES for path in (directory / name).rglob("*") if path.is_file()]


def _landmarks() -> list[str]:
    """By which an interpreter finds its own library, and the loader by the name that programs have it under."""
    library = sysconfig.get_paths()["stdlib"]
    return [f"{os.path.realpath(library)}/os.py"]


def _entries(files: set[Path]) -> list[Entry]:
    """Files under their real names, and the links that lead to them."""
    real = {path.resolve() for path in files}
    links = {path: path.resolve() for path in files if path.resolve() != path and path.is_symlink()}
    for directory in {path.parent for path in real if ".so" in path.name}:
        for name in directory.iterdir():
            if name.is_symlink() and name.resolve() in real:
                links[name] = name.resolve()
    loader = next((path for path in Path("/lib64").glob("ld-linux-*") if path.exists()), None)
    if loader is not None:
        links[loader] = loader.resolve()
        real.add(loader.resolve())
    # /lib and the like are links of the system's root to directories that were filled under their real names.
    for top in ("lib", "lib64"):
        root = Path("/") / top
        if root.is_symlink():
            links = {path: target for path, target in links.items() if path.parts[1] != top}
            links[root] = root.resolve()
            if loader is not None and loader.parts[1] == top:
                links[loader.parent.resolve() / loader.name] = loader.resolve()
    directories = {parent for path in (*real, *links) for parent in path.parents if parent != Path("/")}
    return [
        *(Entry(path=str(path)[1:]) for path in sorted(directories - set(links))),
        *(Entry(path=str(path)[1:], content=path.read_bytes(), mode=0o755) for path in sorted(real)),
        *(Entry(path=str(path)[1:], target=str(target)) for path, target in sorted(links.items()) if path != target),
    ]


def main() -> None:
    """Write it as `boto3:1` into the archive that the argument names, for `neargate image load`."""
    path = sys.argv[1]
    if importlib.util.find_spec("boto3") is None:
        raise SystemExit(f"boto3 is not there; install it with: {sys.executable} -m pip install boto3")
    save(path, "boto3:1", python_image())


if __name__ == "__main__":
    main()
