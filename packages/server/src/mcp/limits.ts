/** Every bound of the MCP connector (design §2.10). Times in milliseconds. */

/** From the first request to the tool list, both transports tried. */
const MCP_CONNECT_MS = 15_000;
/** A tool list that is read again because the server said that it changed. */
export const MCP_LIST_MS = 15_000;
/** A call without an answer and without a sign of progress. */
const MCP_CALL_SILENCE_MS = 120_000;
/** A call in all, however lively it is. */
const MCP_CALL_MS = 15 * 60_000;
/** How long the end of a connection may take to be polite (`DELETE` of the MCP session). */
const MCP_FAREWELL_MS = 5_000;
/** Between turns a connection is kept this long, then it is opened anew. */
const MCP_IDLE_MS = 60_000;
/** Connections that one server keeps between turns; the oldest are closed. */
export const MCP_IDLE_CONNECTIONS_MAX = 256;
/** What a credential is known to be is asked again after this: rotation and archive reach running sessions. */
const MCP_CREDENTIAL_FRESH_MS = 2_000;

/** One reply, or one event of a stream of replies, decompressed. */
export const MCP_REPLY_BYTES_MAX = 8 * 1024 * 1024;
/** Pages of one tool list. */
export const MCP_PAGES_MAX = 64;
/** Tools of one server that are enabled for the agent. */
export const MCP_TOOLS_MAX = 256;
/** Tools that a server may list, enabled or not. */
export const MCP_TOOLS_LISTED_MAX = 4_096;
/** Descriptions and schemas of all of them. */
export const MCP_TOOL_LIST_CHARS_MAX = 4 * 1024 * 1024;
/** Longer descriptions are cut. */
export const MCP_DESCRIPTION_CHARS_MAX = 8_192;
/** Of an input schema as JSON; for a larger one the model is told nothing of the input but that it is an object. */
export const MCP_SCHEMA_CHARS_MAX = 32_768;
/** Of a tool's name, as the server has it (contract §3.2: what can be configured). */
export const MCP_TOOL_NAME_CHARS_MAX = 128;
/** Content blocks of one result; the texts of a result with more are put together. */
export const MCP_BLOCKS_MAX = 128;
/** Images and PDFs of one result: a request may have 100 in all. */
export const MCP_MEDIA_MAX = 16;
/** An image that providers take: 5 MiB as base64, and so many pixels a side. */
export const MCP_IMAGE_BYTES_MAX = 3_932_160;
export const MCP_IMAGE_SIDE_MAX = 8_000;

/** What a test may shorten. */
export interface McpTimes {
  connectMs: number;
  silenceMs: number;
  callMs: number;
  idleMs: number;
  farewellMs: number;
  credentialFreshMs: number;
}

export const MCP_TIMES: McpTimes = {
  connectMs: MCP_CONNECT_MS,
  silenceMs: MCP_CALL_SILENCE_MS,
  callMs: MCP_CALL_MS,
  idleMs: MCP_IDLE_MS,
  farewellMs: MCP_FAREWELL_MS,
  credentialFreshMs: MCP_CREDENTIAL_FRESH_MS,
};
