/** Light, dark, or as the system has it. Kept in `localStorage`: it says nothing about anybody. */
export type ThemeChoice = "system" | "light" | "dark";

const STORAGE_KEY = "sandbox0.theme";
const CHOICES: readonly ThemeChoice[] = ["system", "light", "dark"];
const DARK = "(prefers-color-scheme: dark)";

export function readTheme(): ThemeChoice {
  const stored = localStorage.getItem(STORAGE_KEY);
  return CHOICES.find((choice) => choice === stored) ?? "system";
}

export function applyTheme(choice: ThemeChoice): void {
  if (choice === "system") localStorage.removeItem(STORAGE_KEY);
  else localStorage.setItem(STORAGE_KEY, choice);
  const dark = choice === "dark" || (choice === "system" && matchMedia(DARK).matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
}

/** At the start, and whenever the system changes its mind. */
export function followTheme(): void {
  applyTheme(readTheme());
  matchMedia(DARK).addEventListener("change", () => applyTheme(readTheme()));
}

export function nextTheme(choice: ThemeChoice): ThemeChoice {
  return CHOICES[(CHOICES.indexOf(choice) + 1) % CHOICES.length] ?? "system";
}
