export * from "./content.ts";
export * from "./errors.ts";
export * from "./events.ts";
export * from "./ids.ts";
