"""What an LLM endpoint makes of the structure that it is asked for: replies of another one, or no reply at all."""

from collections import Counter
from dataclasses import dataclass, field, replace

from embedtune.llm.dialect import Dialect, Structure, simpler_structure

# So many replies of another schema, more than right ones, and the server is taken to ignore the schema; so many
# refusals of the model's own replies, more than completions, and it is taken to be unable to enforce a structure.
MISHAPS = 2


@dataclass(eq=False)
class StructureRecord:
    """Counts what comes of the structure that one LLM endpoint is asked for, and names a better dialect."""

    _valid: int = 0  # replies to requests with the schema as a parameter alone
    _invalid: int = 0
    _completed: Counter[Structure] = field(default_factory=Counter)
    _refused: Counter[Structure] = field(default_factory=Counter)

    def completed(self, dialect: Dialect) -> None:
        """Count a completion."""
        self._completed[dialect.structure] += 1

    def after_reply(self, dialect: Dialect, *, valid: bool) -> Dialect | None:
        """Count a reply to a request without the schema in its prompt.

        Returns:
            A dialect with the schema in the prompt if the server ignores the schema that it is sent, else None.
        """
        self._valid += valid
        self._invalid += not valid
        told = dialect.structure != "json_schema" or dialect.schema_in_prompt
        if valid or told or self._invalid < max(MISHAPS, self._valid + 1):
            return None
        return replace(dialect, schema_in_prompt=True)

    def after_refused_reply(self, dialect: Dialect) -> Dialect | None:
        """Count a reply that the server itself refused, because its model did not keep to the structure.

        Returns:
            A dialect of a simpler structure if the server refuses more replies than it delivers, else None.
        """
        structure = dialect.structure
        self._refused[structure] += 1
        if self._refused[structure] < max(MISHAPS, self._completed[structure] + 1):
            return None
        return simpler_structure(dialect)
