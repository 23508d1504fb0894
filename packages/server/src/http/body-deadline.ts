import { ApiError } from "@sandbox0/protocol";
import type { FastifyInstance, FastifyRequest } from "fastify";

/** A whole request must be here within this time, unless its route has one of its own. */
const BODY_MS_MAX = 120_000;
/** The longest that a route may have. */
export const REQUEST_MS_MAX = 3_600_000;
/** What a client has to notice that it was answered before it sent everything. */
const LINGER_MS = 10_000;

declare module "fastify" {
  interface FastifyContextConfig {
    /** The time a body may take to come. */
    bodyMsMax?: number;
  }
}

/** Answers a request whose body does not come, and leaves one that was answered before its body had come (contract §1.4). */
export function addBodyDeadline(app: FastifyInstance, bodyMsMax = BODY_MS_MAX): void {
  const timers = new WeakMap<FastifyRequest, NodeJS.Timeout>();
  app.addHook("onRequest", (request, reply, done) => {
    done();
    if (!hasBody(request)) return;
    const timeout = () => {
      if (!reply.sent) void reply.send(tooSlow());
    };
    timers.set(request, setTimeout(timeout, request.routeOptions.config.bodyMsMax ?? bodyMsMax));
    // All of it was read, or the client has left.
    request.raw.once("close", () => clearTimeout(timers.get(request)));
  });
  app.addHook("onResponse", (request, _reply, done) => {
    const timer = timers.get(request);
    if (timer !== undefined && !request.raw.closed) {
      clearTimeout(timer);
      timers.set(
        request,
        setTimeout(() => request.raw.destroy(), LINGER_MS),
      );
      // What still comes is thrown away: a connection closed on a client that sends may take the answer along.
      request.raw.resume();
    }
    done();
  });
}

function hasBody({ headers }: FastifyRequest): boolean {
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
}

function tooSlow(): ApiError {
  const details = { error_code: "request_body_timeout" };
  return new ApiError("invalid_request_error", "The request body took too long to arrive.", { details });
}
