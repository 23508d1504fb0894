import type { PackageManager } from "@sandbox0/protocol";
import type { EnvironmentRecipe } from "../../resources/environments/environment-recipe.ts";

/** What a step is called in a build's progress. */
export type BuildStep = PackageManager | "setup";

/** The command that a manager is there with, and the packages of Debian that bring it where the machine has none. */
const MANAGERS: Readonly<Record<PackageManager, { probe: string; debian: readonly string[] }>> = {
  apt: { probe: "command -v apt-get", debian: [] },
  cargo: { probe: "command -v cargo", debian: ["cargo"] },
  gem: { probe: "command -v gem", debian: ["ruby"] },
  go: { probe: "command -v go", debian: ["golang-go"] },
  npm: { probe: "command -v npm", debian: ["npm"] },
  pip: { probe: "python3 -m pip --version", debian: ["python3-pip"] },
};

/** Everything goes below /usr, /etc, /opt and /var; caches go to the draft's own home and /tmp. */
const PRELUDE = `set -e -o pipefail
# Steps are told on the first stream; what programs say, and they may say it to both, goes to the second.
exec 3>&1 1>&2 </dev/null
export DEBIAN_FRONTEND=noninteractive PIP_BREAK_SYSTEM_PACKAGES=1 PIP_ROOT_USER_ACTION=ignore PIP_NO_INPUT=1 NO_COLOR=1 TERM=dumb
export PATH="$PATH:/usr/local/go/bin:/usr/lib/go/bin"
umask 022
cd /workspace
fail() { echo "$1" >&2; exit 1; }
apt_install() {
  if [[ -z $updated ]]; then apt-get -q -o Acquire::Retries=3 update; updated=yes; fi
  apt-get -q -y -o Acquire::Retries=3 --no-install-recommends install -- "$@"
}
# $1: how to see that it is there; then what to install it with.
need() {
  if bash -c "$1" >/dev/null 2>&1; then return; fi
  [[ $# -gt 1 ]] || fail "this machine has no such package manager"
  command -v apt-get >/dev/null || fail "this machine has no such package manager, and no apt to install it with"
  apt_install "\${@:2}"
}
apt_step() { apt_install "$@"; }
cargo_step() { CARGO_HOME=/tmp/cargo cargo install --root /usr/local -- "$@"; }
gem_step() { gem install --no-document --bindir /usr/local/bin "$@"; }
go_step() {
  for spec in "$@"; do
    [[ $spec == *@* ]] || spec=$spec@latest
    GOBIN=/usr/local/bin GOPATH=/tmp/go GOCACHE=/tmp/go-cache GOFLAGS=-modcacherw go install -- "$spec"
  done
}
npm_step() { npm install --global --prefix /usr/local --no-audit --no-fund --no-update-notifier -- "$@"; }
pip_step() { python3 -m pip install --no-cache-dir --disable-pip-version-check -- "$@"; }
setup_step() { bash -e -o pipefail -c "$1"; }
`;

/**
 * The bash script that makes a layer of a recipe, as root of a draft. It prints the name of each step on standard output before
 * it begins, and everything else on standard error; it ends at the first step that fails.
 */
export function buildScript(recipe: EnvironmentRecipe): string {
  const steps = recipe.packages.map(({ manager, specs }) => {
    const { probe, debian } = MANAGERS[manager];
    const need = ["need", probe, ...debian].map(quote).join(" ");
    return stepLines(manager, [need, [`${manager}_step`, ...specs.map(quote)].join(" ")]);
  });
  if (recipe.setup !== null) steps.push(stepLines("setup", [`setup_step ${quote(recipe.setup)}`]));
  return [PRELUDE, ...steps].join("\n");
}

/** Nothing that it starts gets hold of the stream of steps. */
function stepLines(step: BuildStep, commands: readonly string[]): string {
  return [`echo ${step} >&3`, `{ ${commands.join("; ")}; } 3>&-`].join("\n");
}

const quote = (word: string): string => `'${word.replaceAll("'", String.raw`'\''`)}'`;
