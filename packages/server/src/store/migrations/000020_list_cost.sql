-- What the tokens of a session cost by the list, not rounded; null: none of its models has a price here.
alter table session_heads add column token_cost_usd double precision;
