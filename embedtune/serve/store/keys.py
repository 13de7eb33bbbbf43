"""Where a store keeps the record of a published release and its re-index plan."""

from embedtune.serve.release.record import require_id
from embedtune.serve.store.objects import Small
from embedtune.serve.store.records import Published


def published_key(name: str) -> str:
    """Return the object that publishes a release."""
    return f"releases/{name}.json"


def plan_key(name: str) -> str:
    """Return the re-index plan of a release."""
    return f"plans/{name}.json"


def parse_published(found: Small, name: str) -> Published:
    """Return the record of a published release.

    Raises:
        ArtifactError: It is damaged, of another version, or that of another release.
    """
    published = found.parse(Published)
    require_id(published.release, name, found.address)
    return published
