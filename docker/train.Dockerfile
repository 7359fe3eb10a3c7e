# Training image: the toolkit, TensorBoard and Jupyter. From the repository:
#   docker build -f ./docker/train.Dockerfile . -t emotions-train
#
# CUDA comes with torch's wheels and the driver from NVIDIA's container runtime, so that a plain Python image will do.
# A tag moves: for a build that never changes pass --build-arg BASE=python:3.12-slim-bookworm@sha256:..., the digest
# that `docker buildx imagetools inspect python:3.12-slim-bookworm` prints.
ARG BASE=python:3.12-slim-bookworm
FROM ${BASE}

# The repository is mounted here, over the copy below.
WORKDIR /workspace/NN

COPY requirements.uv.lock requirements.lock requirements.notebook.lock requirements.speech.lock ./
RUN pip install --no-cache-dir --disable-pip-version-check --root-user-action ignore --require-hashes -r requirements.uv.lock
RUN uv pip install --system --no-cache --only-binary :all: --require-hashes -r requirements.lock -r requirements.notebook.lock
# The network that finds speech; its package's dependencies are not needed to read it.
RUN uv pip install --system --no-cache --only-binary :all: --no-deps --require-hashes -r requirements.speech.lock

# Editable, so that the mounted repository is what runs: there is no second copy that could win over it.
COPY pyproject.toml README.md LICENSE train.py ./
COPY emotions ./emotions
COPY training ./training
COPY export ./export
COPY serving ./serving
COPY configs ./configs
COPY docker/before_learn.sh ./docker/
RUN uv pip install --system --no-cache --no-deps --no-build-isolation --editable .

# Root by default: the mounted repository belongs to whoever mounts it, and no fixed user could write to it. Started with
# --user "$(id -u):$(id -g)" what a run writes belongs to that user; a home and a name that suit any user are for that.
RUN mkdir --mode=1777 /home/any
ENV HOME=/home/any \
    USER=any

# Decoded recordings, features and encoders outlive the container: tmp of the mounted repository, which git ignores.
ENV XDG_CACHE_HOME=/workspace/NN/tmp/cache

ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    PYTHONUNBUFFERED=1

# Where before_learn.sh lets TensorBoard and Jupyter listen. A published port reaches nothing else; who may come in is
# decided by `docker run -p ADDRESS:PORT:PORT`, and at Jupyter by its token.
ENV SERVERS_ADDRESS=0.0.0.0
EXPOSE 6006 8888

CMD ["emotions", "--help"]
