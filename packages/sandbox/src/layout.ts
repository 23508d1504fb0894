/**
 * Where things are for a process in a sandbox (design §6). The same in every driver; what they are on the host is the
 * driver's own affair.
 */
export const WORKSPACE_DIR = "/workspace";
export const HOME_DIR = "/home/agent";
export const TEMP_DIR = "/tmp";
/** Read-only: the session's files. */
export const UPLOADS_DIR = "/mnt/session/uploads";
/** Leads there: programs of the official SDK name files by it. */
export const UPLOADS_LINK = "/uploads";
export const OUTPUTS_DIR = "/mnt/session/outputs";
/** Read-only: a directory for each skill. */
export const SKILLS_DIR = "/mnt/skills";
/** Full texts of tool results that were too long for the model. */
export const TOOL_OUTPUTS_DIR = "/tmp/tool_outputs";
/** Read-only: the Node runtime and the tool server. */
export const RUNTIME_DIR = "/opt/sandbox0";
export const NODE_PATH = `${RUNTIME_DIR}/bin/node`;
export const TOOL_SERVER_PATH = `${RUNTIME_DIR}/tool-server.cjs`;
/** Read-only: a directory for each program of a harness that runs in sandboxes. */
export const HARNESS_PROGRAMS_DIR = "/opt/harness";
/** The egress gateway's socket, when the sandbox has one, and the forwarder's port on the loopback that leads to it. */
export const EGRESS_SOCKET_PATH = "/run/sandbox0/egress.sock";
export const EGRESS_PORT = 3128;
/** The system's certificate authorities and the gateway's. */
export const CA_BUNDLE_PATH = "/run/sandbox0/ca-bundle.pem";
export const APT_CONFIG_PATH = "/etc/apt-sandbox0.conf";

/** Directories of a volume, as host names below `Volume.path`, with the place they are mounted at. */
export const VOLUME_MOUNTS: readonly { name: string; at: string; writable: boolean }[] = [
  { name: "workspace", at: WORKSPACE_DIR, writable: true },
  { name: "home", at: HOME_DIR, writable: true },
  { name: "outputs", at: OUTPUTS_DIR, writable: true },
  { name: "uploads", at: UPLOADS_DIR, writable: false },
  { name: "skills", at: SKILLS_DIR, writable: false },
  { name: "tool-outputs", at: TOOL_OUTPUTS_DIR, writable: true },
];

/** Environment of every process in a sandbox; nothing of the server's own is inherited. */
export const BASE_ENV: Readonly<Record<string, string>> = {
  PATH: `/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:${RUNTIME_DIR}/bin`,
  HOME: HOME_DIR,
  USER: "agent",
  LOGNAME: "agent",
  SHELL: "/bin/bash",
  LANG: "C.UTF-8",
  TMPDIR: TEMP_DIR,
};
