# syntax=docker/dockerfile:1
# The images of Slipway, built by Slipway: `slipway build --target executor .`
# `cargo xtask images` puts programs that cargo compiled already in the place of the stage `programs`.

# Whatever a program says of its sources begins with /src, on every machine.
FROM rust:1.95-slim-bookworm AS compile
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \
    rm -f /etc/apt/apt.conf.d/docker-clean \
    && apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev musl-tools
WORKDIR /src
COPY . .
ARG PROFILE=release
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target <<'EOF'
set -eu
target="$(uname -m)-unknown-linux-musl"
# Without rustup the target came with the compiler.
if command -v rustup > /dev/null; then rustup target add "$target"; fi
cargo build --locked --profile "$PROFILE" --target "$target" \
  --package slipway-cli --package slipway-executor --package slipway-operator
mkdir /out
cd "target/$target/$PROFILE"
cp slipway slipway-executor slipway-operator /out/
EOF

FROM scratch AS programs
COPY --from=compile /out/ /

FROM debian:bookworm-slim AS tools
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \
    rm -f /etc/apt/apt.conf.d/docker-clean \
    && apt-get update \
    && apt-get install -y --no-install-recommends busybox-static ca-certificates git openssh-client
# Sources are fetched with git and ssh. They come with just the libraries that they load.
RUN <<'EOF'
set -eu
mkdir -p /out/bin /out/usr/bin /out/usr/lib/git-core /out/etc/ssl/certs /out/tmp /out/root
chmod 1777 /out/tmp
cd /usr/lib/git-core
cp git-remote-http git-sh-setup git-sh-i18n git-submodule /out/usr/lib/git-core/
ln -s git-remote-http /out/usr/lib/git-core/git-remote-https
cp /usr/bin/git /usr/bin/ssh /usr/bin/ssh-agent /usr/bin/ssh-add /out/usr/bin/
ln -s ../../bin/git /out/usr/lib/git-core/git
cp /bin/busybox /out/bin/busybox
for applet in sh basename cat dirname expr sed tr uname wc cut; do ln -s busybox "/out/bin/$applet"; done
for program in /usr/bin/git /usr/bin/ssh /usr/bin/ssh-agent /usr/bin/ssh-add /usr/lib/git-core/git-remote-http; do
  ldd "$program"
done | sed -n 's|^.*[[:space:]]\(/[^ ]*\) (0x.*$|\1|p' | sort -u | while read -r library; do
  mkdir -p "/out$(dirname "$library")"
  cp -L "$library" "/out$library"
done
cp /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/
printf '%s\n' 'root:x:0:0:root:/root:/bin/sh' 'slipway:x:65532:65532:slipway:/tmp:/bin/sh' > /out/etc/passwd
printf '%s\n' 'root:x:0:' 'slipway:x:65532:' > /out/etc/group
echo 'hosts: files dns' > /out/etc/nsswitch.conf
# Says that this container's own file system may be emptied and used as a root: see docs/design/isolation.md.
touch /out/.slipway-disposable
EOF

FROM scratch AS executor
COPY --from=tools /out /
COPY --from=programs /slipway-executor /usr/bin/slipway-executor
ENTRYPOINT ["/usr/bin/slipway-executor"]

FROM scratch AS operator
COPY --from=programs /slipway-operator /usr/bin/slipway-operator
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usr/bin/slipway-operator"]
