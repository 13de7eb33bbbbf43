"""How clients outside the cluster reach the gateway: its own HTTPS, an Ingress, or a route of the Gateway API."""

import pytest

from tests.charts.conftest import Render, containers, environment, pod_spec


def test_the_gateway_itself_can_speak_https(render: Render) -> None:
    objects = render("gateway.tlsSecret=embedtune-tls", "serviceMonitor.enabled=true")
    item = containers(objects)["gateway"]
    assert {"--tls-cert=/etc/embedtune/tls/tls.crt", "--tls-key=/etc/embedtune/tls/tls.key"} <= set(item["args"])
    assert {"name": "tls", "mountPath": "/etc/embedtune/tls", "readOnly": True} in item["volumeMounts"]
    assert {"name": "tls", "secret": {"secretName": "embedtune-tls"}} in pod_spec(objects)["volumes"]
    assert {item[probe]["httpGet"]["scheme"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")} == {
        "HTTPS"
    }
    assert objects["Service"]["spec"]["ports"][0]["appProtocol"] == "https"
    assert "scheme" not in objects["ServiceMonitor"]["spec"]["endpoints"][0]  # metrics have a port of their own
    assert environment(objects["Pod"]["spec"]["containers"][0])["ENDPOINT"].startswith("https://")
    plain = render()
    assert "tls-cert" not in str(plain)
    assert "scheme" not in containers(plain)["gateway"]["readinessProbe"]["httpGet"]


def test_tritons_grpc_can_have_tls_and_only_triton_has_its_key(render: Render) -> None:
    assert "triton-tls" not in str(render())
    objects = render("triton.tls.secret=grpc-tls", "triton.tls.name=triton.example.org")
    triton, gateway = containers(objects)["triton"], containers(objects)["gateway"]
    folder = "/etc/embedtune/triton-tls"
    assert environment(triton).items() >= {
        ("EMBEDTUNE_TRITON_TLS_CERT", f"{folder}/tls.crt"),
        ("EMBEDTUNE_TRITON_TLS_KEY", f"{folder}/tls.key"),
    }
    assert {"name": "triton-tls", "mountPath": folder, "readOnly": True} in triton["volumeMounts"]
    given = {"--triton-ca=/etc/embedtune/triton-ca/ca.crt", "--triton-name=triton.example.org"}
    assert given <= set(gateway["args"])
    assert "triton-tls" not in str(gateway["volumeMounts"])
    (authorities,) = (found for found in pod_spec(objects)["volumes"] if found["name"] == "triton-ca")
    assert authorities["secret"] == {"secretName": "grpc-tls", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    with pytest.raises(ValueError, match=r"triton\.tls\.name: a host name in the certificate"):
        render("triton.tls.secret=grpc-tls")


def test_an_ingress_and_a_route_lead_to_the_gateway(render: Render) -> None:
    assert not {"Ingress", "HTTPRoute"} & set(render())
    objects = render(
        *(
            "ingress.enabled=true",
            "ingress.host=e.example.org",
            "ingress.tlsSecret=cert",
            "ingress.className=nginx",
        ),
        *("httpRoute.enabled=true", "httpRoute.parentRefs[0].name=gate", "httpRoute.hostnames[0]=e.example.org"),
    )
    port = objects["Service"]["spec"]["ports"][0]["port"]
    ingress = objects["Ingress"]["spec"]
    assert ingress["tls"] == [{"hosts": ["e.example.org"], "secretName": "cert"}]
    (rule,) = ingress["rules"]
    backend = rule["http"]["paths"][0]["backend"]["service"]
    assert (rule["host"], backend) == ("e.example.org", {"name": "embedtune-triton", "port": {"number": port}})
    route = objects["HTTPRoute"]["spec"]
    assert (route["parentRefs"], route["hostnames"]) == ([{"name": "gate"}], ["e.example.org"])
    assert route["rules"] == [{"backendRefs": [{"name": "embedtune-triton", "port": port}]}]


@pytest.mark.parametrize(
    ("setting", "message"),
    [("ingress.enabled=true", "ingress.host"), ("httpRoute.enabled=true", "httpRoute.parentRefs")],
)
def test_an_ingress_or_a_route_without_its_address_is_refused(render: Render, setting: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        render(setting)


def test_named_keys_and_access_tokens_are_accepted_where_they_are_named(render: Render) -> None:
    plain = containers(render())["gateway"]
    assert not any(argument.startswith(("--keys", "--oidc")) for argument in plain["args"])
    objects = render(
        "gateway.keysSecret=clients",
        "gateway.oidc.issuer=https://id.example.org",
        "gateway.oidc.audience=embedtune",
    )
    item = containers(objects)["gateway"]
    assert {
        "--keys=/etc/embedtune/keys/keys",
        "--oidc-issuer=https://id.example.org",
        "--oidc-audience=embedtune",
        "--oidc-name-claim=sub",
    } <= set(item["args"])
    assert {"name": "keys", "mountPath": "/etc/embedtune/keys", "readOnly": True} in item["volumeMounts"]
    assert {"name": "keys", "secret": {"secretName": "clients"}} in pod_spec(objects)["volumes"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("gateway.oidc.issuer=https://id.example.org", r"gateway\.oidc\.audience: what access tokens must be for"),
        ("gateway.oidc.issuer=http://id.example.org", "does not match pattern"),
    ],
)
def test_access_tokens_for_any_service_or_from_plain_http_are_refused(
    render: Render, value: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        render(value)
