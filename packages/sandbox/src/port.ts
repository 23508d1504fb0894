/**
 * The sandbox port (design §6). A driver makes sandboxes; a sandbox runs commands over a volume. Nothing here opens a
 * port: whatever talks to a process in a sandbox does so over that process's stdio.
 */

/** Hard limits of one sandbox; a driver that cannot enforce one says so in `capabilities.enforces`. */
export interface SandboxLimits {
  memoryBytesMax: number;
  processesMax: number;
  diskBytesMax: number;
  openFilesMax: number;
  /** Share of the machine's processors, in cores. */
  cpuCoresMax: number;
}

/** The session's files on the host: they outlive every sandbox that mounts them. Made by `createVolume`. */
export interface Volume {
  id: string;
  /** Absolute host path; holds `workspace/`, `home/`, `outputs/` and `uploads/`. */
  path: string;
}

/** A host directory that a sandbox sees, besides its volume. */
export interface SandboxMount {
  /** Absolute host path, below the driver's directory. */
  source: string;
  /** Absolute path in the sandbox; nothing else is there. */
  at: string;
  writable: boolean;
}

/** What a sandbox must be started with; it cannot be given to a living one. */
export interface Equipment {
  mounts: readonly SandboxMount[];
  /** Host directories that lie over the system's, the first on top. */
  layers: readonly string[];
}

export interface SandboxSpec {
  volume: Volume;
  /** Default: nothing besides the volume. */
  equipment?: Equipment;
  limits: SandboxLimits;
  /** Extra environment of every process. Never a secret: placeholders only (design §2.7). */
  env: Readonly<Record<string, string>>;
  /** Opens the sandbox's one way out; `null`: no way out at all. */
  openEgress: OpenEgress | null;
}

/**
 * Makes the egress gateway listen on a Unix socket that is the sandbox's identity: whoever comes through it is this
 * sandbox. The driver shows the socket to the sandbox and to nobody else, and closes it with the sandbox.
 * @param socketPath where the socket shall be, in a directory of the sandbox's own
 */
export type OpenEgress = (sandboxId: string, socketPath: string) => Promise<{ close(): Promise<void> }>;

export interface ExecOptions {
  env?: Readonly<Record<string, string>>;
  cwd?: string;
  signal?: AbortSignal;
  /** `false`: this command has no way out, and costs less to start. Default: what the sandbox has. */
  network?: boolean;
}

export interface ExecExit {
  code: number | null;
  signal: NodeJS.Signals | null;
  /** Set when the sandbox's own limits ended the process. */
  killedBy?: "memory" | "disk";
}

/**
 * A process in the sandbox. Streams are plain Node streams: their backpressure is the bound on memory. Input to a
 * process that has ended is dropped; `stdin` emits no error for it.
 */
export interface SandboxProcess {
  readonly stdin: NodeJS.WritableStream;
  readonly stdout: NodeJS.ReadableStream;
  readonly stderr: NodeJS.ReadableStream;
  /** Signals the process and all its descendants. */
  kill(signal?: NodeJS.Signals): void;
  /** Resolves once, never rejects. */
  readonly exited: Promise<ExecExit>;
}

export interface FileEntry {
  path: string;
  type: "file" | "directory" | "symlink" | "other";
  sizeBytes: number;
  modifiedAt: Date;
}

