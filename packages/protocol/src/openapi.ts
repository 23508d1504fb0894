import type { z } from "zod";
import { JSON_FORMS } from "./json-forms.ts";
import { OPERATION_SHAPES, OWN_OPERATIONS, type OwnOperation, SYSTEM_OPERATIONS } from "./openapi-operations.ts";
import { errorResponses, headerReferences, sharedComponents, sharedParameters, traceparentParameter } from "./openapi-parts.ts";
import { type JsonSchema, SchemaComponents } from "./openapi-schemas.ts";
import { OPERATION_NAMES, OPERATIONS, type OperationName } from "./operations.ts";
import { RESPONSES } from "./responses.ts";

/** OpenAPI 3.1. */
export interface OpenApiDocument {
  openapi: string;
  info: { title: string; version: string; [key: string]: unknown };
  paths: Record<string, Record<string, OpenApiOperation>>;
  components: { schemas: Record<string, JsonSchema>; [key: string]: unknown };
  [key: string]: unknown;
}
export interface OpenApiOperation {
  operationId: string;
  responses: Record<string, unknown>;
  [key: string]: unknown;
}

export interface OpenApiOptions {
  version: string;
  /** Operations of the official API that the server answers; the others are shown as what they are: 501. */
  built: ReadonlySet<OperationName>;
}

const DESCRIPTION =
  "The Claude Managed Agents API as this server speaks it (`/v1`), and what it adds (`/sandbox0/v1`). Lists in a query are " +
  "written `statuses[]=idle&statuses[]=running`; an empty value counts as none. Times are RFC 3339, ids are opaque.";

/** An operation with all that is said of it. */
interface Described extends OwnOperation {
  name: string;
  built: boolean;
  tag: string;
  secured: boolean;
}

/**
 * The description of the whole API, made from the schemas that read requests and check answers.
 * @throws Error when a built operation is not described: a bug
 */
export function createOpenApiDocument({ version, built }: OpenApiOptions): OpenApiDocument {
  const schemas = new SchemaComponents();
  const paths: OpenApiDocument["paths"] = {};
  const tags = new Set<string>();
  for (const operation of [...official(built), ...own()]) {
    tags.add(operation.tag);
    const path = paths[operation.path] ?? {};
    paths[operation.path] = path;
    path[operation.method.toLowerCase()] = describe(operation, schemas);
    if (isUpdate(operation)) {
      const summary = `${operation.summary} (as POST; older material has it so)`;
      path.patch = describe({ ...operation, name: `${operation.name}.patch`, summary }, schemas);
    }
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Sandbox0 Managed Agents",
      version,
      description: DESCRIPTION,
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/" }],
    security: [{ bearer: [] }, { apiKey: [] }],
    tags: [...tags].map((name) => ({ name })),
    paths,
    components: { ...sharedComponents(schemas.refTo("Error")), schemas: schemas.toJson() },
  };
}

/** Updates are POST in the SDKs, and answered as PATCH too (contract §1.4). */
const isUpdate = ({ name }: { name: string }): boolean => name.endsWith(".update");

function official(built: ReadonlySet<OperationName>): Described[] {
  return OPERATION_NAMES.map((name) => {
    const [method, path] = OPERATIONS[name];
    const tag = name.slice(0, name.lastIndexOf("."));
    if (!built.has(name)) return { name, method, path, tag, built: false, secured: true, summary: "Not built: answers 501" };
    const shape = OPERATION_SHAPES[name];
    const response = RESPONSES[name];
    if (shape === undefined || (response === undefined && shape.media === undefined)) throw new Error(`${name} is not described`);
    return { name, method, path, tag, built: true, secured: true, ...shape, ...(response === undefined ? {} : { response }) };
  });
}

function own(): Described[] {
  const of = (operations: Readonly<Record<string, OwnOperation>>, tag: string, secured: boolean): Described[] =>
    Object.entries(operations).map(([name, operation]) => ({ ...operation, name, tag, secured, built: true }));
  return [...of(OWN_OPERATIONS, "sandbox0", true), ...of(SYSTEM_OPERATIONS, "system", false)];
}

