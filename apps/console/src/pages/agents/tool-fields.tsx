import type { BuiltinTool } from "@sandbox0/protocol";
import { change, nextId, without } from "../../resources/rows.ts";
import { plainLine } from "../../text/untrusted-text.ts";
import { Button, IconButton } from "../../ui/button.tsx";
import { FieldGroup, Select, TextArea, TextField } from "../../ui/field.tsx";
import { BUILTIN_TOOLS, type CustomToolRow, type ServerRow, type ToolChoice } from "./agent-form.ts";

const CHOICES: readonly { value: ToolChoice; label: string }[] = [
  { value: "always_allow", label: "Always allow" },
  { value: "always_ask", label: "Ask first" },
  { value: "auto", label: "Judge each time" },
  { value: "off", label: "Off" },
];
const WHAT: Readonly<Record<BuiltinTool, string>> = {
  bash: "Runs commands",
  read: "Reads files",
  write: "Writes files",
  edit: "Changes files",
  glob: "Finds files by name",
  grep: "Searches in files",
  web_fetch: "Reads a web page",
  web_search: "Searches the web",
};

interface BuiltinFieldsProps {
  choices: Readonly<Record<BuiltinTool, ToolChoice>>;
  onChange(choices: Readonly<Record<BuiltinTool, ToolChoice>>): void;
  error?: string | undefined;
}

/** Each tool of the toolset, and whether it runs by itself. */
export function BuiltinFields({ choices, onChange, error }: BuiltinFieldsProps) {
  return (
    <FieldGroup
      legend="Built-in tools"
      hint="“Ask first” waits for a person. Files and commands are those of the sandbox."
      error={error}
    >
      <ul className="choice-list">
        {BUILTIN_TOOLS.map((name) => (
          <li key={name} className="choice-row">
            <span className="choice-name">
              <code>{name}</code>
              <span className="muted small">{WHAT[name]}</span>
            </span>
            <Select
              label={`Policy of ${name}`}
              hideLabel
              auto
              options={CHOICES}
              value={choices[name]}
              onChange={(event) => onChange({ ...choices, [name]: event.target.value as ToolChoice })}
            />
          </li>
        ))}
      </ul>
    </FieldGroup>
  );
}

interface ServerFieldsProps {
  servers: readonly ServerRow[];
  onChange(servers: readonly ServerRow[]): void;
  error?: string | undefined;
}

export function ServerFields({ servers, onChange, error }: ServerFieldsProps) {
  const add = () => onChange([...servers, { id: nextId(servers), name: "", url: "", choice: "always_ask", tools: [] }]);
  return (
    <FieldGroup legend="MCP servers" hint="Tools from elsewhere. Their tokens are in vaults, never here." error={error}>
      <div className="stack">
        {servers.map((server, index) => (
          <ServerCard
            key={server.id}
            server={server}
            place={index + 1}
            onChange={(patch) => onChange(change(servers, server.id, patch))}
            onRemove={() => onChange(without(servers, server.id))}
          />
        ))}
        <div>
          <Button size="small" icon="plus" onClick={add}>
            Add MCP server
          </Button>
        </div>
      </div>
    </FieldGroup>
  );
}

interface ServerCardProps {
  server: ServerRow;
  place: number;
  onChange(patch: Partial<ServerRow>): void;
  onRemove(): void;
}

function ServerCard({ server, place, onChange, onRemove }: ServerCardProps) {
  const addTool = () =>
    onChange({ tools: [...server.tools, { id: nextId(server.tools), name: "", choice: "always_allow" as const }] });
  return (
    <section className="card card-body stack" aria-label={`MCP server ${plainLine(server.name) || place}`}>
      <div className="form-grid">
        <TextField label="Name" mono required value={server.name} onChange={(event) => onChange({ name: event.target.value })} />
        <TextField
          label="URL"
          type="url"
          mono
          required
          placeholder="https://mcp.example.com/mcp"
          value={server.url}
          onChange={(event) => onChange({ url: event.target.value })}
        />
        <Select
          label="Its tools"
          options={CHOICES}
          value={server.choice}
          onChange={(event) => onChange({ choice: event.target.value as ToolChoice })}
        />
      </div>
      {server.tools.map((tool) => (
        <div className="row" key={tool.id}>
          <div className="grow">
            <TextField
              label="Tool"
              hideLabel
              mono
              placeholder="name of a tool"
              value={tool.name}
              onChange={(event) => onChange({ tools: change(server.tools, tool.id, { name: event.target.value }) })}
            />
          </div>
          <Select
            label={`Policy of ${tool.name || "the tool"}`}
            hideLabel
            auto
            options={CHOICES}
            value={tool.choice}
            onChange={(event) => onChange({ tools: change(server.tools, tool.id, { choice: event.target.value as ToolChoice }) })}
          />
          <IconButton
            icon="close"
            label={`Remove the exception ${tool.name}`}
            onClick={() => onChange({ tools: without(server.tools, tool.id) })}
          />
        </div>
      ))}
      <div className="row row-between">
        <Button size="small" icon="plus" onClick={addTool}>
          Add an exception for a tool
        </Button>
        <Button size="small" variant="quiet" icon="trash" onClick={onRemove}>
          Remove server
        </Button>
      </div>
    </section>
  );
}

const EMPTY_SCHEMA = `{
  "type": "object",
  "properties": {},
  "required": []
}`;

interface CustomToolFieldsProps {
  tools: readonly CustomToolRow[];
  onChange(tools: readonly CustomToolRow[]): void;
}

export function CustomToolFields({ tools, onChange }: CustomToolFieldsProps) {
  const add = () => onChange([...tools, { id: nextId(tools), name: "", description: "", schema: EMPTY_SCHEMA }]);
  return (
    <FieldGroup legend="Custom tools" hint="The agent calls them, and a client or a person answers.">
      <div className="stack">
        {tools.map((tool, index) => {
          const set = (patch: Partial<CustomToolRow>) => onChange(change(tools, tool.id, patch));
          return (
            <section
              key={tool.id}
              className="card card-body stack"
              aria-label={`Custom tool ${plainLine(tool.name) || index + 1}`}
            >
              <TextField label="Name" mono required value={tool.name} onChange={(event) => set({ name: event.target.value })} />
              <TextField
                label="Description"
                required
                hint="Tells the model what it does and when to use it."
                value={tool.description}
                onChange={(event) => set({ description: event.target.value })}
              />
              <TextArea
                label="Input schema"
                mono
                rows={6}
                spellCheck={false}
                hint="JSON Schema of its input."
                value={tool.schema}
                onChange={(event) => set({ schema: event.target.value })}
              />
              <div className="row row-end">
                <Button size="small" variant="quiet" icon="trash" onClick={() => onChange(without(tools, tool.id))}>
                  Remove tool
                </Button>
              </div>
            </section>
          );
        })}
        <div>
          <Button size="small" icon="plus" onClick={add}>
            Add custom tool
          </Button>
        </div>
      </div>
    </FieldGroup>
  );
}
