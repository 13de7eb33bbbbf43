"""No tracked file has the address of a package registry that clients know by default, or of a mirror of one."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# In pieces, so that this file does not contain an address itself.
HOSTS = [
    ("pypi", "org"),
    ("pythonhosted", "org"),
    ("anaconda", "org"),
    ("anaconda", "com"),
    ("npmjs", "org"),
    ("npmjs", "com"),
    ("yarnpkg", "com"),
    ("proxy.golang", "org"),
    ("sum.golang", "org"),
    ("crates", "io"),
    ("rubygems", "org"),
    ("maven.apache", "org"),
    ("maven", "org"),
    ("deb.debian", "org"),
    ("security.debian", "org"),
    ("archive.debian", "org"),
    ("snapshot.debian", "org"),
    ("httpredir.debian", "org"),
    ("archive.ubuntu", "com"),
    ("security.ubuntu", "com"),
    ("ports.ubuntu", "com"),
]
ADDRESS = re.compile(
    rb"(?<![\w-])(?:%s)(?![\w-])" % b"|".join(re.escape(".".join(host)).encode() for host in HOSTS)
    # Mirrors: hosts that call themselves so, Debian by country, Python package indexes unless on this machine.
    + rb"|://mirrors?[.-][\w.-]+"
    + rb"|\bftp\.\w+\.debian\.org"
    + rb"|://(?!127\.0\.0\.1|localhost|\[)[^\s\"'<>]+/simple\b",
    re.IGNORECASE,
)


def addresses(text: bytes) -> list[str]:
    return [found.group().decode(errors="replace") for found in ADDRESS.finditer(text)]


def tracked(root: Path) -> Iterator[Path]:
    run = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True)
    for name in filter(None, run.stdout.split("\0")):
        if (root / name).is_file():
            yield root / name


def named_in(root: Path) -> dict[str, list[str]]:
    found = {str(path.relative_to(root)): addresses(path.read_bytes()) for path in tracked(root)}
    return {name: texts for name, texts in found.items() if texts}


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")
def test_no_file_names_a_package_registry() -> None:
    assert len(list(tracked(ROOT))) > 100
    assert named_in(ROOT) == {}


def test_an_address_in_a_tracked_file_is_found(tmp_path: Path) -> None:
    address = "https://" + ".".join(HOSTS[0]) + "/simple"
    for name in ("Dockerfile", "docs/page.md", "untracked"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"one\nARG INDEX={address}\n")
    (tmp_path / "clean.txt").write_text("pip install uv\n")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "Dockerfile", "docs", "clean.txt"], cwd=tmp_path, check=True)
    assert named_in(tmp_path).keys() == {"Dockerfile", "docs/page.md"}


@pytest.mark.parametrize("host", HOSTS, ids=".".join)
def test_each_registry_is_found_with_and_without_a_scheme(host: tuple[str, str]) -> None:
    name = ".".join(host)
    for text in (name, f"http://{name}/debian", f"https://files.{name}:443", name.upper(), f"index={name},direct"):
        assert addresses(text.encode()), text


@pytest.mark.parametrize(
    "pieces",
    [
        ("https://mirror", ".example.com/debian"),
        ("https://mirrors", ".example.com/pypi/web"),
        ("http://ftp.de", ".debian.org/debian"),
        ("https://packages.example.com/root/pypi", "/simple"),
        ("https://user:password@packages.example.com/root", "/simple/"),
    ],
)
def test_a_mirror_is_found(pieces: tuple[str, str]) -> None:
    assert addresses("".join(pieces).encode())


@pytest.mark.parametrize(
    "text",
    [
        "https://download.pytorch.org/whl/cpu",
        "https://pypi.nvidia.com",
        "nvcr.io/nvidia/tritonserver:25.10-py3",
        "docker.io/library/debian:bookworm-slim",
        "http://127.0.0.1:9/simple",
        "http://localhost:8080/simple",
        "https://www.debian.org/",
        "PyPI's torch brings CUDA; a mirror is named by DEBIAN_MIRROR",
        "https://github.com/owner/simplejson",
    ],
)
def test_what_the_clients_do_not_know_may_be_named(text: str) -> None:
    assert addresses(text.encode()) == []
