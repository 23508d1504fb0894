import type { SkillInfo } from "@sandbox0/protocol";
import { Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { ListTable } from "../../resources/loaded.tsx";
import { useResourceList } from "../../resources/use-resources.ts";
import { UntrustedLine } from "../../text/untrusted.tsx";
import { Badge } from "../../ui/badge.tsx";
import { Button } from "../../ui/button.tsx";
import { CopyId } from "../../ui/copy.tsx";
import { Page } from "../../ui/page.tsx";
import { RelativeTime } from "../../ui/relative-time.tsx";
import { useToast } from "../../ui/toast.tsx";
import { SkillUploadDialog } from "./skill-upload-dialog.tsx";

export function SkillsPage() {
  const [uploading, setUploading] = useState(false);
  const list = useResourceList<SkillInfo>("/v1/skills");
  const navigate = useNavigate();
  const toast = useToast();
  return (
    <Page
      title="Skills"
      description="Folders with a SKILL.md that tells agents how something is done. Name them in an agent."
      actions={
        <Button variant="primary" icon="plus" onClick={() => setUploading(true)}>
          Upload skill
        </Button>
      }
    >
      <ListTable
        caption="Skills"
        list={list}
        icon="skill"
        emptyTitle="No skills yet"
        empty={<p>Upload a zip archive or a folder with a SKILL.md.</p>}
        rowKey={(skill) => skill.id}
        columns={[
          {
            title: "Name",
            cell: (skill) => (
              <Link to="/skills/$skillId" params={{ skillId: skill.id }} className="table-link">
                <UntrustedLine text={skill.display_name} />
              </Link>
            ),
          },
          { title: "From", cell: ({ source }) => <SourceBadge source={source.type} /> },
          { title: "Changed", minor: true, cell: (skill) => <RelativeTime at={skill.updated_at} /> },
          { title: "Id", minor: true, cell: (skill) => <CopyId id={skill.id} label="skill id" /> },
        ]}
      />
      {uploading ? (
        <SkillUploadDialog<SkillInfo>
          title="Upload a skill"
          submitLabel="Upload skill"
          path="/v1/skills"
          named
          onClose={() => setUploading(false)}
          onDone={(skill) => {
            toast("The skill was uploaded.");
            void navigate({ to: "/skills/$skillId", params: { skillId: skill.id } });
          }}
        />
      ) : null}
    </Page>
  );
}

export function SourceBadge({ source }: { source: SkillInfo["source"]["type"] }) {
  return source === "custom" ? <Badge>Uploaded</Badge> : <Badge tone="violet">{source.replaceAll("_", " ")}</Badge>;
}
