import { type Command, choicesOf, optionsOf } from "./command.ts";

export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof SHELLS)[number];

/** What completion knows of an option. */
interface Flag {
  /** `--file`, and `-f` if it has one. */
  names: string[];
  name: string;
  short: string | undefined;
  help: string;
  /** What comes after it: nothing, one of some words, a file, or text that nobody can guess. */
  takes: "nothing" | "choice" | "file" | "text";
  choices: string[];
}

interface Entry {
  /** `sessions list`. */
  name: string;
  summary: string;
  flags: Flag[];
  /** Words for its arguments, if those are known. */
  choices: string[];
}

/** A script for the shell, made of the commands' own definitions. */
export function writeCompletion(shell: Shell, commands: readonly Command[]): string {
  const entries = commands.map(describe);
  switch (shell) {
    case "bash":
      return writeBash(entries);
    case "zsh":
      return writeZsh(entries);
    case "fish":
      return writeFish(entries);
  }
}

function describe(command: Command): Entry {
  const flags = Object.entries(optionsOf(command)).map(([name, { type, short, help, value }]): Flag => {
    const choices = choicesOf(value);
    const takes = type === "boolean" ? "nothing" : choices.length > 0 ? "choice" : value === "path" ? "file" : "text";
    return { name, short, help, takes, choices, names: [...(short === undefined ? [] : [`-${short}`]), `--${name}`] };
  });
  return { name: command.name, summary: command.summary, flags, choices: command.positionals.flatMap(choicesOf) };
}

interface Group {
  word: string;
  /** Its second words; none for a command of one word. */
  entries: Entry[];
}

function groupsOf(entries: readonly Entry[]): Group[] {
  const groups = Map.groupBy(entries, (entry) => entry.name.split(" ")[0] ?? "");
  return [...groups].map(([word, members]) => ({ word, entries: members.filter((entry) => entry.name.includes(" ")) }));
}

const secondWord = (entry: Entry): string => entry.name.split(" ")[1] ?? "";
const summaryOf = (group: Group, entries: readonly Entry[]): string =>
  group.entries.length > 0
    ? group.entries.map(secondWord).join(", ")
    : (entries.find((entry) => entry.name === group.word)?.summary ?? "");

/** A word for any of the three shells. */
const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

function writeBash(entries: readonly Entry[]): string {
  const groups = groupsOf(entries);
  const seconds = groups.filter((group) => group.entries.length > 0);
  return `# Completion of sandbox0 for bash: source <(sandbox0 completion bash)
_sandbox0() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD - 1]}" words=""
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    words=${quote(`${groups.map((group) => group.word).join(" ")} --help`)}
  elif ((COMP_CWORD == 2)); then
    case "\${COMP_WORDS[1]}" in
${seconds.map((group) => `      ${group.word}) words=${quote(`${group.entries.map(secondWord).join(" ")} --help`)} ;;`).join("\n")}
    esac
  fi
  if [[ -z $words ]]; then
    case "\${COMP_WORDS[1]} \${COMP_WORDS[2]} " in
${entries.map(bashBranch).join("\n")}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -F _sandbox0 sandbox0
`;
}

function bashBranch(entry: Entry): string {
  const texts = entry.flags.filter((flag) => flag.takes === "text").flatMap((flag) => flag.names);
  const values = [
    ...entry.flags.filter((flag) => flag.takes === "choice" || flag.takes === "file").map(bashValue),
    ...(texts.length === 0 ? [] : [`          ${texts.join(" | ")}) return ;;`]),
  ];
  const prev = values.length === 0 ? "" : `\n        case "$prev" in\n${values.join("\n")}\n        esac`;
  const words = [...entry.choices, ...entry.flags.map((flag) => `--${flag.name}`)].join(" ");
  return `      ${quote(`${entry.name} `)}*)${prev}\n        words=${quote(words)} ;;`;
}

