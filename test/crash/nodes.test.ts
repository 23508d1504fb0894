import { until } from "@sandbox0/testkit";
import { describe, expect } from "vitest";
import { nodesTest, thaw } from "./nodes.ts";

describe.concurrent("two nodes", () => {
  nodesTest("hear the same bell: one of them has the turn, and the model is asked once", async (nodes) => {
    const [api] = await Promise.all([nodes.start("api"), nodes.start("worker"), nodes.start("worker")]);
    await nodes.createSession(api);
    const before = nodes.stage.model.received();
    for (let turn = 1; turn <= 10; turn++) {
      await nodes.say(api, "one after the other");
      await nodes.untilTurns(turn);
    }
    expect(nodes.stage.model.received() - before).toBe(30);
  });

  nodesTest("claim at the same time: the second waits for the row and finds nothing to do", async (nodes) => {
    const api = await nodes.start("api");
    const workers = await Promise.all([nodes.startBehindProxy("worker"), nodes.startBehindProxy("worker")]);
    await nodes.createSession(api);
    const claims: string[] = [];
    const both = Promise.withResolvers<void>();
    for (const { proxy } of workers) {
      proxy.watchers.add(({ name, when }) => {
        if (name !== "claim_lease" || claims.length > 2) return "pass";
        claims.push(when);
        // One has the row and waits before its next statement; the other's claim has been sent.
        if (claims.includes("after") && claims.filter((each) => each === "before").length === 2) both.resolve();
        return when === "after" ? "hold" : "pass";
      });
    }
    await nodes.say(api, "one after the other");
    await both.promise;
    for (const { proxy } of workers) proxy.resume();
    await nodes.untilTurns(1);
    const { rows } = await nodes.stage.db.query("select lease_generation::int as generation from session_heads");
    expect(rows).toEqual([{ generation: 1 }]);
  });

  nodesTest("one is killed, and the other goes on with its turn", async (nodes) => {
    const doomed = await nodes.start();
    await nodes.createSession(doomed);
    await nodes.sayUntilModelHolds(doomed, "one after the other", 2);
    await nodes.start("worker");
    await doomed.kill();
    const killedAt = performance.now();
    await nodes.untilTurns(1);
    console.log(`the other node ended the turn ${Math.round(performance.now() - killedAt)} ms after the kill, budget 2000 ms`);
  });
});

describe.concurrent("notifications are lost", () => {
  nodesTest("all of them: turns start, streams go on and interrupts arrive by looking at the rows", async (nodes) => {
    const [api] = await Promise.all([nodes.startDeaf("api"), nodes.startDeaf("worker")]);
    await nodes.createSession(api);
    const stream = await nodes.stage.client(api).beta.sessions.events.stream(nodes.sessionId);
    const seen = new Set<string>();
    const following = (async () => {
      for await (const event of stream) if ("id" in event) seen.add(event.id);
    })();
    await nodes.say(api, "one after the other");
    const { events } = await nodes.untilTurns(1);
    await until(() => events.every(({ id }) => seen.has(id)), { describe: "the stream to show the whole log" });

    await nodes.sayUntilModelHolds(api, "only talk", 1);
    await nodes.send(api, { type: "user.interrupt" });
    await nodes.untilTurns(2);
    stream.controller.abort();
    await following;
  });

  nodesTest("again and again, with the connections that listen", async (nodes) => {
    const [api] = await Promise.all([nodes.start("api"), nodes.start("worker")]);
    await nodes.createSession(api);
    for (let turn = 1; turn <= 5; turn++) {
      await nodes.say(api, "only talk");
      await nodes.stage.db.query(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'sandbox0 notifier'",
      );
      await nodes.untilTurns(turn);
    }
  });
});

describe.concurrent("a node that is frozen for longer than its lease", () => {
  nodesTest("loses the turn while the model answers, and writes nothing more", async (nodes) => {
    const frozen = await nodes.start();
    await nodes.createSession(frozen);
    const gate = await nodes.sayUntilModelHolds(frozen, "one after the other", 1);
    frozen.signal("SIGSTOP");
    await nodes.start("worker");
    await nodes.expireLease();
    const { events } = await nodes.untilTurns(1);
    gate.open();
    await thaw(frozen);
    expect((await nodes.record()).events).toEqual(events);
    await nodes.say(frozen, "only talk");
    await nodes.untilTurns(2);
  });

  nodesTest("loses the turn while a tool runs, whose result counts no more", async (nodes) => {
    const frozen = await nodes.start();
    await nodes.createSession(frozen);
    await nodes.sayUntilToolRuns(frozen, "wait, then the effect");
    frozen.signal("SIGSTOP");
    await nodes.start("worker");
    await nodes.expireLease();
    const { events } = await nodes.untilTurns(1);
    await nodes.letToolGoOn();
    await thaw(frozen);
    expect((await nodes.untilTurns(1)).events).toEqual(events);
  });
});

describe.concurrent("SIGTERM in the middle of a turn", () => {
  nodesTest("the turn ends here when it can in time", async (nodes) => {
    const leaving = await nodes.start();
    await nodes.createSession(leaving);
    // At its last request: what is left is short.
    const gate = await nodes.sayUntilModelHolds(leaving, "one after the other", 3);
    leaving.signal("SIGTERM");
    await until(() => leaving.output().includes("draining"));
    gate.open();
    expect(await leaving.exited).toBe(0);
    const { events } = await nodes.untilTurns(1);
    expect(events.filter((event) => event.body.is_error === true)).toEqual([]);
  });

  nodesTest("a turn that takes longer is handed over", async (nodes) => {
    const leaving = await nodes.start();
    await nodes.createSession(leaving);
    await nodes.sayUntilModelHolds(leaving, "one after the other", 2);
    await nodes.start("worker");
    leaving.signal("SIGTERM");
    expect(await leaving.exited).toBe(0);
    expect((await nodes.untilTurns(1)).head.stopReason).toEqual({ type: "end_turn" });
  });

  nodesTest("an interrupt with a message behind it is handed over too", async (nodes) => {
    const leaving = await nodes.start();
    await nodes.createSession(leaving);
    await nodes.sayUntilToolRuns(leaving, "the effect, then wait");
    await nodes.start("worker");
    await nodes.stage.send(leaving, nodes.sessionId, [{ type: "user.interrupt" }]);
    leaving.signal("SIGTERM");
    expect(await leaving.exited).toBe(0);
    expect((await nodes.untilTurns(1)).head.stopReason).toEqual({ type: "end_turn" });
  });
});
