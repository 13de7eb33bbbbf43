"""The Dockerfiles: stages, locked packages, no root, no secret, labels; each image can be built by name."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.image import CONTEXT

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    "cpu": "images/cpu/Dockerfile",
    "gpu": "images/gpu/Dockerfile",
    "triton": "images/triton/Dockerfile",
    "triton-gpu": "images/triton/gpu.Dockerfile",
}
# The arguments that a RUN instruction passes to pip or uv.
PACKAGE_INDEX = '${PACKAGE_INDEX:+--index-url "$PACKAGE_INDEX"}'
SECRET = re.compile(r"key|token|secret|password|credential", re.IGNORECASE)


@dataclass(frozen=True)
class Instruction:
    """One instruction and the number of its stage (0: before the first FROM)."""

    name: str
    text: str
    stage: int


def read(image: str) -> list[Instruction]:
    lines = [line for line in (ROOT / FILES[image]).read_text().splitlines() if not line.lstrip().startswith("#")]
    whole = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    instructions, stage = [], 0
    for line in filter(None, whole.splitlines()):
        name, _, text = line.partition(" ")
        stage += name == "FROM"
        instructions.append(Instruction(name, text.strip(), stage))
    return instructions


def last_stage(image: str) -> list[Instruction]:
    instructions = read(image)
    return [item for item in instructions if item.stage == instructions[-1].stage]


def requirements(name: str) -> list[str]:
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    return [line.removesuffix(" \\") for line in lines if line and not line.startswith(("#", "    --hash="))]


@pytest.mark.parametrize("image", FILES)
def test_it_runs_as_a_user_that_is_not_root_and_is_known_by_number(image: str) -> None:
    # From a name Kubernetes cannot tell whether the user is root (runAsNonRoot).
    (user,) = [item.text for item in last_stage(image) if item.name == "USER"]
    assert user == "10001:10001"


@pytest.mark.parametrize("image", FILES)
def test_build_tools_are_not_in_the_image(image: str) -> None:
    instructions = read(image)
    stages = [item.text for item in instructions if item.name == "FROM"]
    assert len(stages) == 3
    assert stages[-1] == "base"
    for item in last_stage(image):
        assert not re.search(r"\b(pip|uv|apt-get)\b", item.text), item
        if item.name in ("COPY", "ADD"):
            assert item.text.startswith("--from=build "), item


@pytest.mark.parametrize("image", FILES)
def test_no_secret_can_get_into_a_layer(image: str) -> None:
    for item in read(image):
        if item.name in ("ARG", "ENV"):
            assert not SECRET.search(item.text), item
        if item.name == "COPY" and "--from" not in item.text:
            assert not item.text.startswith(". "), item


@pytest.mark.parametrize("image", FILES)
def test_whatever_uses_a_package_index_trusts_the_certificates_of_the_build_secret(image: str) -> None:
    asking = [item.text for item in read(image) if item.name == "RUN" and re.search(r"pip install", item.text)]
    assert len(asking) >= 3
    for text in asking:
        assert text.startswith("--mount=type=secret,id=ca "), text
        assert "with-ca " in text, text


@pytest.mark.parametrize("image", FILES)
def test_only_indexes_that_pip_and_uv_do_not_know_have_a_default(image: str) -> None:
    arguments = [item.text for item in read(image) if item.name == "ARG" and "_INDEX" in item.text]
    assert "PACKAGE_INDEX" in arguments
    for text in arguments:
        assert text == "PACKAGE_INDEX" or re.fullmatch(r"(TORCH|TENSORRT)_INDEX=https://\S+", text), text


@pytest.mark.parametrize("image", FILES)
def test_every_install_uses_the_package_index(image: str) -> None:
    runs = [item.text for item in read(image) if item.name == "RUN"]
    installs = [part for text in runs for part in text.split(" && ") if re.search(r"pip install|\$install", part)]
    # The cpu and gpu images keep the repeated part of the command in a variable, which is not an install itself.
    installs = [part for part in installs if not part.startswith("install=")]
    assert len(installs) >= 3
    for part in installs:
        own = ("${index:+--index-url", '--index-url "${TENSORRT_INDEX}"')
        assert PACKAGE_INDEX in part or any(option in part for option in own), part


@pytest.mark.parametrize(
    ("index", "options"), [(None, []), ("", []), ("http://a b", ["--index-url", "http://a b"])]
)
def test_without_a_package_index_no_option_is_passed(index: str | None, options: list[str]) -> None:
    environment = {"PATH": os.environ["PATH"]} | ({} if index is None else {"PACKAGE_INDEX": index})
    script = f"printf '%s\\n' {PACKAGE_INDEX} end"
    run = subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == [*options, "end"]


@pytest.mark.parametrize(
    ("torch", "package", "expected"),
    [("t", "p", "--index-url t"), ("", "p", "--index-url p"), ("", "", ""), ("t", "", "--index-url t")],
)
def test_without_an_index_of_its_own_torch_comes_from_that_of_the_packages(
    torch: str, package: str, expected: str
) -> None:
    (text,) = [item.text for item in read("cpu") if item.name == "RUN" and "TORCH_INDEX" in item.text]
    (assignment,) = [part for part in text.split(" && ") if part.startswith("index=")]
    assert ' && $install ${index:+--index-url "$index"} -r torch.txt' in text
    script = f'{assignment}; echo ${{index:+--index-url "$index"}}'
    environment = {"PATH": os.environ["PATH"], "TORCH_INDEX": torch, "PACKAGE_INDEX": package}
    run = subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == expected


@pytest.mark.parametrize("image", FILES)
def test_packages_are_installed_from_a_lock_and_nothing_else(image: str) -> None:
    for item in read(image):
        for install in re.findall(r"uv pip install[^&;]*", item.text):
            assert "--no-deps" in install, install
        if "/opt/uv/bin/pip install" in item.text:
            assert "--require-hashes" in item.text
    for text in (item.text for item in read(image) if item.name == "COPY" and "requirements/" in item.text):
        for path in text.split()[:-1]:
            assert (ROOT / path).is_file(), path


@pytest.mark.parametrize("lock", ["cpu", "gpu", "serve", "triton", "build", "demo", "dev"])
def test_a_lock_pins_every_package_and_its_files(lock: str) -> None:
    for line in requirements(f"{lock}.txt"):
        assert re.match(r"[\w.-]+(\[[\w,-]+\])?==[\w.+!]+( ;|$)", line), line
    lines = (ROOT / "requirements" / f"{lock}.txt").read_text().splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if not line.startswith("    --hash="):
            assert following.startswith("    --hash=sha256:"), line


def test_images_are_built_with_the_uv_of_the_makefile() -> None:
    (version,) = re.findall(r"^UV_VERSION := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert f"uv=={version}" in requirements("build.txt")


@pytest.mark.parametrize(
    ("image", "lock"), [("cpu", "cpu"), ("gpu", "gpu"), ("triton", "serve"), ("triton-gpu", "serve")]
)
def test_every_image_contains_its_sbom_which_is_checked_against_its_lock(image: str, lock: str) -> None:
    (run,) = [item.text for item in read(image) if "cyclonedx-py environment" in item.text]
    sbom = "/opt/embedtune/sbom.cdx.json"
    assert f"-o {sbom} /opt/embedtune/bin/python" in run
    assert run.endswith(f"python3 images/check_sbom.py {sbom} requirements/{lock}.txt")
    assert any(item.text == "--from=build /opt/embedtune /opt/embedtune" for item in last_stage(image))


def test_one_package_of_a_lock_is_installed_with_its_hashes() -> None:
    (text,) = [item.text for item in read("triton") if "pytriton.txt" in item.text and item.name == "RUN"]
    (program,) = re.findall(r"awk ('[^']+') requirements/triton.txt", text)
    found = subprocess.run(
        f"awk {program} {ROOT}/requirements/triton.txt", shell=True, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert found[0].startswith("nvidia-pytriton==")
    assert len(found) > 1
    assert all(line.startswith("    --hash=sha256:") for line in found[1:])


@pytest.mark.parametrize("image", FILES)
def test_base_image_and_package_index_can_be_chosen(image: str) -> None:
    arguments = {item.text.partition("=")[0] for item in read(image) if item.name == "ARG"}
    assert {"PACKAGE_INDEX", "VERSION"} <= arguments
    assert arguments & {"BASE_IMAGE", "TRITON_IMAGE"}
    assert ("TORCH_INDEX" in arguments) == (image == "cpu")
    # An argument is valid only in the stage that declares it.
    used = {item.stage: set() for item in read(image)}
    for item in read(image):
        names = set(re.findall(r"\$\{?(\w+)", item.text)) & arguments
        used[item.stage] |= {item.text.partition("=")[0]} if item.name == "ARG" else set()
        known = used[item.stage] | (used[0] if item.name == "FROM" else set())
        assert names <= known, item


@pytest.mark.parametrize("image", FILES)
def test_its_labels_describe_it(image: str) -> None:
    (labels,) = [item.text for item in last_stage(image) if item.name == "LABEL"]
    assert f'org.opencontainers.image.title="embedtune {image}"' in labels
    assert 'org.opencontainers.image.version="${VERSION}"' in labels
    assert 'org.opencontainers.image.licenses="Apache-2.0"' in labels


@pytest.mark.parametrize("image", FILES)
def test_a_read_only_root_is_enough(image: str) -> None:
    environment = " ".join(item.text for item in last_stage(image) if item.name == "ENV")
    assert "HOME=/tmp" in environment
    compiled = [item.text for item in read(image) if "--compile-bytecode" in item.text]
    assert compiled


def test_serving_images_contain_no_torch() -> None:
    names = {re.split(r"[=\[ ]", line)[0] for line in requirements("serve.txt")}
    assert names >= {"fastapi", "minio", "onnxruntime", "tokenizers", "tritonclient"}
    assert not names & {"torch", "transformers", "sentence-transformers", "datasets", "faiss-cpu", "pyarrow"}


def test_serving_images_have_the_numpy_that_pytritons_backend_reads() -> None:
    # With numpy 2 its Python backend reads the first byte of a tensor over and over.
    for lock in ("serve.txt", "triton.txt"):
        (numpy,) = [line for line in requirements(lock) if line.startswith("numpy==")]
        assert numpy.startswith("numpy==1."), lock


def test_the_stages_and_the_serving_pods_run_the_same_versions() -> None:
    stages, serving = ({line.split(" ;")[0] for line in requirements(lock)} for lock in ("dev.txt", "serve.txt"))
    differing = {line for line in serving - stages if not line.startswith(("numpy==", "ml-dtypes=="))}
    assert differing == set()


def test_the_build_context_is_what_the_image_tag_hashes() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    sent = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert "*" in ignored
    assert sent - {"LICENSE", "README.md"} == set(CONTEXT)


@pytest.mark.parametrize("image", FILES)
def test_the_build_script_knows_the_image_and_the_file_copies_only_what_is_sent(image: str) -> None:
    script = (ROOT / "images/build").read_text()
    assert re.search(rf"\b{image}\b.*\) image", script)
    for item in read(image):
        if item.name == "COPY" and "--from" not in item.text:
            for path in item.text.split()[:-1]:
                assert (ROOT / path).exists(), path
                assert path.split("/")[0] in {*CONTEXT, "LICENSE", "README.md"}, path
