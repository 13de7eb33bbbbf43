"""Finds the code that determines what a stage writes: the modules it imports, by their import statements."""

import ast
import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
# Settings are compared by value, and the public names in embedtune/__init__ have no effect on any output.
NOT_COUNTED = ("embedtune.core.config",)
TYPE_CHECKING = ("TYPE_CHECKING", "typing.TYPE_CHECKING")


@lru_cache(maxsize=32)
def code_version(module: str, package: Path = PACKAGE) -> str:
    """Return a hash of the modules that `module` imports, directly or not, and of the data files next to them.

    Imports inside functions count, imports for type checkers do not. The files are read, not imported.

    Args:
        module: Dotted name of the module that does the work, for example `embedtune.train.stage`.
        package: The directory of the package `embedtune`.
    """
    digest = hashlib.sha256()
    for path in counted_files(module, package):
        digest.update(path.relative_to(package).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def counted_files(module: str, package: Path = PACKAGE) -> list[Path]:
    """Return the files whose content makes up the code version of a module, sorted.

    Args:
        module: Dotted name of the module.
        package: The directory of the package `embedtune`.
    """
    modules = _reachable(module, package)
    folders = {path.parent for path in modules}
    data = {file for folder in folders for file in _data_files(folder)}
    return sorted(modules | data)


def _reachable(module: str, package: Path) -> set[Path]:
    """Return the files of all modules that are loaded when `module` is imported or its functions are called."""
    found: set[Path] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _file_of(name, package)
        if path is None or path in found or f"{name}.".startswith(tuple(f"{one}." for one in NOT_COUNTED)):
            continue
        found.add(path)
        waiting += _imported(ast.parse(path.read_bytes()), name, is_package=path.name == "__init__.py")
        waiting += _packages_of(name)  # importing a module runs its packages' __init__ first
    if not found:
        raise ValueError(f"{package} has no module {module}")
    return found


def _packages_of(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[:length]) for length in range(1, len(parts)))


def _file_of(name: str, package: Path) -> Path | None:
    """Return the file of a module of this package; None for other packages and for `embedtune` itself."""
    first, *parts = name.split(".")
    if first != package.name or not parts:
        return None
    place = package.joinpath(*parts)
    for path in (place / "__init__.py", place.with_suffix(".py")):
        if path.is_file():
            return path
    return None


def _imported(tree: ast.AST, name: str, *, is_package: bool) -> Iterator[str]:
    """Yield the names that a module imports; b in `from a import b` may be a module, so it is included."""
    for node in _run_time_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = name.split(".")
            parents = parts[: len(parts) + is_package - node.level] if node.level else []
            source = ".".join([*parents, *filter(None, [node.module])])
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)


def _run_time_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a module, except those that only a type checker reads."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        children = ast.iter_child_nodes(node)
        if isinstance(node, ast.If) and ast.unparse(node.test) in TYPE_CHECKING:
            children = iter(node.orelse)
        waiting += children


def _data_files(folder: Path) -> Iterator[Path]:
    """Yield the data files in a folder and in its subfolders without modules, such as prompts and templates."""
    for item in folder.iterdir():
        if item.name.startswith(".") or item.name.endswith("~"):
            continue  # an editor's swap file, a backup
        if item.is_dir() and item.name != "__pycache__" and not any(item.rglob("*.py")):
            yield from (file for file in item.rglob("*") if file.is_file())
        elif item.is_file() and item.suffix != ".py":
            yield item
