import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import type { OpenApiDocument } from "@sandbox0/protocol/openapi";

const ID = "openapi.json";

/** One request with its answer, as they went over the wire. */
export interface Exchange {
  method: string;
  url: string;
  requestBody: string | undefined;
  status: number;
  headers: Headers;
  /** `undefined` where it is not JSON. */
  body: unknown;
}

interface Match {
  operationId: string;
  pointer: string;
  operation: Operation;
}
interface Operation {
  operationId: string;
  parameters: (Parameter | { $ref: string })[];
  requestBody?: { content: Record<string, { schema: object }> };
  responses: Record<string, Answer | { $ref: string }>;
}
interface Parameter {
  name: string;
  in: string;
  schema: { type: string; [key: string]: unknown };
}
interface Answer {
  headers?: Record<string, object>;
  content?: Record<string, { schema?: object }>;
}

/** Compares exchanges with what `/openapi.json` says of them. */
export class OpenApiChecker {
  /** Operations that were answered with 200, by their id. */
  readonly seen = new Set<string>();
  private readonly document: OpenApiDocument;
  private readonly ajv = new Ajv2020({ strict: false, allErrors: true, logger: false });
  private readonly validators = new Map<string, ValidateFunction>();

  constructor(document: OpenApiDocument) {
    this.document = document;
    addFormats.default(this.ajv);
    this.ajv.addSchema({ ...document, $id: ID });
  }

  /** @returns what does not agree, one sentence a problem */
  check(exchange: Exchange): string[] {
    const { pathname, searchParams } = new URL(exchange.url);
    const match = this.match(exchange.method, pathname);
    const name = `${exchange.method} ${pathname} ${exchange.status}`;
    if (match === undefined) return exchange.status === 404 ? [] : [`${name}: is not described`];
    const problems = [
      ...this.checkQuery(match, searchParams),
      ...this.checkRequest(match, exchange),
      ...this.checkAnswer(match, exchange),
    ];
    if (exchange.status === 200) this.seen.add(match.operationId);
    return problems.map((problem) => `${name}: ${problem}`);
  }

  /** @returns what is wrong with a value that should be of this component */
  checkComponent(component: string, value: unknown): string[] {
    return this.validate(`/components/schemas/${component}`, value);
  }

  private match(method: string, pathname: string): Match | undefined {
    const parts = pathname.split("/");
    const matches = Object.entries(this.document.paths).filter(([path, operations]) => {
      const wanted = path.split("/");
      const fits = wanted.length === parts.length && wanted.every((part, at) => part.startsWith("{") || part === parts[at]);
      return fits && method.toLowerCase() in operations;
    });
    // Where two fit, the literal one is meant.
    const [found] = matches.toSorted(([a], [b]) => a.split("{").length - b.split("{").length);
    if (found === undefined) return undefined;
    const [path, operations] = found;
    const operation = operations[method.toLowerCase()] as unknown as Operation;
    const pointer = `/paths/${path.replaceAll("~", "~0").replaceAll("/", "~1")}/${method.toLowerCase()}`;
    return { operationId: operation.operationId, operation, pointer };
  }

  private checkQuery({ operation }: Match, query: URLSearchParams): string[] {
    const parameters = operation.parameters
      .map((parameter) => this.resolve<Parameter>(parameter))
      .filter((parameter) => parameter.in === "query");
    return [...new Set(query.keys())].flatMap((key) => {
      const parameter = parameters.find(({ name }) => name === key);
      if (parameter === undefined) return key === "beta" ? [] : [`the parameter ${key} is not described`];
      const texts = query.getAll(key);
      const valid = this.ajv.validate(parameter.schema, parameterValue(parameter.schema.type, texts));
      return valid ? [] : [`the parameter ${key}=${texts.join(",")}: ${this.ajv.errorsText()}`];
    });
  }

  private checkRequest({ operation, pointer }: Match, { requestBody, status }: Exchange): string[] {
    // What the server refuses need not be as described.
    if (requestBody === undefined || status >= 400) return [];
    if (operation.requestBody?.content["application/json"] === undefined) return ["has a body, and none is described"];
    return this.validate(`${pointer}/requestBody/content/application~1json/schema`, JSON.parse(requestBody)).map(
      (problem) => `request ${problem}`,
    );
  }

  private checkAnswer({ operation, pointer }: Match, { status, headers, body }: Exchange): string[] {
    const entry = operation.responses[String(status)];
    if (entry === undefined) return ["its status is not described"];
    const answer = this.resolve<Answer>(entry);
    const base = "$ref" in entry ? entry.$ref.slice(1) : `${pointer}/responses/${status}`;
    const media = (headers.get("content-type") ?? "").split(";")[0] ?? "";
    const described = Object.keys(answer.content ?? {});
    const fits = described.find((type) => type === media || type === "*/*");
    const missing = Object.keys(answer.headers ?? {}).filter((name) => !OPTIONAL.has(name) && !headers.has(name));
    return [
      ...missing.map((name) => `the header ${name} is missing`),
      ...(fits === undefined ? [`is ${media}, described is ${described.join(", ")}`] : []),
      ...(fits === "application/json" ? this.validate(`${base}/content/application~1json/schema`, body) : []),
    ];
  }

  private validate(pointer: string, value: unknown): string[] {
    const validator = this.validators.get(pointer) ?? this.ajv.compile({ $ref: `${ID}#${pointer}` });
    this.validators.set(pointer, validator);
    return validator(value) ? [] : [`body ${this.ajv.errorsText(validator.errors)}: ${JSON.stringify(value).slice(0, 500)}`];
  }

  private resolve<T>(value: T | { $ref: string }): T {
    if (typeof value !== "object" || value === null || !("$ref" in value)) return value as T;
    const path = value.$ref.split("/").slice(1);
    return path.reduce<unknown>((at, key) => (at as Record<string, unknown>)[key], this.document) as T;
  }
}

/** Headers that are there only when there is something to say. */
const OPTIONAL = new Set(["x-should-retry", "retry-after"]);

function parameterValue(type: string, texts: readonly string[]): unknown {
  if (type === "array") return texts;
  const text = texts.at(-1) ?? "";
  if (type === "integer") return Number(text);
  return type === "boolean" ? text === "true" : text;
}
