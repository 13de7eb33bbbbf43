"""A release from an OCI image, mounted as an image volume, in place of a store."""

from tests.charts.conftest import Render, containers, environment, pod_spec


def test_the_release_of_an_image_needs_no_store(render: Render) -> None:
    reference = "registry.example.com/handbook@sha256:" + "0" * 64
    objects = render(f"release.image.reference={reference}", "storage.endpoint=")
    image = {"name": "image", "image": {"reference": reference, "pullPolicy": "IfNotPresent"}}
    assert image in pod_spec(objects)["volumes"]
    found = containers(objects)
    assert {"name": "image", "mountPath": "/image", "readOnly": True} in found["triton"]["volumeMounts"]
    given = environment(found["triton"])
    assert given["EMBEDTUNE_RELEASES"] == "image:/image"
    assert not [name for name in given if name.startswith(("AWS_", "EMBEDTUNE_S3_"))]
    dns = [53, 53]
    assert [port["port"] for rule in objects["NetworkPolicy"]["spec"]["egress"] for port in rule["ports"]] == dns
    feedback = render(f"release.image.reference={reference}", "gateway.feedback.place=s3://asked/feedback")
    assert len(feedback["NetworkPolicy"]["spec"]["egress"]) == 2
