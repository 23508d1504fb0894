const pkg = (names, rest = "") => `^(?:packages|apps)/(?:${names})/src/${rest}`;
const server = (folders) => pkg("server", `(?:${folders})/`);
const door = "index[.]ts$";
const TEST = ["[.]test[.]ts$", "[.]fixture[.]ts$", "^test/", "^bench/", "/testing/"];
const TESTKIT = "^packages/testkit/";
const DRIVERS = "(bubblewrap|process|docker|kubernetes)";
const ADAPTERS = "(sandpi|claude|codex)";
const rule = (name, from, to, comment) => ({ name, severity: "error", comment, from, to });

/** The architecture, bottom up: who may import whom. An edge that is not here is an error. */
const edges = [
  [pkg("sandbox|harness|server|cli|console|testkit"), pkg("protocol", door)],
  // The API's description is a part of its own: neither a browser nor a server that starts loads it.
  [pkg("server", "http/routes/openapi"), pkg("protocol", "openapi[.]ts$")],
  [pkg("harness"), pkg("sandbox", door)],
  [server("store|log|resources|sessions|orchestrator|http"), server("domain")],
  [server("log|resources|sessions|orchestrator|blobs"), server("store")],
  [server("resources|sessions|orchestrator"), server("blobs")],
  [server("sessions|orchestrator|http"), server("log")],
  [server("sessions|http"), server("resources")],
  [server("orchestrator|http"), server("sessions")],
  [server("orchestrator"), pkg("harness|sandbox", door)],
  // Policy, MCP and the web tools: between the session's truth and the gateways that act on it.
  [server("policy|mcp|web"), server("domain|store|log|resources")],
  [server("policy|mcp|web"), pkg("egress", door)],
  [server("orchestrator"), server("policy|mcp|web")],
  // What a session did, for people and collectors.
  [server("traces"), server("domain|store|resources")],
  [server("http"), server("traces")],
  // What a session's sandbox is given.
  [server("provision"), server("domain|store|log|blobs|resources|policy")],
  [server("provision"), pkg("sandbox|egress", door)],
  [server("orchestrator"), server("provision")],
  [server("main"), pkg("server")],
  [server("main"), pkg("harness|sandbox|egress", door)],
  [pkg("cli"), pkg("server", "main/index[.]ts$")],
  // `sandbox0 doctor` asks the drivers what this machine can do; `sandbox0 demo` plays the scripted provider.
  [pkg("cli", "doctor"), pkg("sandbox", door)],
  [pkg("cli", "demo"), pkg("testkit", door)],
  [pkg("testkit"), pkg("server|harness|sandbox|egress")],
];

/** What tests may reach besides: every package's door, the conformance suites, the testkit. */
const testEdges = [
  [TEST, pkg("[^/]+", door)],
  [TEST, pkg("protocol", "openapi[.]ts$")],
  [TEST, pkg("[^/]+", "testing/")],
  [TEST, pkg("server", "main/index[.]ts$")],
  // A test of one layer sets its stage with the layers below it, through the same files production uses.
  [pkg("server", ".+[.](?:test|fixture)[.]ts$"), pkg("server", "(?!http/|orchestrator/|main/)")],
  ["^test/", "^test/"],
  ["^bench/", "^(?:bench|test)/"],
  // What writes to a log as another node would: figures and tests with logs that no model has the time to write.
  ["^(?:bench/second-node|test/browser/fixture/log-writer)[.]ts$", server("store|log|domain|main")],
];

export default {
  allowedSeverity: "error",
  allowed: [
    ...[...edges, ...testEdges].map(([from, to]) => ({ from: { path: from }, to: { path: to } })),
    { from: { path: "^(packages/server/src/[^/]+|packages/[^/]+/src|apps/[^/]+/src)/" }, to: { path: "^$1/" } },
    { from: { path: "^scripts/" }, to: { path: "^scripts/" } },
    { from: {}, to: { pathNot: "^(?:packages|apps|test|bench|scripts)/" } },
  ],
  forbidden: [
    rule("no-circular", {}, { circular: true }, "A cycle has no bottom to understand or test first."),
    rule("not-to-unresolvable", {}, { couldNotResolve: true }, "The import leads nowhere."),
    rule(
      "protocol-needs-zod-only",
      { path: "^packages/protocol/src/", pathNot: TEST },
      { pathNot: ["^packages/protocol/src/", "^node_modules/zod/"] },
      "The wire runs in a browser: nothing heavy may enter it.",
    ),
    rule(
      "domain-is-pure",
      { path: "^packages/server/src/domain/", pathNot: TEST },
      { pathNot: ["^packages/server/src/domain/", "^packages/protocol/src/", "^node_modules/zod/"] },
      "No I/O in the domain: not Node, not a library.",
    ),
    rule(
      "egress-knows-nothing-of-ours",
      { path: "^packages/egress/src/", pathNot: TEST },
      { path: "^(?:packages|apps)/", pathNot: "^packages/egress/" },
      "The process that holds secrets has the smallest dependency tree.",
    ),
    rule(
      "cross-border-by-package-name",
      { path: "^(packages|apps)/([^/]+)/" },
      { path: "^(?:packages|apps)/", pathNot: "^$1/$2/", dependencyTypes: ["local"] },
      "Another package is imported by its name, never by a relative path.",
    ),
    rule(
      "drivers-are-siblings",
      { path: `^packages/sandbox/src/${DRIVERS}/` },
      { path: `^packages/sandbox/src/${DRIVERS}/`, pathNot: "^packages/sandbox/src/$1/" },
      "A sandbox driver never imports another.",
    ),
    rule(
      "harnesses-are-siblings",
      { path: `^packages/harness/src/${ADAPTERS}/` },
      { path: `^packages/harness/src/${ADAPTERS}/`, pathNot: "^packages/harness/src/$1/" },
      "A harness never imports another.",
    ),
    rule(
      "postgres-only-in-store",
      { pathNot: ["^packages/server/src/store/", TESTKIT, "^test/", "^bench/"] },
      { path: "node_modules/(?:pg|postgres)/" },
      "SQL has one home.",
    ),
    rule(
      "s3-only-in-blobs",
      { pathNot: ["^packages/server/src/blobs/", "^bench/"] },
      { path: "node_modules/@aws-sdk/" },
      "Where blobs are kept is nobody else's business.",
    ),
    rule(
      "no-production-to-test",
      { pathNot: [...TEST, TESTKIT, "^apps/cli/src/demo", "^packages/[^/]+/vitest[.]config"] },
      { path: [...TEST, TESTKIT] },
      "Production code does not import tests; the CLI's demo alone plays the testkit's scripted provider.",
    ),
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    doNotFollow: { path: "node_modules" },
    exclude: { path: "/dist/" },
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["types", "import", "node", "default"] },
  },
};
