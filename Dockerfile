# bids-grouplevel in two stages: the first has pip and installs, the second has what runs. Singularity.def does the same.
ARG BASE_IMAGE=debian:trixie-slim

FROM ${BASE_IMAGE} AS build
ENV DEBIAN_FRONTEND=noninteractive PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*
# The locked dependencies change seldom and take longest, so that they come before the source
COPY requirements/run.txt requirements/build.txt /src/requirements/
RUN python3 -m venv /opt/build \
 && /opt/build/bin/pip install --require-hashes --only-binary :all: --requirement /src/requirements/build.txt \
 && /opt/build/bin/pip wheel --require-hashes --no-deps --no-build-isolation --wheel-dir /src/wheels \
    --requirement /src/requirements/run.txt \
 && python3 -m venv /opt/venv \
 && /opt/venv/bin/pip install --no-index --no-deps /src/wheels/*.whl
COPY pyproject.toml README.md LICENSE version /src/
COPY bids_app /src/bids_app
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /src/own /src \
 && /opt/venv/bin/pip install --no-index --no-deps /src/own/*.whl \
 && /opt/venv/bin/pip check \
 && /opt/venv/bin/pip uninstall --yes pip \
 && find /opt/venv -type d -name tests -prune -exec rm -rf {} +

FROM ${BASE_IMAGE}
RUN export DEBIAN_FRONTEND=noninteractive \
 && apt-get update \
 && apt-get install -y --no-install-recommends python3 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* \
 && useradd --uid 1000 --create-home app
COPY --from=build /opt/venv /opt/venv
COPY version /version
# One thread for each linear algebra call, since the app shares out its work itself: --nprocs
ENV PATH=/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    LC_ALL=C.UTF-8 \
    HOME=/tmp \
    PYTHONNOUSERSITE=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MPLBACKEND=Agg \
    OMP_NUM_THREADS=1 \
    OPENBLAS_NUM_THREADS=1
# Kernels are compiled now, for processors that are named, so that no run has to: see bids_app/runtime/caches.py
RUN python3 -m bids_app.cli.self_test --fill /opt/caches && chmod -R go+rX /opt/caches
ENV BIDS_GROUPLEVEL_CACHES=/opt/caches

ARG IMAGE=bids/grouplevel
ARG VERSION=unknown
ARG REVISION=unknown
ENV BIDS_GROUPLEVEL_CONTAINER_TYPE=docker \
    BIDS_GROUPLEVEL_CONTAINER_TAG=${IMAGE}:${VERSION}
LABEL org.opencontainers.image.title="bids-grouplevel" \
      org.opencontainers.image.description="BIDS App for group-level fMRI statistics" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"
USER app
ENTRYPOINT ["bids-grouplevel"]
