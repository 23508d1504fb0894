import type { Environment, EnvironmentCreateParams, EnvironmentUpdateParams } from "@sandbox0/protocol";
import { Link, useNavigate, useParams } from "@tanstack/react-router";
import { useState } from "react";
import { apiPath } from "../../api/api-path.ts";
import { Loaded } from "../../resources/loaded.tsx";
import { ONCE, useChange, useFreshResource } from "../../resources/use-resources.ts";
import { UntrustedLine } from "../../text/untrusted.tsx";
import { Page } from "../../ui/page.tsx";
import { useToast } from "../../ui/toast.tsx";
import { EnvironmentFields } from "./environment-fields.tsx";
import { emptyEnvironmentForm, environmentCreateParams, environmentForm, environmentUpdateParams } from "./environment-form.ts";

export function NewEnvironmentPage() {
  const create = useChange((client, params: EnvironmentCreateParams) =>
    client.post<Environment>("/v1/environments", { body: params, ...ONCE }),
  );
  const navigate = useNavigate();
  return (
    <Page title="New environment" width="narrow" crumbs={<Link to="/environments">Environments</Link>}>
      <EnvironmentFields
        start={emptyEnvironmentForm()}
        isNew
        submitLabel="Create environment"
        cancel={{ to: "/environments" }}
        busy={create.isPending}
        error={create.error}
        onSubmit={(form) =>
          create.mutate(environmentCreateParams(form), {
            onSuccess: (made) => void navigate({ to: "/environments/$environmentId", params: { environmentId: made.id } }),
          })
        }
      />
    </Page>
  );
}

export function EditEnvironmentPage() {
  const { environmentId } = useParams({ from: "/environments/$environmentId/edit" });
  const environment = useFreshResource<Environment>(apiPath`/v1/environments/${environmentId}`);
  return (
    <Page
      title="Edit environment"
      width="narrow"
      description="Sandboxes that are started later have what it says then."
      crumbs={
        <>
          <Link to="/environments">Environments</Link>
          <span aria-hidden="true">/</span>
          <Link to="/environments/$environmentId" params={{ environmentId }}>
            <UntrustedLine text={environment.data?.name ?? environmentId} />
          </Link>
        </>
      }
    >
      <Loaded reading={environment} label="Loading the environment">
        {(data) => <EditEnvironment environment={data} />}
      </Loaded>
    </Page>
  );
}

/** What is saved is a change of what the form began with. */
function EditEnvironment({ environment: now }: { environment: Environment }) {
  const [environment] = useState(now);
  const update = useChange((client, params: EnvironmentUpdateParams) =>
    client.post<Environment>(apiPath`/v1/environments/${environment.id}`, { body: params }),
  );
  const navigate = useNavigate();
  const toast = useToast();
  const there = { to: "/environments/$environmentId", params: { environmentId: environment.id } } as const;
  return (
    <EnvironmentFields
      start={environmentForm(environment)}
      isNew={false}
      submitLabel="Save changes"
      cancel={there}
      busy={update.isPending}
      error={update.error}
      onSubmit={(form) =>
        update.mutate(environmentUpdateParams(form, environment), {
          onSuccess: () => {
            toast("The environment was saved.");
            void navigate(there);
          },
        })
      }
    />
  );
}
