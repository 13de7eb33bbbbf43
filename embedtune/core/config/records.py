"""Settings for files that hold many documents as records: JSONL, CSV, TSV, Parquet and XLSX."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from embedtune.core.config.section import Section

RecordFormat = Literal["plain", "markdown", "html"]


def _several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Columns = Annotated[tuple[str, ...], BeforeValidator(_several)]


class RecordSettings(Section):
    """Which columns of record files are read. A column inside an object is named with dots: `fields.summary`."""

    files: str = Field(
        default="*",
        min_length=1,
        description="Pattern of the files' paths in the folder, such as `tickets/*.csv`; `*` matches slashes too.",
    )
    text: Columns = Field(
        min_length=1,
        description="Column of the text. Of several, each becomes a section with the column's name as heading.",
    )
    title: str | None = Field(default=None, description="Column of the title, which becomes the first heading.")
    id: str | None = Field(
        default=None, description="Column of a unique id. None: the id is a hash of the record's content."
    )
    metadata: Columns = Field(
        default=(),
        description="Columns that are kept with the document, but not embedded; evaluate.slice_by can name them.",
    )
    format: RecordFormat = Field(default="plain", description="What the text columns contain.")
