"""Opens documents that are ZIP archives, and refuses those that are encrypted or far too large when unpacked."""

import io
import re
import zipfile
from typing import IO

from lxml import etree

from embedtune.ingest.blocks import UnreadableError

LARGEST_UNPACKED = 512 << 20  # bytes; a file of a few MB that unpacks to more is a zip bomb, not a document
_STRICT = re.compile(rb"http://purl\.oclc\.org/ooxml/(\w+)/")
_TYPES = "[Content_Types].xml"
_OPEN = "application/vnd.openxmlformats-officedocument."
_SAME = {  # kinds of documents that the libraries refuse though only their name is another
    "application/vnd.ms-word.document.macroEnabled.main+xml": f"{_OPEN}wordprocessingml.document.main+xml",
    f"{_OPEN}presentationml.slideshow.main+xml": f"{_OPEN}presentationml.presentation.main+xml",
    "application/vnd.ms-powerpoint.slideshow.macroEnabled.main+xml": (
        f"{_OPEN}presentationml.presentation.main+xml"
    ),
}
_OLE = b"\xd0\xcf\x11\xe0"  # encrypted Office files, and those of Office 97, are of this kind


def open_package(data: bytes, extension: str, older: str = "") -> zipfile.ZipFile:
    """Return the archive of a document.

    Args:
        data: The file.
        extension: The extension it has, for the message.
        older: The extension of the older format that it may be in.

    Raises:
        UnreadableError: It is encrypted, in an older format, or far too large when unpacked.
        BadZipFile: It is damaged.
    """
    if data.startswith(_OLE):
        raise UnreadableError(
            f"encrypted, or a {older} file with the extension {extension}" if older else "encrypted"
        )
    archive = zipfile.ZipFile(io.BytesIO(data))
    unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > LARGEST_UNPACKED:
        raise UnreadableError(f"unpacks to {unpacked >> 20} MB")
    if any(entry.flag_bits & 1 for entry in archive.infolist()):
        raise UnreadableError("encrypted")
    return archive


def as_libraries_know_it(document: IO[bytes]) -> IO[bytes]:
    """Return an Office document in the form that the libraries read: itself, or a copy.

    "Strict Open XML" has other namespaces than Office writes by default; documents with macros and slide shows are
    of types of their own. What they contain is the same.
    """
    with zipfile.ZipFile(document) as archive:
        names = set(archive.namelist())
        strict = "_rels/.rels" in names and _STRICT.search(archive.read("_rels/.rels")) is not None
        types = known = archive.read(_TYPES) if _TYPES in names else b""
        for kind, same in _SAME.items():
            known = known.replace(kind.encode(), same.encode())
        if not strict and known == types:
            return document
        copy = io.BytesIO()
        with zipfile.ZipFile(copy, "w") as written:
            for name in sorted(names):
                content = known if name == _TYPES else archive.read(name)
                if strict and name.endswith((".xml", ".rels")):
                    content = _STRICT.sub(rb"http://schemas.openxmlformats.org/\1/2006/", content)
                written.writestr(name, content)
    return copy


def parse_xml(data: bytes) -> "etree._Element":
    """Parse XML of unknown origin: entities are not expanded, and nothing is fetched.

    Raises:
        XMLSyntaxError: It is damaged.
    """
    return etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False))
