# Serving image: the service and nothing that trains. From the repository:
#   docker build -f ./docker/serve.Dockerfile . -t emotions-serve
#   docker build -f ./docker/serve.Dockerfile --build-arg DEVICE=cpu . -t emotions-serve:cpu
#
# CUDA and cuDNN come with wheels and the driver from NVIDIA's container runtime, so that a plain Python image will do.
# A tag moves: for a build that never changes pass --build-arg BASE=python:3.12-slim-bookworm@sha256:..., the digest
# that `docker buildx imagetools inspect python:3.12-slim-bookworm` prints.
ARG BASE=python:3.12-slim-bookworm
ARG DEVICE=cuda

FROM ${BASE} AS packages-cuda
COPY requirements.serve-gpu.lock /src/packages.lock

FROM ${BASE} AS packages-cpu
COPY requirements.serve.lock /src/packages.lock

FROM packages-${DEVICE} AS build
WORKDIR /src
COPY requirements.uv.lock requirements.speech.lock ./
RUN pip install --no-cache-dir --disable-pip-version-check --root-user-action ignore --require-hashes -r requirements.uv.lock
# Compiled here, since nothing is written in the container: a start would compile a thousand modules again.
RUN uv venv --no-cache /opt/venv
RUN uv pip install --python /opt/venv --no-cache --compile-bytecode --only-binary :all: --require-hashes -r packages.lock
# The network that finds speech; its package's dependencies are not needed to read it.
RUN uv pip install --python /opt/venv --no-cache --only-binary :all: --no-deps --require-hashes -r requirements.speech.lock

# requirements.lock pins, with hashes, what builds the wheel.
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY emotions ./emotions
COPY training ./training
COPY export ./export
COPY serving ./serving
RUN uv build --no-cache --wheel --build-constraints requirements.lock --require-hashes --out-dir dist .
RUN uv pip install --python /opt/venv --no-cache --compile-bytecode --no-deps dist/*.whl

FROM ${BASE}
ARG DEVICE
COPY --from=build /opt/venv /opt/venv

# The bundle is mounted read-only: -v ./bundles/mine:/bundle:ro
ENV PATH=/opt/venv/bin:$PATH \
    EMOTIONS_BUNDLE=/bundle \
    EMOTIONS_DEVICE=${DEVICE}

# What the service writes (the counters of its processes) goes to the one place that is writable in a read-only container
# with --tmpfs /tmp.
ENV BENTOML_HOME=/tmp/bentoml \
    BENTOML_DO_NOT_TRACK=True \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

# By number, so that Kubernetes can see that it is not root.
RUN useradd --uid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin emotions
USER 10001
WORKDIR /tmp

EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:3000/readyz', timeout=4)"]

# Every interface of the container, since a published port reaches nothing else. So the service wants a file of API keys
# (-v ./api-keys.txt:/run/api-keys.txt:ro -e EMOTIONS_API_KEYS_FILE=/run/api-keys.txt), or to be told that whoever reaches
# the port may come in (-e EMOTIONS_ALLOW_ANONYMOUS=1, with -p 127.0.0.1:3000:3000); it does not start without either.
CMD ["emotions", "serve", "--host", "0.0.0.0", "--port", "3000"]
