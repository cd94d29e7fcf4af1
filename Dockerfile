# The service, and (target `spark`) the same with Spark and its Java. Built by `make up`; see docs/deploy.md.
#
# For a build that is the same next year, name the base by its digest:
#   docker build --build-arg PYTHON=python:3.12-slim-bookworm@sha256:… .
ARG PYTHON=python:3.12-slim-bookworm

FROM ${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
# pip stays behind in an environment of its own.
RUN python -m venv /opt/pip && python -m venv --without-pip /opt/daygate
WORKDIR /build
# The lock first: a change of ours does not install everything else anew. pip compiles what it installs, and the
# image must: its root is read-only, and without bytecode Great Expectations takes 15 s to import instead of 4.
COPY requirements/base.txt requirements/base.txt
RUN /opt/pip/bin/pip --python /opt/daygate/bin/python install --quiet --require-hashes --only-binary :all: -r requirements/base.txt
COPY . .
RUN /opt/pip/bin/pip --python /opt/daygate/bin/python install --quiet --no-deps --no-build-isolation .

FROM build AS build-spark
RUN /opt/pip/bin/pip --python /opt/daygate/bin/python install --quiet --require-hashes -r requirements/spark.txt
# The driver has an address in each network; executors come in by the one they know it under.
RUN mkdir /opt/daygate/spark && echo 'spark.driver.bindAddress 0.0.0.0' >/opt/daygate/spark/spark-defaults.conf

FROM ${PYTHON} AS base
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="daygate" \
      org.opencontainers.image.description="A data-quality gate for daily e-commerce event data" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN groupadd --gid 10001 daygate \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin daygate \
 && install --directory --owner=daygate --group=daygate --mode=0750 /data
ENV PATH=/opt/daygate/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DAYGATE_HOME=/data \
    DAYGATE_WEB_HOST=0.0.0.0
USER 10001:10001
WORKDIR /data
EXPOSE 8080
# Process 1 is the service itself: it handles its signals and buries orphans (docs/adr/0016).
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-m", "scheduler.probe"]
ENTRYPOINT ["daygate"]
CMD ["serve"]

FROM base AS spark
ENV SPARK_CONF_DIR=/opt/daygate/spark
COPY --from=build-spark /opt/daygate /opt/daygate

# Last, so that it is what a build without a target makes.
FROM base AS service
COPY --from=build /opt/daygate /opt/daygate
