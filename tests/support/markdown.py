"""The commands, code spans and links of the Markdown documents."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```(\w*)$")
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$")
GENERATED = ROOT / "docs" / "reference"


@dataclass(frozen=True)
class Block:
    """A fenced block of code.

    Args:
        place: File and line.
        language: The word after the fence.
        text: Its lines.
    """

    place: str
    language: str
    text: str


def documents(*, generated: bool = False) -> list[Path]:
    """Return the Markdown documents of the project; the generated reference pages only if wanted."""
    files = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return sorted(file for file in files if generated or GENERATED not in file.parents)


def blocks(path: Path) -> list[Block]:
    """Return the fenced blocks of a document."""
    found, language, start, lines = [], None, 0, []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fence = FENCE.match(line)
        if language is None and fence:
            language, start, lines = fence[1], number + 1, []
        elif language is not None and line == "```":
            found.append(Block(f"{path.relative_to(ROOT)}:{start}", language, "\n".join(lines)))
            language = None
        else:
            lines.append(line)
    return found


def prose(path: Path) -> str:
    """Return a document without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def spans(path: Path) -> list[str]:
    """Return the code spans of a document's prose, with the line breaks in them as spaces."""
    text = re.sub(r"(?<=\S)\n(?=\S)", " ", prose(path))
    return SPAN.findall(text)


def commands(block: Block) -> list[str]:
    """Return the shell commands of a block, one line each, without comments, prompts and output."""
    lines = block.text.replace("\\\n", " ").splitlines()
    if block.language == "console":
        lines = [line[2:] for line in lines if line.startswith("$ ")]
    elif block.language != "sh":
        return []
    stripped = [re.sub(r"(^|\s)# .*$", "", line).strip() for line in lines]
    parts = [part.strip() for line in stripped for part in line.split(" && ")]
    return [" ".join(part.split()) for part in parts if part]


def words(command: str) -> list[str]:
    """Return the words of a command, without the variables set in front of it and without ellipses."""
    found = [word for word in shlex.split(command) if word != "…"]
    while found and re.match(r"^[A-Z_]+=", found[0]):
        found.pop(0)
    return found


def anchors(path: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub forms them."""
    titles = [match[1] for line in prose(path).splitlines() if (match := HEADING.match(line))]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
