# One static binary on an empty image. Certificate authorities are compiled in; names are looked up by the binary
# itself, since a static C library cannot load the system's resolver.
ARG BUILDER=docker.io/library/rust:1-slim-trixie

FROM ${BUILDER} AS builder
# `release` is what ships, built twice, see tools/ship.sh; `dev` is faster, for checks of this file.
ARG PROFILE=release
WORKDIR /src
COPY Cargo.toml Cargo.lock build.rs ./
COPY .cargo ./.cargo
COPY src ./src
COPY config ./config
COPY tools ./tools
COPY benches ./benches
# Naming the target keeps the flags away from build scripts and procedural macros, which cannot be static.
RUN mkdir -p /out/data /out/config && cp config/weir.toml /out/config/weir.toml \
 && { command -v make && command -v python3 || { apt-get update && apt-get install -y --no-install-recommends make python3; }; } \
 && if [ "${PROFILE}" = release ]; then \
      WEIR_SHIP_FLAGS="-C target-feature=+crt-static" WEIR_SHIP_TARGET=/build tools/ship.sh \
      && cp /build/weir /out/weir; \
    else \
      host=$(rustc -vV | sed -n 's/^host: //p') \
      && RUSTFLAGS="-C target-feature=+crt-static" \
         cargo build --profile "${PROFILE}" --locked --bin weir --target "$host" --target-dir /build \
      && cp /build/"$host"/"$([ "${PROFILE}" = dev ] && echo debug || echo "${PROFILE}")"/weir /out/weir; \
    fi

FROM scratch
COPY --from=builder /out/weir /weir
COPY --from=builder /out/config /config
# The only place it writes to: mount a volume here and the root may be read-only.
COPY --from=builder --chown=65532:65532 /out/data /data
VOLUME /data
WORKDIR /data
USER 65532:65532
# Others can reach this address, so a start without keys is refused: give a configuration with [[keys]].
ENV WEIR_SERVER__LISTEN=0.0.0.0:8080
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["/weir", "health", "--config", "/config/weir.toml"]
ENTRYPOINT ["/weir"]
CMD ["serve", "--config", "/config/weir.toml"]