function bashValue(flag: Flag): string {
  const [files, words] = ["compopt -o filenames 2>/dev/null; ", `-W ${quote(flag.choices.join(" "))}`];
  const [before, what] = flag.takes === "file" ? [files, "-f"] : ["", words];
  return `          ${flag.names.join(" | ")}) ${before}COMPREPLY=($(compgen ${what} -- "$cur")); return ;;`;
}

function writeZsh(entries: readonly Entry[]): string {
  const groups = groupsOf(entries);
  const describeWords = (words: readonly (readonly [string, string])[]): string =>
    words.map(([word, help]) => quote(`${word}:${help.replaceAll(":", "\\:")}`)).join(" ");
  const first = describeWords(groups.map((group) => [group.word, summaryOf(group, entries)] as const));
  const seconds = groups
    .filter((group) => group.entries.length > 0)
    .map((group) => {
      const words = describeWords(group.entries.map((entry) => [secondWord(entry), entry.summary] as const));
      return `      ${group.word}) words_of=(${words}) ;;`;
    });
  return `#compdef sandbox0
# Completion of sandbox0 for zsh: source <(sandbox0 completion zsh), or this as a file _sandbox0 in $fpath.
_sandbox0() {
  local -a words_of
  if ((CURRENT == 2)); then
    words_of=(${first})
    _describe command words_of
    return
  fi
  if ((CURRENT == 3)); then
    case "$words[2]" in
${seconds.join("\n")}
    esac
    if (($#words_of)); then
      _describe command words_of
      return
    fi
  fi
  case "$words[2] $words[3] " in
${entries.map(zshBranch).join("\n")}
  esac
}
if [[ $funcstack[1] == _sandbox0 ]]; then _sandbox0 "$@"; else compdef _sandbox0 sandbox0; fi
`;
}

function zshBranch(entry: Entry): string {
  const escapeSpec = (text: string): string => text.replaceAll(/[\\[\]:]/g, "\\$&");
  const specs = entry.flags.flatMap((flag) => {
    const action = flag.takes === "choice" ? `(${flag.choices.join(" ")})` : flag.takes === "file" ? "_files" : " ";
    const value = flag.takes === "nothing" ? "" : `:${flag.name}:${action}`;
    return flag.names.map((name) => quote(`${name}[${escapeSpec(flag.help)}]${value}`));
  });
  const rest = entry.choices.length === 0 ? [] : [quote(`1:argument:(${entry.choices.join(" ")})`)];
  const count = entry.name.split(" ").length;
  return `    ${quote(`${entry.name} `)}*) shift ${count} words; ((CURRENT -= ${count})); _arguments ${[...specs, ...rest].join(" ")} ;;`;
}

function writeFish(entries: readonly Entry[]): string {
  const groups = groupsOf(entries);
  const lines = ["# Completion of sandbox0 for fish.", "complete -c sandbox0 -f"];
  for (const group of groups) {
    const help = quote(summaryOf(group, entries));
    lines.push(`complete -c sandbox0 -n __fish_use_subcommand -a ${group.word} -d ${help}`);
    const words = group.entries.map(secondWord);
    const here = quote(`__fish_seen_subcommand_from ${group.word}; and not __fish_seen_subcommand_from ${words.join(" ")}`);
    for (const entry of group.entries)
      lines.push(`complete -c sandbox0 -n ${here} -a ${secondWord(entry)} -d ${quote(entry.summary)}`);
  }
  for (const entry of entries) {
    const here = quote(
      entry.name
        .split(" ")
        .map((word) => `__fish_seen_subcommand_from ${word}`)
        .join("; and "),
    );
    if (entry.choices.length > 0) lines.push(`complete -c sandbox0 -n ${here} -a ${quote(entry.choices.join(" "))}`);
    for (const flag of entry.flags) {
      const short = flag.short === undefined ? "" : ` -s ${flag.short}`;
      const value = { nothing: "", text: " -x", file: " -r -F", choice: ` -x -a ${quote(flag.choices.join(" "))}` }[flag.takes];
      lines.push(`complete -c sandbox0 -n ${here} -l ${flag.name}${short}${value} -d ${quote(flag.help)}`);
    }
  }
  return `${lines.join("\n")}\n`;
}
