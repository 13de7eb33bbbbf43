"""A release that Git names goes live by a Job; without a name, no object of the chart decides what is live."""

import pytest

from embedtune.cli.releases import release
from embedtune.core.config.load import load_config
from tests.charts.embedtune.conftest import PARAMETERS, Render, container, environment, named, of_kind

ID = "2a5a5a56c044ccb4"
PROPOSED = {"overrides": {"deploy.flip": "manual"}, "release_uri": "minio://handbook/releases"}
VALUES = {"retrain": {"parameters": PARAMETERS | PROPOSED | {"storage_tls": False}}, "live": {"release": ID}}


def test_a_job_makes_the_release_live_in_the_store_of_the_runs(render: Render) -> None:
    job = named(render(values=VALUES), "Job", f"embedtune-live-{ID[:12]}-")
    group, command, *words = container(job)["args"]
    assert (group, command) == (release.name, "promote")
    given = release.commands["promote"].make_context("promote", words).params
    config = load_config("minilm", list(given["overrides"]))
    assert given["name"] == ID
    assert config.release.uri == "s3://handbook/releases"
    assert (config.storage.endpoint, config.storage.secure) == ("minio.store.svc:9000", False)
    assert (config.deploy.target, config.deploy.flip) == ("kubernetes", "after_proof")
    assert environment(job)["AWS_ACCESS_KEY_ID"]["secretKeyRef"]["name"] == "embedtune-storage"


def test_another_release_is_another_job_and_the_same_one_is_the_same(render: Render) -> None:
    names = [
        named(render(*setting, values=VALUES), "Job", "embedtune-live-")["metadata"]["name"]
        for setting in ((), ("live.release=53756c04ecce5308",), ("retrain.again=1",))
    ]
    assert names[0] != names[1]
    assert names[0] == names[2]


def test_without_a_name_the_run_that_wins_decides(render: Render) -> None:
    assert not [job for job in of_kind(render(), "Job") if "promote" in container(job)["args"]]


def test_git_and_the_runs_cannot_both_decide(render: Render) -> None:
    parameters = PARAMETERS | {"release_uri": "s3://handbook/releases"}
    values = {"retrain": {"parameters": parameters}, "live": {"release": ID}}
    with pytest.raises(ValueError, match=r"live\.release: set deploy\.flip to manual"):
        render(values=values)
    nested = parameters | {"overrides": {"deploy": {"flip": "manual"}}}
    assert render(values={"retrain": {"parameters": nested}, "live": {"release": ID}})
    with pytest.raises(ValueError, match=r"live\.release: name its store"):
        render(f"live.release={ID}")
