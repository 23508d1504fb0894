import { type Command, EXIT } from "./command.ts";
import { SHELLS, writeCompletion } from "./completion-scripts.ts";

/** @param loadCommands all commands, this one included: what is completed is what is parsed */
export function createCompletion(loadCommands: () => Promise<Command[]>): Command {
  return {
    name: "completion",
    summary: "Print what a shell needs to complete commands and options.",
    positionals: [`<${SHELLS.join("|")}>`],
    options: {},
    details: `
  bash   echo 'source <(sandbox0 completion bash)' >> ~/.bashrc
  zsh    echo 'source <(sandbox0 completion zsh)' >> ~/.zshrc       (after compinit)
  fish   sandbox0 completion fish > ~/.config/fish/completions/sandbox0.fish`,
    async run(args, output) {
      const shell = SHELLS.find((name) => name === args.positionals[0]) ?? "bash";
      output.stdout.write(writeCompletion(shell, await loadCommands()));
      return EXIT.ok;
    },
  };
}
