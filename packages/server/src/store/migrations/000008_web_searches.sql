-- Searches that were answered (`server_tool_use` of the usage, contract §6).
alter table session_heads add column web_search_requests bigint not null default 0;
