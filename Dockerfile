# The image of Bedrock Cost Keeper: `docker build --tag bedrock-cost-keeper:0.1.0 .`, with BuildKit (the default since
# Docker 23). docs/deployment/compose.md describes its arguments; scripts/docker-check checks what comes out.
#
# No `# syntax=` line: nothing newer than what every BuildKit has is used, and such a line would fetch another image.
ARG RUST_IMAGE=rust:1.94-slim-bookworm
ARG DEBIAN_IMAGE=debian:bookworm-slim

FROM ${RUST_IMAGE} AS build
WORKDIR /build
# All stores and AWS clients. `--no-default-features --features laptop` is a much quicker build of SQLite alone.
ARG CARGO_FEATURES=--all-features
# Compilers at once; each takes up to 1.5 GB. Unset: as many as there are processors.
ARG CARGO_BUILD_JOBS
# Dependencies change seldom and take most of the time, so they are a layer of their own: built for a crate that is
# empty. Cargo wants to see the tests and benchmarks that the manifest names, too.
COPY Cargo.toml Cargo.lock ./
# Names of benchmarks are single words.
# hadolint ignore=SC2013
RUN --mount=type=cache,id=bedrock-cost-keeper-registry,target=/usr/local/cargo/registry,sharing=locked \
    mkdir -p src tests/it benches \
    && touch src/lib.rs tests/it/main.rs \
    && for bench in $(sed -n '/^\[\[bench\]\]/{n;s/^name = "\(.*\)"/\1/p}' Cargo.toml); do touch "benches/$bench.rs"; done \
    && echo 'fn main() {}' > src/main.rs \
    && cargo build --profile dist --locked ${CARGO_FEATURES}
COPY migrations migrations
COPY src src
# Cargo compares times: those of the sources may be older than the empty crate's.
RUN --mount=type=cache,id=bedrock-cost-keeper-registry,target=/usr/local/cargo/registry,sharing=locked \
    touch src/lib.rs src/main.rs \
    && cargo build --profile dist --locked ${CARGO_FEATURES} \
    && mkdir /out \
    && mv target/dist/bedrock-cost-keeper /out/

# What the binary needs to run, and nothing else: the C library, libgcc (unwinding), authorities to trust, and names for
# the user. Compared with debian:bookworm-slim that is no shell, no package manager and some 70 MB less to update and to
# attack; compared with a static binary it is the C library that the binary was built and tested with. Packages stay
# listed in /var/lib/dpkg/status.d, so that scanners know them. Time zones are compiled in.
FROM ${DEBIAN_IMAGE} AS files
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates libc6 libgcc-s1 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/bedrock-cost-keeper /files/usr/local/bin/
ARG VERSION=0.1.0
WORKDIR /files
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# The libraries are those that the loader finds, whatever the architecture; `cp --parents` keeps their places. A binary
# of another version than the label's ends the build. Dates are fixed, so that the same files make the same layer.
RUN ldd usr/local/bin/bedrock-cost-keeper | grep -oE '/[^ ]+' | sort -u | xargs cp --parents --dereference --target-directory . \
    && cp --parents --dereference /etc/ssl/certs/ca-certificates.crt /etc/debian_version /usr/lib/os-release . \
    && ln -s ../usr/lib/os-release etc/os-release \
    && mkdir -p var/lib/dpkg/status.d \
    && for package in base-files ca-certificates libc6 libgcc-s1; do \
         dpkg-query --status "$package" > "var/lib/dpkg/status.d/$package"; \
         cp --parents --dereference "/usr/share/doc/$package/copyright" .; \
       done \
    && printf 'root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/data:/sbin/nologin\n' > etc/passwd \
    && printf 'root:x:0:\nnonroot:x:65532:\n' > etc/group \
    && printf 'hosts: files dns\n' > etc/nsswitch.conf \
    && mkdir --mode 1777 tmp \
    && install --directory --mode 0700 --owner 65532 --group 65532 data \
    && version=$(chroot . /usr/local/bin/bedrock-cost-keeper --version) \
    && if [ "$version" != "bedrock-cost-keeper $VERSION" ]; then echo "VERSION is $VERSION, but this is $version" >&2; exit 1; fi \
    && find . -exec touch --no-dereference --date=@0 {} +

FROM scratch
COPY --from=files /files/ /
# The licence, and those of what is compiled in where scripts/sbom was run before: whoever publishes the image has to.
COPY LICENSE target/sbom/THIRD-PARTY-NOTICES.tx[t] /licenses/
# 0.0.0.0 is the container's own; what of it is published, and to whom, is for whoever starts it to say.
ENV COST_KEEPER_SERVER__LISTEN=0.0.0.0:8080 \
    COST_KEEPER_DATA_DIR=/data
USER 65532:65532
WORKDIR /data
VOLUME /data
EXPOSE 8080 9464
# Ready after it: with requests in flight it takes up to server.drain_delay_secs + server.drain_timeout_secs (26 s).
STOPSIGNAL SIGTERM
# /health of the service's own address, over TLS where that is on. Kubernetes and ECS have probes of their own.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["/usr/local/bin/bedrock-cost-keeper", "health"]
ENTRYPOINT ["/usr/local/bin/bedrock-cost-keeper"]
CMD ["serve"]
# Last, because they differ from build to build. The version is that of Cargo.toml; the others are for whoever publishes.
ARG VERSION=0.1.0
ARG REVISION=
ARG CREATED=
ARG SOURCE=
LABEL org.opencontainers.image.title="bedrock-cost-keeper" \
      org.opencontainers.image.description="Exact, near-real-time spend and model recommendations for applications that call Amazon Bedrock" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}"