/** Why the sandbox could not do it. A value of the port, not a bug: callers decide what the agent is told. */
export class SandboxError extends Error {
  readonly code: "unavailable" | "destroyed" | "not_found" | "path_refused" | "limit" | "io";
  constructor(code: SandboxError["code"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "SandboxError";
    this.code = code;
  }
}

/** Commands of one sandbox share its volume, `/tmp` and limits; whether they see each other's processes is open. */
export interface Sandbox {
  readonly id: string;
  /** @throws SandboxError `destroyed`; `unavailable` while paused */
  exec(command: readonly string[], options?: ExecOptions): Promise<SandboxProcess>;
  /** Paths are the sandbox's own (`/workspace/a`). @throws SandboxError `not_found`, `path_refused`, `io` */
  readFile(path: string): Promise<Uint8Array>;
  writeFile(path: string, data: Uint8Array): Promise<void>;
  list(path: string): Promise<FileEntry[]>;
  /** Nothing runs in it but the very commands that were started by `exec`: no program that one has left in the background. */
  isQuiet(): Promise<boolean>;
  /** Freezes every process; idempotent. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Ends every process and removes all but the volume; idempotent. */
  destroy(): Promise<void>;
  /** Resolves when the sandbox is gone for whatever reason. */
  readonly gone: Promise<void>;
}

export interface SandboxCapabilities {
  isolation: "none" | "namespaces" | "gvisor" | "vm";
  pause: boolean;
  /** Which of the limits this driver enforces on this host. */
  enforces: readonly (keyof SandboxLimits)[];
}

/** One line of `sandbox0 doctor`. */
export interface Finding {
  name: string;
  ok: boolean;
  detail: string;
  /** What to do, when not ok. */
  fix?: string;
}

/** A layer in the making. */
export interface LayerDraft {
  /**
   * No session's: its processes are root of their own, with the system's own programs and without tools, and what they
   * change below `/etc`, `/opt`, `/usr` and `/var` is what the layer will be. Commands run in it one after the other.
   */
  readonly sandbox: Sandbox;
  /**
   * Ends the sandbox. The layer is there from now on, whole; nothing of it changes any more.
   * @returns its host directory, for `Equipment.layers`
   * @param signal ends it before its time
   * @param admit told what it takes on the disk, right before it is there
   * @throws SandboxError `unavailable` when no sandbox starts with it; the signal's reason; what `admit` throws. There is no
   *   layer then
   */
  keep(signal?: AbortSignal, admit?: (sizeBytes: number) => Promise<void>): Promise<string>;
  /** Ends the sandbox and removes everything; idempotent, and without effect on what is kept. */
  discard(): Promise<void>;
}

/** An image in the making. */
export interface ImageSource {
  /** An OCI image layout or what `docker save` writes, as tar, also compressed by gzip or zstd. */
  archive: AsyncIterable<Uint8Array>;
  signal?: AbortSignal;
  /** Told how it goes on, in lines for people. */
  onProgress(line: string): void;
  /** As `LayerDraft.keep`. */
  admit?: (sizeBytes: number) => Promise<void>;
}

/** A layer that is there. */
export interface LayerInfo {
  name: string;
  /** When it was found, or its last sandbox ended. */
  usedAt: Date;
  /** On the disk. */
  sizeBytes: number;
  /** Sandboxes run with it, of this server or another one on the same directory. */
  inUse: boolean;
}

/** Layers over the system of this machine, by name: `[A-Za-z0-9_-]`, 128 characters at most. */
export interface Layers {
  /**
   * Changes when the system changes that layers lie over: they fit no other one.
   * @throws SandboxError `unavailable` where sandboxes cannot have layers, with the reason
   */
  systemKey(): Promise<string>;
  /** Its host directory, for `Equipment.layers`; `null`: there is none. Counts as a use. */
  find(name: string): Promise<string | null>;
  /**
   * Begins to make one. A draft that its process leaves behind is removed by the next.
   * @param image the name of one that it shall lie over, in place of the system of this machine
   * @throws SandboxError `unavailable`
   */
  draft(name: string, spec: Omit<SandboxSpec, "volume" | "equipment">, image?: string | null): Promise<LayerDraft>;
  /**
   * Makes a layer that is a whole system of its own: sandboxes that are equipped with it, or with one over it, see nothing of
   * the system of this machine.
   * @returns its host directory, for `Equipment.layers`
   * @throws SandboxError `unavailable` for what is no image that sandboxes here can have, with a sentence; what reading the
   *   archive throws; the signal's reason; what `admit` throws. There is no layer then
   */
  unpackImage(name: string, source: ImageSource): Promise<string>;
  list(): Promise<LayerInfo[]>;
  /** Idempotent. @returns false: sandboxes run with it, and it stays */
  remove(name: string): Promise<boolean>;
}

export interface SandboxDriver {
  readonly name: string;
  /** Absent: sandboxes of this driver have no layers. */
  readonly layers?: Layers;
  capabilities(): Promise<SandboxCapabilities>;
  /** What this machine lacks to run the driver; all `ok` means `create` works. */
  check(): Promise<Finding[]>;
  /** @throws SandboxError `unavailable` with a sentence that says what to install */
  create(spec: SandboxSpec): Promise<Sandbox>;
}
