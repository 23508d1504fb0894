export * from "./scripted-provider/index.ts";
