"""Settings of the stage generate: how much is asked about passages that people rarely ask about."""

from typing import Literal

from pydantic import Field

from embedtune.core.config.section import Section, Share

# What a passage is, as far as that tells how often people ask about it.
PassageKind = Literal["prose", "licence", "changelog", "contents", "reference"]


class AskedShares(Section):
    """Share of the passages of a kind that questions are asked about; of prose, all."""

    licence: Share = Field(default=0.0, description="Licences of software.")
    contents: Share = Field(default=0.0, description="Tables of contents and indexes.")
    changelog: Share = Field(default=0.1, description="Changelogs and release notes.")
    reference: Share = Field(default=0.2, description="Generated reference pages: few sentences.")

    def of(self, kind: PassageKind) -> float:
        """Return the share of a kind."""
        shares = {"licence": self.licence, "contents": self.contents, "changelog": self.changelog}
        return {**shares, "reference": self.reference, "prose": 1.0}[kind]
