"""The rendered config.pbtxt is parsed by Triton's own protobuf."""

from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as proto

from embedtune.core.config.serve import ServeSettings
from embedtune.serve.release.config_pbtxt import encoder_config, endpoint_config, live_config
from embedtune.serve.release.pbtxt_format import ModelConfig


def parsed(config: ModelConfig) -> proto.ModelConfig:
    return text_format.Parse(config.render(), proto.ModelConfig())


def strings(message: proto.ModelConfig) -> dict[str, str]:
    return {key: value.string_value for key, value in message.parameters.items()}


def test_the_endpoint_takes_strings_of_one_shape_and_merges_requests() -> None:
    settings = ServeSettings(model_name="handbook", max_batch_size=48, max_queue_delay_us=700, max_queue_size=99)
    config = parsed(endpoint_config("python-cpu", settings, "handbook", 0.99))
    assert (config.name, config.backend, config.max_batch_size) == ("handbook", "python", 48)
    assert [(i.name, proto.DataType.Name(i.data_type), list(i.dims), i.optional) for i in config.input] == [
        ("TEXT", "TYPE_STRING", [1], False),
        ("INPUT_TYPE", "TYPE_STRING", [1], True),
        ("DIMENSIONS", "TYPE_INT32", [1], True),
        ("TRUNCATE", "TYPE_STRING", [1], True),
    ]
    assert [(o.name, proto.DataType.Name(o.data_type), list(o.dims)) for o in config.output] == [
        ("EMBEDDING", "TYPE_FP32", [-1]),
        ("TOKENS", "TYPE_INT32", [1]),
    ]
    assert config.dynamic_batching.max_queue_delay_microseconds == 700
    assert config.dynamic_batching.default_queue_policy.max_queue_size == 99
    assert list(config.version_policy.specific.versions) == [1]


def test_no_queue_delay_still_means_dynamic_batching() -> None:
    config = parsed(endpoint_config("python-cpu", ServeSettings(max_queue_delay_us=0), "m", 0.99))
    assert config.HasField("dynamic_batching")
    assert config.dynamic_batching.max_queue_delay_microseconds == 0


def test_limits_reach_the_model_as_parameters() -> None:
    settings = ServeSettings(max_text_bytes=512, on_long_text="refuse", instances=3)
    config = parsed(endpoint_config("python-cpu", settings, "handbook", 0.99))
    assert strings(config) == {
        "max_text_bytes": "512",
        "on_long_text": "refuse",
        "call_cost": "8",
        "instances": "3",
        "min_cosine": "0.99",
    }
    assert [(group.count, group.Kind.Name(group.kind)) for group in config.instance_group] == [(4, "KIND_CPU")]


def test_the_response_cache_is_used_only_if_the_server_has_one() -> None:
    settings = ServeSettings(response_cache_mb=8)
    assert not parsed(endpoint_config("python-cpu", settings, "m", 0.99)).response_cache.enable
    assert parsed(endpoint_config("python-cpu", settings, "m", 0.99, cache=True)).response_cache.enable


def test_the_live_model_looks_like_the_endpoint_model_and_knows_where_to_ask(tmp_path: Path) -> None:
    settings = ServeSettings(model_name="m", max_batch_size=8, max_queue_size=9)
    live = parsed(live_config(settings, tmp_path / "serving.json"))
    endpoint = parsed(endpoint_config("python-cpu", settings, "m", 0.99))
    assert (live.name, live.max_batch_size) == ("m", 8)
    assert (live.input, live.output[:-1]) == (endpoint.input, endpoint.output)
    last = live.output[-1]
    assert (last.name, proto.DataType.Name(last.data_type), list(last.dims)) == ("RELEASE", "TYPE_STRING", [1])
    assert live.dynamic_batching.default_queue_policy.max_queue_size == 9
    assert strings(live) == {"serving": str(tmp_path / "serving.json")}


def test_a_separate_encoder_gets_whole_batches_of_any_length() -> None:
    settings = ServeSettings(model_name="m", max_batch_size=8, instances=2)
    endpoint, encoder = (
        parsed(endpoint_config("tensorrt", settings, "m", 0.99)),
        parsed(encoder_config("tensorrt", settings, "m")),
    )
    assert strings(endpoint)["encoder"] == encoder.name == "m_encoder"
    assert (encoder.backend, encoder.max_batch_size) == ("tensorrt", 0)
    assert [(i.name, proto.DataType.Name(i.data_type), list(i.dims)) for i in encoder.input] == [
        ("input_ids", "TYPE_INT64", [-1, -1]),
        ("attention_mask", "TYPE_INT64", [-1, -1]),
        ("dimensions", "TYPE_INT64", [-1]),
    ]
    assert [(o.name, list(o.dims)) for o in encoder.output] == [("embeddings", [-1, -1])]
    assert [(group.count, group.Kind.Name(group.kind)) for group in encoder.instance_group] == [(2, "KIND_GPU")]
    # One instance more than the encoder: it tokenises while the others wait.
    assert [(group.count, group.Kind.Name(group.kind)) for group in endpoint.instance_group] == [(3, "KIND_CPU")]


def test_onnx_runtime_uses_a_gpu_if_there_is_one() -> None:
    config = parsed(encoder_config("onnxruntime", ServeSettings(), "m"))
    assert config.backend == "onnxruntime"
    assert config.instance_group[0].kind == proto.ModelInstanceGroup.KIND_AUTO


def test_warm_up_is_configured_where_the_encoder_is() -> None:
    settings = ServeSettings(max_batch_size=8)
    (text,) = parsed(endpoint_config("python-cpu", settings, "handbook", 0.99)).model_warmup
    assert text.inputs["TEXT"].input_data_file == "text"
    assert not parsed(endpoint_config("onnxruntime", settings, "m", 0.99)).model_warmup
    one, full = parsed(encoder_config("onnxruntime", settings, "m")).model_warmup
    assert [list(sample.inputs["input_ids"].dims) for sample in (one, full)] == [[1, 16], [8, 16]]
    assert full.inputs["dimensions"].input_data_file == "dimensions_8"


def test_each_gpu_has_an_endpoint_instance_for_each_of_its_encoders_and_there_is_one_more() -> None:
    settings = ServeSettings(instances=2)
    for target, gpus, instances in (
        ("tensorrt", 4, 9),  # Triton starts two encoders on each of the four
        ("onnxruntime", 4, 9),
        ("onnxruntime", 0, 3),  # on CPUs
        ("python-cpu", 4, 3),  # the encoder is in the same process and uses no GPU
    ):
        config = parsed(endpoint_config(target, settings, "m", 0.99, gpus=gpus))  # type: ignore[arg-type]
        assert [group.count for group in config.instance_group] == [instances], (target, gpus)
    encoder = parsed(encoder_config("tensorrt", settings, "m"))
    assert [(group.count, list(group.gpus)) for group in encoder.instance_group] == [(2, [])]  # all of them
    for gpus, instances in ((0, 2), (1, 2), (4, 5)):
        live = parsed(live_config(settings, Path("serving.json"), gpus))
        assert [group.count for group in live.instance_group] == [instances]
