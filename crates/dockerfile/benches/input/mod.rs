//! The files that are measured; other crates include this module by path to measure what comes after parsing.

use std::fmt::Write as _;

/// One stage of an ordinary service, 20 instructions long.
const STAGE: &str = r#"
# stage{N} builds one part of the service
FROM node:${NODE_VERSION}-alpine AS stage{N}
ARG BUILD_VERSION
ENV NODE_ENV=production PATH=/app/node_modules/.bin:$PATH
WORKDIR /app
COPY package.json package-lock.json ./
RUN --mount=type=cache,target=/root/.npm,sharing=locked \
    --mount=type=secret,id=npmrc,target=/root/.npmrc \
    npm ci --omit=dev
COPY --chown=node:node . .
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
       ca-certificates \
       curl \
    # the lists are of no use later
    && rm -rf /var/lib/apt/lists/*
LABEL org.opencontainers.image.title="part {N}" org.opencontainers.image.version=${BUILD_VERSION}
RUN npm run build -- --part={N} && npm test
COPY --from=0 --link /etc/ssl/certs /etc/ssl/certs
ADD --checksum=sha256:24454f830cdb571e2c4ad15481119c43b3cafd48dd869a9b2945d1036d1dc68d https://example.org/tool-{N}.tar.gz /opt/
RUN <<EOF
set -e
tar -C /opt -xzf /opt/tool-{N}.tar.gz
EOF
EXPOSE 3000 9229/tcp
VOLUME ["/data", "/var/log/part{N}"]
USER node
HEALTHCHECK --interval=30s --timeout=3s --retries=3 CMD ["node", "healthcheck.js"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/entry.sh"]
CMD ["node", "dist/server.js", "--part", "{N}"]
"#;

/// Makes a file with at least so many instructions.
pub(crate) fn dockerfile(instructions: usize) -> String {
    let mut file = String::from("# syntax=docker/dockerfile:1\nARG NODE_VERSION=20\n");
    for stage in 0..instructions.div_ceil(20) {
        let _ = write!(file, "{}", STAGE.replace("{N}", &stage.to_string()));
    }
    file
}