function describe(operation: Described, schemas: SchemaComponents): OpenApiOperation {
  const { name, tag, summary, description, built, secured } = operation;
  return {
    operationId: name,
    tags: [tag],
    summary,
    ...(description === undefined ? {} : { description }),
    parameters: [
      ...pathParameters(operation.path),
      ...queryParameters(operation),
      ...(secured ? headerParameters(operation) : []),
    ],
    ...requestBody(operation, schemas),
    responses: responsesOf(operation, schemas),
    ...(secured ? {} : { security: [] }),
    ...(built ? {} : { "x-sandbox0-not-built": true }),
  };
}

function pathParameters(path: string): object[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({ name, in: "path", required: true, schema: { type: "string" } }));
}

function queryParameters({ name: operation, query }: Described): object[] {
  return Object.entries(query?.shape ?? {}).map(([name, schema]) => {
    const form = JSON_FORMS.get(schema as z.ZodType);
    if (form === undefined) throw new Error(`${operation}: the form of the parameter ${name} is not known`);
    return { name: form.type === "array" ? `${name}[]` : name, in: "query", required: false, schema: form };
  });
}

function headerParameters({ name }: Described): object[] {
  return name === "sessions.create" ? [...sharedParameters, traceparentParameter] : sharedParameters;
}

function requestBody({ name, body, form }: Described, schemas: SchemaComponents): object {
  const schema = body ?? form;
  if (schema === undefined) return {};
  const content = { schema: schemas.refer(schema, `${componentName(name.replace(/\.patch$/, ""))}Params`) };
  return {
    requestBody: {
      required: isRequired(schema),
      content: { [form === undefined ? "application/json" : "multipart/form-data"]: content },
    },
  };
}

/** What is not there is `{}`. */
const isRequired = (schema: z.ZodType): boolean => !schema.safeParse({}).success;

function responsesOf(operation: Described, schemas: SchemaComponents): Record<string, unknown> {
  if (!operation.built) return { ...errorResponses(["401", "501"]) };
  const { media, secured } = operation;
  const schema = answerSchema(operation, schemas);
  const ok = {
    description: "OK",
    headers: secured ? headerReferences : { "request-id": headerReferences["request-id"] },
    content: { [media ?? "application/json"]: schema },
  };
  if (!secured) return { "200": ok, ...(operation.path === "/readyz" ? { "503": { ...ok, description: "Not ready" } } : {}) };
  return { "200": ok, ...errorResponses(errorStatuses(operation)) };
}

function answerSchema({ name, media, response }: Described, schemas: SchemaComponents): object {
  if (media === "text/event-stream")
    return {
      schema: { type: "string", description: "Each `data:` line is a StreamEvent." },
      "x-event-schema": schemas.refTo("StreamEvent"),
    };
  if (media === "text/plain") return { schema: { type: "string" } };
  return response === undefined
    ? {}
    : { schema: schemas.refer(response, `${componentName(name.replace(/\.patch$/, ""))}Response`) };
}

function errorStatuses({ method, path, body, form, name }: Described): string[] {
  const changes = method !== "GET";
  const takesBody = body !== undefined || form !== undefined;
  return [
    "400",
    "401",
    "403",
    ...(path.includes("{") || takesBody ? ["404"] : []),
    ...(changes ? ["409"] : []),
    ...(takesBody ? ["413"] : []),
    ...(name.endsWith("events.send") ? ["429"] : []),
    "500",
    ...(name === "sessions.create" || name === "sessions.update" || name === "sessions.events.send" ? ["501"] : []),
    "503",
    "529",
  ];
}

/** `sessions.events.send` → `SessionsEventsSend`. */
function componentName(operation: string): string {
  return operation.replaceAll(/(?:^|\.)(\w)/g, (_match, letter: string) => letter.toUpperCase());
}
