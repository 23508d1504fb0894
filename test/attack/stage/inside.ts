import type { Reached } from "./records.ts";

/** What the process in the namespace does for the test, by messages. */
export interface Inside {
  /** Starts `sandbox0 serve` there. `socketPath` leads to its API. */
  startServer(environment: Record<string, string>): Promise<{ pid: number; port: number; socketPath: string }>;
  /** SIGTERM, or SIGKILL, and waits. */
  stopServer(pid: number, signal: "SIGTERM" | "SIGKILL"): Promise<void>;
  /** All that the servers printed. */
  output(): Promise<string>;
  /** What was reached since `forget`, in order. */
  reached(): Promise<Reached[]>;
  forget(): Promise<void>;
  /** Runs a program in the namespace, outside of every sandbox. */
  run(file: string, args: string[]): Promise<string>;
}

export type InsideCall = { [M in keyof Inside]: { id: number; method: M; args: Parameters<Inside[M]> } }[keyof Inside];
export type InsideAnswer = { id: number; value: unknown } | { id: number; error: string };
/** Sent once, when everything listens. */
export const INSIDE_READY = "ready";

/** Files of the stage's directory that both sides know. */
export const STAGE_FILES = {
  zone: "zone.json",
  tls: "tls.json",
  options: "options.json",
  authority: "authority.pem",
  /** The machine's authorities and the pretend Internet's. */
  bundle: "bundle.pem",
  resolvConf: "resolv.conf",
  /** Where apt gets packages from: nowhere, unless a test puts a file there. */
  aptSources: "sources.list.d",
  /** A socket that the test listens at: to the scripted provider. */
  provider: "provider.sock",
  /** What the sites of the pretend Internet serve. */
  sites: "sites",
  /** Its repositories, and who may do what with them. */
  github: "github",
} as const;

/** How the pretend Internet is, beyond its zone; in the file `options`. */
export interface InternetOptions {
  /** Web ports that are left for the server under test. */
  freePorts?: readonly number[];
}

/** Where the server under test finds its model provider: a port of the namespace's loopback. */
export const PROVIDER_PORT = 7001;
