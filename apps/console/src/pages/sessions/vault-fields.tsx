import type { Vault } from "@sandbox0/protocol";
import { UntrustedLine } from "../../text/untrusted.tsx";
import { Checkbox, FieldGroup } from "../../ui/field.tsx";

interface VaultFieldsProps {
  vaults: readonly Vault[];
  chosen: readonly string[];
  onChange(ids: readonly string[]): void;
  error?: string | undefined;
}

export function VaultFields({ vaults, chosen, onChange, error }: VaultFieldsProps) {
  if (vaults.length === 0) return null;
  const toggle = (id: string) => onChange(chosen.includes(id) ? chosen.filter((each) => each !== id) : [...chosen, id]);
  return (
    <FieldGroup legend="Vaults" hint="Credentials that its tools and commands use, and never see." error={error}>
      <div className="stack stack-sm">
        {vaults.map((vault) => (
          <Checkbox
            key={vault.id}
            label={<UntrustedLine text={vault.display_name} />}
            checked={chosen.includes(vault.id)}
            onChange={() => toggle(vault.id)}
          />
        ))}
      </div>
    </FieldGroup>
  );
}
