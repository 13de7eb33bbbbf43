"""The gateway's feedback: off by default; with a place it gets options, the store, a folder and time to stop."""

import pytest

from embedtune.serve.gateway.__main__ import main as gateway
from tests.charts.conftest import Render, containers, environment, pod_spec

ON = "gateway.feedback.place=s3://asked/feedback"


def test_it_is_off_by_default(render: Render) -> None:
    objects = render()
    assert not [word for word in containers(objects)["gateway"]["args"] if "feedback" in word]
    assert "env" not in containers(objects)["gateway"]
    assert "ConfigMap" not in objects


def test_with_a_place_the_gateway_gets_options_store_and_folder(render: Render) -> None:
    objects = render(ON, "gateway.feedback.days=30", "gateway.feedback.maxMB=50", "storage.caSecret=ca")
    container = containers(objects)["gateway"]
    with gateway.make_context("gateway", list(container["args"])) as context:
        given = context.params
    assert (given["feedback"], given["feedback_days"], given["feedback_max_mb"]) == ("s3://asked/feedback", 30, 50)
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert mounts[str(given["feedback_folder"])] == "feedback"
    volumes = {volume["name"]: volume for volume in pod_spec(objects)["volumes"]}
    assert volumes["feedback"]["emptyDir"] == {"sizeLimit": "100M"}
    variables = environment(container)
    assert variables["EMBEDTUNE_S3_ENDPOINT"] == "minio.store:9000"
    assert variables["AWS_CA_BUNDLE"].startswith("/etc/embedtune/storage-ca/")
    assert mounts["/etc/embedtune/storage-ca"] == "storage-ca"
    seconds = pod_spec(objects)["terminationGracePeriodSeconds"]
    assert seconds == pod_spec(render())["terminationGracePeriodSeconds"] + 10


@pytest.mark.parametrize(
    ("setting", "name"), [("storage.region=eu-1", "embedtune-storage"), ("gateway.feedback.secret=asked", "asked")]
)
def test_it_may_have_credentials_of_its_own(render: Render, setting: str, name: str) -> None:
    objects = render(ON, setting)
    variables = environment(containers(objects)["gateway"])
    assert variables["AWS_ACCESS_KEY_ID"] == {"secretKeyRef": {"name": name, "key": "access-key"}}
    replica = environment(containers(objects)["triton"])
    assert replica["AWS_ACCESS_KEY_ID"] == {"secretKeyRef": {"name": "embedtune-storage", "key": "access-key"}}


def test_what_is_masked_is_a_config_map(render: Render) -> None:
    objects = render(ON, "gateway.feedback.mask.models.en=en_core_web_lg")
    assert objects["ConfigMap"]["data"] == {"mask.yaml": "models:\n  en: en_core_web_lg\n"}
    container = containers(objects)["gateway"]
    assert "--feedback-mask=/etc/embedtune/feedback/mask.yaml" in container["args"]
    assert {"name": "feedback-mask", "mountPath": "/etc/embedtune/feedback", "readOnly": True} in container[
        "volumeMounts"
    ]


def test_a_place_that_is_no_bucket_is_refused(render: Render) -> None:
    with pytest.raises(ValueError, match="does not match pattern"):
        render("gateway.feedback.place=/data")
