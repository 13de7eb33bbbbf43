"""Opens documents that are ZIP archives, and refuses those that are encrypted or far too large when unpacked."""

import io
import zipfile

from lxml import etree

from embedtune.ingest.blocks import UnreadableError

LARGEST_UNPACKED = 512 << 20  # bytes; a file of a few MB that unpacks to more is a zip bomb, not a document
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


def parse_xml(data: bytes) -> "etree._Element":
    """Parse XML of unknown origin: entities are not expanded, and nothing is fetched.

    Raises:
        XMLSyntaxError: It is damaged.
    """
    return etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False))
