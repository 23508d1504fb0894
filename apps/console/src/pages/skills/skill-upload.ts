/** What an operating system puts into folders without being asked. */
const JUNK = /(?:^|\/)(?:\.DS_Store|Thumbs\.db|desktop\.ini)$/;

/** A chosen file, with its path where it came with a folder. */
export type ChosenFile = Pick<File, "name" | "size"> & { readonly webkitRelativePath?: string };

export const pathOf = (file: ChosenFile): string => file.webkitRelativePath || file.name;

/** What is sent of what was chosen. */
export function skillFiles<F extends ChosenFile>(chosen: readonly F[]): F[] {
  return chosen.filter((file) => !JUNK.test(pathOf(file)));
}

/** What keeps the files from being a skill; `null`: nothing that can be seen from here. */
export function describeSkillProblem(files: readonly ChosenFile[]): string | null {
  if (files.length === 0) return "Choose a zip archive, or the folder of the skill.";
  const [first] = files;
  if (files.length === 1 && first && /\.(?:zip|skill)$/i.test(first.name)) return null;
  const folders = new Set(files.map((file) => pathOf(file).split("/")[0]));
  if (files.some((file) => !pathOf(file).includes("/"))) return "Choose one zip archive, or a folder: files need their folder.";
  if (folders.size > 1) return "All files must be in one folder.";
  return files.some((file) => /^[^/]+\/SKILL\.md$/.test(pathOf(file))) ? null : "The folder has no SKILL.md at its top.";
}

/** The parts of an upload, as the API takes them (contract §12). */
export function skillForm(files: readonly File[], displayName: string): FormData {
  const form = new FormData();
  if (displayName.trim() !== "") form.append("display_name", displayName.trim());
  for (const file of files) form.append("files[]", file, pathOf(file));
  return form;
}
