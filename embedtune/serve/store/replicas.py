"""The replicas that follow a store: each writes its own state, and whoever deploys reads all of them."""

import logging
from dataclasses import dataclass

from embedtune.core.errors import ArtifactError
from embedtune.serve.store.objects import Objects
from embedtune.serve.store.records import ReplicaRecord

log = logging.getLogger(__name__)
FOLDER = "replicas/"
BEAT_S = 10.0  # a replica that has nothing new to say writes this often
GONE_S = 120.0  # without a sign of life for this long it is presumed gone
FORGOTTEN_S = 86_400.0  # the record of one that is gone is deleted after this


@dataclass(frozen=True)
class Replica:
    """A replica as it was last heard of.

    Args:
        name: Its name, unique among the replicas of a store.
        record: What it wrote.
        age_s: Seconds since then, by the store's clock.
    """

    name: str
    record: ReplicaRecord
    age_s: float


def write_replica(objects: Objects, name: str, record: ReplicaRecord) -> None:
    """Write the state of a replica."""
    objects.write(_key(name), record)


def remove_replica(objects: Objects, name: str) -> None:
    """Remove the state of a replica that ends in good order: nobody waits for it any more."""
    objects.delete([_key(name)])


def read_replicas(objects: Objects) -> list[Replica]:
    """Return the replicas that are not presumed gone, sorted by name; records of long gone ones are deleted."""
    found = []
    for key in objects.keys(FOLDER):
        there = objects.read(key)
        if there is None:
            continue
        if there.age_s > FORGOTTEN_S:
            objects.delete([key])
        if there.age_s > GONE_S:
            continue
        try:
            record = there.parse(ReplicaRecord)
        except ArtifactError as error:
            log.warning("%s", error)  # of another version: it does not follow this pointer
            continue
        found.append(Replica(key.removeprefix(FOLDER).removesuffix(".json"), record, there.age_s))
    return sorted(found, key=lambda replica: replica.name)


def _key(name: str) -> str:
    return f"{FOLDER}{name}.json"
