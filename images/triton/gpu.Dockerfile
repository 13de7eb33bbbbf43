# Serving on GPUs: NVIDIA's Triton with its ONNX Runtime and TensorRT backends, the gateway, and the download of releases.
#   TRITON_IMAGE=nvcr.io/nvidia/tritonserver@sha256:… images/build triton-gpu
# For CPUs on a current Triton too: with TENSORRT_VERSION=none the image needs no TensorRT and refuses its releases.
# A TensorRT engine runs only with the TensorRT version that built it, so TENSORRT_VERSION is the same as in images/gpu.
ARG TRITON_IMAGE

FROM ${TRITON_IMAGE} AS base

FROM base AS build
# Package index for pip and uv; without one they use their own default.
ARG PACKAGE_INDEX
ENV UV_LINK_MODE=copy UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never
WORKDIR /src
COPY images/with-ca /usr/local/bin/
COPY images/check_sbom.py images/
RUN apt-get update && apt-get install -y --no-install-recommends python3-venv && python3 -m venv /opt/uv
COPY requirements/build.txt requirements/
RUN --mount=type=secret,id=ca with-ca /opt/uv/bin/pip install -q --no-deps --require-hashes \
      ${PACKAGE_INDEX:+--index-url "$PACKAGE_INDEX"} -r requirements/build.txt
COPY requirements/serve.txt requirements/
RUN --mount=type=secret,id=ca /opt/uv/bin/uv venv -q --python /usr/bin/python3 /opt/embedtune \
 && with-ca /opt/uv/bin/uv pip install -q --python /opt/embedtune --no-deps \
      ${PACKAGE_INDEX:+--index-url "$PACKAGE_INDEX"} --compile-bytecode -r requirements/serve.txt
COPY pyproject.toml README.md LICENSE ./
COPY embedtune embedtune
COPY components components
COPY pipelines pipelines
RUN --mount=type=secret,id=ca with-ca /opt/uv/bin/uv pip install -q --python /opt/embedtune \
      ${PACKAGE_INDEX:+--index-url "$PACKAGE_INDEX"} --no-deps --compile-bytecode .
# The SBOM of the Python packages; scanners read those of the distribution from its own database.
RUN /opt/uv/bin/cyclonedx-py environment --output-reproducible -o /opt/embedtune/sbom.cdx.json /opt/embedtune/bin/python \
 && python3 images/check_sbom.py /opt/embedtune/sbom.cdx.json requirements/serve.txt

FROM base
ARG VERSION=unknown
ARG TENSORRT_VERSION=10.13.3
RUN [ "${TENSORRT_VERSION}" = none ] || find / -xdev -name "libnvinfer.so.${TENSORRT_VERSION}*" | grep . \
 || { echo "this Triton image does not contain TensorRT ${TENSORRT_VERSION}" >&2; exit 1; }
# Releases are checked against this version. NVIDIA's images set it too; here it has just been verified.
ENV TRT_VERSION=${TENSORRT_VERSION}
LABEL org.opencontainers.image.title="embedtune triton-gpu" \
      org.opencontainers.image.description="Triton on GPUs and the gateway, serving releases of embedtune" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=build /opt/embedtune /opt/embedtune
ENV PATH=/opt/embedtune/bin:/opt/tritonserver/bin:${PATH} HOME=/tmp PYTHONUNBUFFERED=1
USER 10001:10001
EXPOSE 8000 8001 8002 8080
# Without NVIDIA's entry point, which prints a banner, sources scripts and would be in between Kubernetes and Triton.
ENTRYPOINT []
CMD ["python", "-m", "embedtune.serve.pod", "/release"]
