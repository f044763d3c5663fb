# syntax=docker/dockerfile:1.7
# The gateway. Context: the repository's root.
FROM rust:1.95.0-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,id=headroom-gateway \
    cargo build --release --locked --package headroom-gateway \
    && cp target/release/headroom-gateway /usr/local/bin/

FROM debian:12.12-slim
# The certificates are for an InfluxDB behind TLS.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates=20230311* \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --home-dir /var/lib/headroom --shell /usr/sbin/nologin headroom \
    && install --directory --owner=headroom --group=headroom --mode=0700 /var/lib/headroom
COPY --from=build /usr/local/bin/headroom-gateway /usr/local/bin/
COPY docker/healthcheck.sh docker/entry.sh /usr/local/lib/headroom/
USER 10001:10001
# An address beyond loopback needs HEADROOM_TOKENS_FILE; without it the gateway says so and ends.
ENV HEADROOM_LISTEN=0.0.0.0:8186 HEADROOM_DATA_DIR=/var/lib/headroom
VOLUME /var/lib/headroom
EXPOSE 8186
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["bash", "/usr/local/lib/headroom/healthcheck.sh", "8186", "/ready"]
STOPSIGNAL SIGTERM
CMD ["headroom-gateway"]
