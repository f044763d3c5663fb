# syntax=docker/dockerfile:1.7
# The forecaster, with the CPU libtorch beside it. Context: the repository's root.
FROM rust:1.95.0-bookworm AS build
# pip fetches libtorch's wheel; the image brings Python and the C++ compiler.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3-pip=23.0.1* \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
# A layer of its own: half a gigabyte is fetched again only when the version changes.
COPY .dev/libtorch.py .dev/
RUN python3 .dev/libtorch.py libtorch
COPY . .
# Models and `--version` name the commit; git's folder is not part of the context. --build-arg HEADROOM_BUILD_COMMIT=$(git rev-parse HEAD)
ARG HEADROOM_BUILD_COMMIT=
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,id=headroom-forecaster \
    cargo build --release --locked --package headroom-forecaster \
    && cp target/release/headroom-forecaster /usr/local/bin/ \
    && install --directory /usr/local/lib/headroom \
    && cp libtorch/lib/libtorch_cpu.so libtorch/lib/libc10.so libtorch/lib/libgomp.so.1 \
          libtorch/lib/libcudart.so.13 libtorch/lib/libcupti.so.13 /usr/local/lib/headroom/

FROM debian:12.12-slim
# libstdc++ is libtorch's; the certificates are for a webhook behind TLS.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates=20230311* libstdc++6=12.2.0* \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --home-dir /var/lib/headroom --shell /usr/sbin/nologin headroom \
    && install --directory --owner=headroom --group=headroom --mode=0700 /var/lib/headroom
# The program looks for its libraries in ../lib/headroom beside its own folder.
COPY --from=build /usr/local/lib/headroom/ /usr/local/lib/headroom/
COPY --from=build /usr/local/bin/headroom-forecaster /usr/local/bin/
COPY docker/healthcheck.sh docker/entry.sh /usr/local/lib/headroom/
USER 10001:10001
ENV HEADROOM_LISTEN=0.0.0.0:8187 HEADROOM_DATA_DIR=/var/lib/headroom
VOLUME /var/lib/headroom
EXPOSE 8187
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["bash", "/usr/local/lib/headroom/healthcheck.sh", "8187", "/health"]
STOPSIGNAL SIGTERM
CMD ["headroom-forecaster"]
