#!/bin/sh
# Installs what is missing and nothing else: npm dependencies (Node 24 and Postgres are among them) and the Debian
# packages the sandbox needs; builds the console when its sources have changed. Idempotent; the second run takes well under a second.
# Needs only git, npm and the (possibly older) Node that npm runs on.
set -eu
cd "$(dirname "$0")/.."

STAMP=node_modules/.sandbox0-setup
NODE=node_modules/.bin/node
NODE_MAJOR_MIN=24

say() { printf 'setup: %s\n' "$*"; }
fail() {
  printf 'setup: %s\n' "$*" >&2
  exit 1
}

# What the installed tree depends on; `cksum` is the only checksum POSIX promises.
fingerprint() { cat package-lock.json scripts/setup.sh | cksum; }

node_major() { "$1" -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0; }

install_dependencies() {
  command -v npm >/dev/null 2>&1 || fail "npm is missing: install Node.js with npm (Debian: apt-get install npm), then try again"
  say "installing npm dependencies"
  # Tests need the development ones and Node comes as an optional one, whatever NODE_ENV and the user's npmrc say.
  npm ci --include=dev --include=optional --no-audit --no-fund --loglevel=error
}

check_node() {
  if [ "$(node_major "$NODE")" -ge "$NODE_MAJOR_MIN" ]; then return; fi
  # No packaged Node for this platform, or one that does not start here: the machine's own may do.
  if [ "$(node_major node)" -ge "$NODE_MAJOR_MIN" ]; then
    ln -sf "$(command -v node)" "$NODE"
    return
  fi
  fail "no Node $NODE_MAJOR_MIN for this platform ($(uname -sm)): install Node $NODE_MAJOR_MIN or newer, then try again"
}

# install_debian COMMAND PACKAGE WHY
install_debian() {
  if command -v "$1" >/dev/null 2>&1; then return; fi
  by_hand="$3 needs the Debian package '$2': run 'sudo apt-get install $2', then try again"
  command -v apt-get >/dev/null 2>&1 || fail "$by_hand (this machine has no apt-get: use its own package manager)"
  if [ "$(id -u)" = 0 ]; then
    as_root=""
  elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    as_root="sudo -n"
  else
    fail "$by_hand"
  fi
  say "installing the Debian package $2"
  $as_root apt-get update -qq || say "apt-get update failed; trying with the lists that are here"
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" >/dev/null || fail "$by_hand"
}

# The one part of the project that is built: what the server shows at /console.
build_console() {
  [ -f apps/console/index.html ] || return 0
  built=apps/console/dist
  sources=$(find apps/console -type f ! -path "$built/*" ! -path '*/node_modules/*' ! -name '*.test.ts' -exec cksum {} + | sort | cksum)
  if [ -f "$built/index.html" ] && [ "$(cat "$built/.sources" 2>/dev/null)" = "$sources" ]; then return 0; fi
  say "building the console"
  PATH="$(pwd)/node_modules/.bin:$PATH" vite build apps/console --logLevel warn || fail "the console could not be built"
  printf '%s' "$sources" >"$built/.sources"
}

if [ ! -f "$STAMP" ] || [ "$(cat "$STAMP")" != "$(fingerprint)" ] || [ ! -x "$NODE" ]; then
  install_dependencies
  check_node
  fingerprint >"$STAMP"
fi
if [ "$(uname -s)" = Linux ]; then
  install_debian bwrap bubblewrap "The sandbox"
  install_debian socat socat "The sandbox's way to the network"
  install_debian git git "A session with a repository"
  # `sh scripts/setup.sh tests`: for the pretend Internet of test/attack, and what is run in it; for the console's tests; for what documents call.
  if [ "${1:-}" = tests ]; then
    install_debian ip iproute2 "The attack suite"
    install_debian curl curl "The attack suite"
    install_debian jq jq "The test of the documents"
    install_debian openssl openssl "The test of the documents"
    install_debian chromium chromium "The test suite of the console"
  fi
fi
build_console
say "ready"
