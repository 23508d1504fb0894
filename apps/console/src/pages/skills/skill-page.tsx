import type { SkillInfo, SkillVersionInfo } from "@sandbox0/protocol";
import { Link, useNavigate, useParams } from "@tanstack/react-router";
import { useState } from "react";
import { apiPath } from "../../api/api-path.ts";
import { Confirm } from "../../resources/confirm.tsx";
import { DownloadButton } from "../../resources/download.tsx";
import { ListTable, Loaded } from "../../resources/loaded.tsx";
import { useResource, useResourceList } from "../../resources/use-resources.ts";
import { UntrustedLine } from "../../text/untrusted.tsx";
import { Badge } from "../../ui/badge.tsx";
import { Button, IconButton } from "../../ui/button.tsx";
import { CopyId } from "../../ui/copy.tsx";
import { Menu } from "../../ui/menu.tsx";
import { Facts, PageHeader, Section } from "../../ui/page.tsx";
import { RelativeTime } from "../../ui/relative-time.tsx";
import { useToast } from "../../ui/toast.tsx";
import { SkillUploadDialog } from "./skill-upload-dialog.tsx";
import { SourceBadge } from "./skills-page.tsx";

export function SkillPage() {
  const { skillId } = useParams({ from: "/skills/$skillId" });
  const skill = useResource<SkillInfo>(apiPath`/v1/skills/${skillId}`);
  return (
    <div className="page">
      <div className="page-inner">
        <Loaded reading={skill} label="Loading the skill">
          {(data) => <SkillDetails skill={data} />}
        </Loaded>
      </div>
    </div>
  );
}

function SkillDetails({ skill }: { skill: SkillInfo }) {
  const [asked, setAsked] = useState<"upload" | "delete" | null>(null);
  const navigate = useNavigate();
  const toast = useToast();
  const path = apiPath`/v1/skills/${skill.id}`;
  const own = skill.source.type === "custom";
  const close = () => setAsked(null);
  return (
    <>
      <PageHeader
        title={skill.display_name}
        crumbs={<Link to="/skills">Skills</Link>}
        badge={<SourceBadge source={skill.source.type} />}
        actions={
          own ? (
            <>
              <Button variant="primary" icon="plus" onClick={() => setAsked("upload")}>
                Upload version
              </Button>
              <Menu
                label="More actions"
                items={[{ label: "Delete", icon: "trash", tone: "bad", onSelect: () => setAsked("delete") }]}
              />
            </>
          ) : null
        }
      />
      <Facts
        facts={[
          ["Created", <RelativeTime key="created" at={skill.created_at} />],
          ["Changed", <RelativeTime key="changed" at={skill.updated_at} />],
          ["Id", <CopyId key="id" id={skill.id} label="skill id" />],
        ]}
      />
      <SkillVersions skill={skill} own={own} />
      {asked === "upload" ? (
        <SkillUploadDialog<SkillVersionInfo>
          title="Upload a new version"
          submitLabel="Upload version"
          path={`${path}/versions`}
          onClose={close}
          onDone={() => toast("The version was uploaded. Agents that want the newest one have it in new sessions.")}
        />
      ) : null}
      {asked === "delete" ? (
        <Confirm
          title="Delete this skill?"
          description="The skill and its versions are removed for good. Agents that name it can start no session until it is taken out of them."
          submitLabel="Delete skill"
          done="The skill was deleted."
          run={(client) => client.delete(path)}
          leave={() => void navigate({ to: "/skills" })}
          onClose={close}
        />
      ) : null}
    </>
  );
}

function SkillVersions({ skill, own }: { skill: SkillInfo; own: boolean }) {
  const [doomed, setDoomed] = useState<SkillVersionInfo | null>(null);
  const path = apiPath`/v1/skills/${skill.id}/versions`;
  const list = useResourceList<SkillVersionInfo>(path);
  return (
    <Section title="Versions">
      <ListTable
        caption="Versions of the skill"
        list={list}
        icon="skill"
        emptyTitle="No versions"
        rowKey={(version) => version.id}
        columns={[
          { title: "Version", minor: true, cell: (version) => <CopyId id={version.id} label="version id" /> },
          {
            title: "Name",
            cell: (version) => (
              <span className="row">
                <code>{version.name}</code>
                {version.id === skill.latest_version_id ? <Badge tone="ok">Newest</Badge> : null}
              </span>
            ),
          },
          { title: "Description", cell: (version) => <UntrustedLine text={version.description} /> },
          { title: "Uploaded", minor: true, cell: (version) => <RelativeTime at={version.created_at} /> },
          {
            title: "",
            cell: (version) => (
              <span className="row row-end">
                <DownloadButton
                  path={apiPath`/v1/skills/${skill.id}/versions/${version.id}/content`}
                  fileName={`${version.name}.zip`}
                />
                {own ? (
                  <IconButton
                    icon="trash"
                    size="small"
                    label={`Delete version ${version.id}`}
                    onClick={() => setDoomed(version)}
                  />
                ) : null}
              </span>
            ),
          },
        ]}
      />
      {doomed ? (
        <Confirm
          title="Delete this version?"
          description="It is removed for good. Agents that name it can start no session until they name another."
          submitLabel="Delete version"
          done="The version was deleted."
          run={(client) => client.delete(apiPath`/v1/skills/${skill.id}/versions/${doomed.id}`)}
          onClose={() => setDoomed(null)}
        />
      ) : null}
    </Section>
  );
}
