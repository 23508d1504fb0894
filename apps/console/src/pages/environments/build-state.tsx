import type { EnvironmentBuild } from "@sandbox0/protocol";
import { apiPath } from "../../api/api-path.ts";
import { Loaded } from "../../resources/loaded.tsx";
import { useResource } from "../../resources/use-resources.ts";
import { Badge, type Tone } from "../../ui/badge.tsx";
import { CodeBlock } from "../../ui/code-block.tsx";
import { formatDuration } from "../../ui/format.ts";
import { Facts, Section } from "../../ui/page.tsx";
import { RelativeTime } from "../../ui/relative-time.tsx";

const POLL_MS = 2_000;
const IDLE_POLL_MS = 15_000;

const LOOKS: Readonly<Record<EnvironmentBuild["state"], { tone: Tone; text: string; live?: boolean }>> = {
  queued: { tone: "info", text: "Waits for its turn", live: true },
  building: { tone: "info", text: "Building", live: true },
  ready: { tone: "ok", text: "Ready" },
  failed: { tone: "bad", text: "Failed" },
};

/** How far the packages and the setup are, with the end of what they printed; live while they are made. */
export function BuildState({ environmentId }: { environmentId: string }) {
  const build = useResource<EnvironmentBuild>(apiPath`/sandbox0/v1/environments/${environmentId}/build`, {
    pollMs: (data) => (data !== undefined && LOOKS[data.state].live ? POLL_MS : IDLE_POLL_MS),
  });
  return (
    <Section title="Build">
      <Loaded reading={build} label="Loading the build">
        {(data) => <BuildDetails build={data} />}
      </Loaded>
    </Section>
  );
}

function BuildDetails({ build }: { build: EnvironmentBuild }) {
  const look = LOOKS[build.state];
  return (
    <div className="stack">
      <div role="status">
        <Facts
          facts={[
            [
              "State",
              <Badge key="state" tone={look.tone} dot live={look.live ?? false}>
                {look.text}
              </Badge>,
            ],
            ["Step", build.step],
            ["Reason", build.error],
            ["Started", build.started_at ? <RelativeTime key="started" at={build.started_at} /> : null],
            ["Took", tookOf(build)],
            ["Next try", build.retry_at ? <NextTry key="retry" at={build.retry_at} /> : null],
          ]}
        />
      </div>
      {build.log_tail === "" ? null : <CodeBlock text={build.log_tail} label="End of the build's output" fileName="build.log" />}
    </div>
  );
}

function NextTry({ at }: { at: string }) {
  return <>with the next session after {new Date(at).toLocaleTimeString(undefined, { timeStyle: "short" })}</>;
}

function tookOf({ started_at: started, finished_at: finished }: EnvironmentBuild): string | null {
  return started === null || finished === null ? null : formatDuration(Date.parse(finished) - Date.parse(started));
}
