create table instruments (
  symbol varchar primary key,
  name varchar not null,
  exchange varchar not null,
  currency varchar not null,
  timezone varchar not null,
  session_open time not null,
  session_close time not null,
  tick_size decimal(18, 5) not null,
  tick_value decimal(18, 2) not null
);
create table bars_1m as
  select column0::varchar as symbol, column1::timestamp as ts, column2::date as trade_date,
    column3::decimal(18, 5) as open, column4::decimal(18, 5) as high, column5::decimal(18, 5) as low,
    column6::decimal(18, 5) as close, column7::bigint as volume
  from read_csv('$minutes', header = false, all_varchar = true)
  order by symbol, ts;
create table bars_5m as
  select symbol, time_bucket(interval 5 minutes, ts) as ts, trade_date, arg_min(open, ts) as open, max(high) as high,
    min(low) as low, arg_max(close, ts) as close, sum(volume)::bigint as volume
  from bars_1m group by symbol, time_bucket(interval 5 minutes, ts), trade_date
  order by symbol, ts;
create table bars_1d as
  select symbol, trade_date, arg_min(open, ts) as open, max(high) as high, min(low) as low,
    arg_max(close, ts) as close, sum(volume)::bigint as volume
  from bars_1m group by symbol, trade_date
  order by symbol, trade_date;
comment on table instruments is 'Futures contracts; made-up prices, real specifications.';
comment on column instruments.timezone is 'Of the session times, IANA name.';
comment on column instruments.session_open is 'Local; the session begins on the evening before its trade_date.';
comment on column instruments.session_close is 'Local; on trade_date itself.';
comment on column instruments.tick_size is 'Smallest price step, exact; ticks = (price / tick_size)::bigint.';
comment on column instruments.tick_value is 'What one tick is worth per contract, in currency; profit = ticks * tick_value * contracts.';
comment on table bars_1m is 'One-minute bars. Prices are exact decimals, whole multiples of tick_size.';
comment on column bars_1m.ts is 'Beginning of the bar, UTC.';
comment on column bars_1m.trade_date is 'The session it belongs to.';
comment on column bars_1m.volume is 'Contracts.';
comment on table bars_5m is 'Five-minute bars, made from bars_1m.';
comment on column bars_5m.ts is 'Beginning of the bar, UTC.';
comment on column bars_5m.trade_date is 'The session it belongs to.';
comment on column bars_5m.volume is 'Contracts.';
comment on table bars_1d is 'Daily bars: one session each, made from bars_1m.';
comment on column bars_1d.volume is 'Contracts.';
