import type { FastifyInstance } from "fastify";
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from "prom-client";

/** Seconds. */
const LATENCY_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];

/** The process's own numbers and one count and one latency a route; other parts add theirs to the registry. */
export function addRequestMetrics(
  app: FastifyInstance,
  registry: Registry,
  gauges: { streams(): number; inFlight(): number },
): void {
  collectDefaultMetrics({ register: registry });
  const requests = new Counter({
    name: "sandbox0_http_requests_total",
    help: "Requests answered, by method, route and status.",
    labelNames: ["method", "route", "status"],
    registers: [registry],
  });
  const latency = new Histogram({
    name: "sandbox0_http_request_duration_seconds",
    help: "Time from request to answer, streams not counted, by route.",
    labelNames: ["method", "route"],
    buckets: LATENCY_BUCKETS,
    registers: [registry],
  });
  const gauge = (name: string, help: string, read: () => number): Gauge =>
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(read());
      },
    });
  gauge("sandbox0_http_streams", "Event streams that are open.", gauges.streams);
  gauge("sandbox0_http_requests_in_flight", "Requests that are being answered.", gauges.inFlight);
  app.addHook("onResponse", (request, reply, done) => {
    const route = request.routeOptions.url ?? "unknown";
    requests.inc({ method: request.method, route, status: reply.statusCode });
    if (!route.endsWith("/stream")) latency.observe({ method: request.method, route }, reply.elapsedTime / 1000);
    done();
  });
}

export { Registry };
