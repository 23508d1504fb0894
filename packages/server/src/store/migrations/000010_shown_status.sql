--! breaking
-- A check and a stored column are parsed and planned anew by every statement that writes the row: a quarter of what Postgres
-- did for one write of the log. The status is one of four by its type in `domain/head.ts`; what is shown of it is computed
-- where it is read (`h.shown_status`).
alter table session_heads drop constraint session_heads_status_check;
alter table session_heads drop column shown_status;

create function shown_status(head session_heads) returns text language sql immutable parallel safe
return case when head.status = 'idle' and head.turn_pending then 'running' else head.status end;
