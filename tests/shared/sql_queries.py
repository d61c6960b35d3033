"""Queries as models write them: valid ones, ways out of the sandbox, and queries that use up resources."""

from __future__ import annotations

HONEST = (
    "select * from bars_1d where trade_date between date '2026-10-01' and '2026-10-10' order by trade_date limit 5",
    (
        "select symbol, count(distinct trade_date), sum(volume) filter (where close > open) from bars_1d group by all "
        "having count(*) > 1 order by all"
    ),
    (
        "select close - lag(close) over w, avg(close) over w, ntile(4) over w, first_value(close) over w "
        "from bars_1d window w as (partition by symbol order by trade_date rows between 4 preceding and current row)"
    ),
    "select symbol, volume from bars_1d qualify row_number() over (partition by symbol order by volume desc) <= 2",
    (
        "with d as (select * from bars_1d), e as (select symbol, max(high) h from d group by symbol) "
        "select d.trade_date, e.h from d join e using (symbol) where d.high = e.h"
    ),
    "with bars_1d as (select * from bars_1d where symbol = 'ES') select count(*) from bars_1d",
    "select quantile_cont(volume, [0.25, 0.75]), median(volume), mode(volume), stddev(close) from bars_1d",
    "select percentile_cont(0.9) within group (order by volume) from bars_1d",
    "select symbol, list(close order by trade_date)[1:3], unnest([1, 2]) from bars_1d group by symbol",
    (
        "select date_trunc('week', trade_date), extract(isodow from trade_date), strftime(trade_date, '%Y-%m'), "
        "trade_date - interval '2 days', date_diff('day', date '2026-01-01', trade_date) from bars_1d"
    ),
    "select time_bucket(interval '1 hour', ts), sum(volume) from bars_1m where symbol = 'CL' group by 1 order by 1",
    "select ts at time zone 'UTC' at time zone 'America/Chicago', close from bars_1m limit 2",
    "select case when close > open then 'up' else 'down' end as d, count(*) from bars_1d group by d",
    "select symbol from bars_1d union all select symbol from instruments except select 'ES'",
    "select * exclude (volume) replace (close * 2 as close) from bars_1d limit 1",
    (
        "select (select max(close) from bars_1d where symbol = i.symbol) from instruments i "
        "where exists (select 1 from bars_1d b where b.symbol = i.symbol) and symbol not in ('GC')"
    ),
    "select b.symbol from bars_1d b asof join bars_1d c on b.symbol = c.symbol and b.trade_date >= c.trade_date",
    "from bars_1d pivot (sum(volume) for symbol in ('ES', 'CL') group by trade_date) order by trade_date",
    "select * from (select symbol, open, close from bars_1d) unpivot (price for kind in (open, close)) limit 2",
    "select symbol, grouping(symbol), sum(volume) from bars_1d group by rollup (symbol)",
    (
        "select d::date, count(*) from generate_series(timestamp '2026-10-01', timestamp '2026-10-05', interval 1 day)"
        " g(d) left join bars_1d b on b.trade_date = d group by 1 order by 1"
    ),
    "select try_cast('x' as int), '1.25'::numeric(6, 3), coalesce(null, 1), upper('a') || 'b', 7 // 2, round(1.25, 1)",
    "select (close / tick_size)::bigint, close % tick_size = 0 from bars_1d join main.instruments using (symbol)",
    "select symbol, trade_date /* the ; in a comment */ from bars_1d where symbol <> ';' ;\n",
)

REFUSED = (
    # files and network
    "select * from read_csv('/etc/passwd')",
    "select * from read_csv_auto('/etc/passwd')",
    "select * from read_text('/etc/passwd')",
    "select * from read_blob('/proc/self/environ')",
    "select * from read_parquet('https://example.com/x.parquet')",
    "select * from read_json('/etc/hosts')",
    "select * from parquet_metadata('/etc/hosts')",
    "select * from sniff_csv('/etc/passwd')",
    "select * from glob('/etc/*')",
    "select * from '/etc/passwd'",
    "select * from 'data.csv'",
    'select * from "https://example.com/x.csv"',
    "from read_duckdb('other.duckdb')",
    "copy (select 1) to '/tmp/out.csv'",
    "copy bars_1d from '/etc/passwd'",
    "export database '/tmp/out'",
    "import database '/tmp/out'",
    "attach '/tmp/x.db' as x",
    "detach trading",
    "use memory",
    # extensions and settings
    "install httpfs",
    "load httpfs",
    "set enable_external_access = true",
    "reset memory_limit",
    "pragma database_list",
    "pragma enable_profiling",
    "call pragma_version()",
    "select current_setting('memory_limit')",
    "select * from duckdb_settings()",
    "select getenv('PATH')",
    "select getvariable('x')",
    "set variable x = 1",
    # writes, open and hidden
    "delete from bars_1d",
    "insert into bars_1d select * from bars_1d",
    "update bars_1d set close = 0",
    "drop table bars_1d",
    "truncate bars_1d",
    "create table t as select 1",
    "create temp table t as select 1",
    "create or replace temp view bars_1d as select 1",
    "create macro f() as 1",
    "create sequence s",
    "merge into bars_1d using instruments on false when not matched then insert default values",
    "with gone as (delete from bars_1d returning *) select * from gone",
    "with made as (insert into bars_1d select * from bars_1d returning *) select * from made",
    "with made as (update bars_1d set close = 0 returning *) select * from made",
    "select * from (with gone as (delete from bars_1d returning *) select * from gone)",
    "select nextval('s')",
    "select setseed(0.5)",
    "begin; drop table bars_1d; commit",
    "checkpoint",
    "vacuum",
    # the catalogue
    "select * from information_schema.tables",
    "select * from duckdb_tables",
    "select * from duckdb_tables()",
    "select * from duckdb_secrets()",
    "select * from duckdb_functions()",
    "select * from duckdb_databases()",
    "select * from pragma_table_info('bars_1d')",
    "select * from pragma_storage_info('bars_1d')",
    "select * from sqlite_master",
    "select * from pg_catalog.pg_class",
    "select * from system.main.duckdb_settings",
    "select * from temp.bars_1d",
    "with duckdb_settings as (select * from duckdb_settings) select * from duckdb_settings",
    "select * from duckdb_settings, (with duckdb_settings as (select 1) select 2) t",
    "with a as (select * from duckdb_tables), duckdb_tables as (select 1) select * from a",
    "select * from instruments where exists (select 1 from duckdb_views)",
    "describe bars_1d",
    "show all tables",
    "summarize bars_1d",
    "explain analyze select 1",
    # SQL within SQL
    "select * from query('select 1')",
    "select * from query_table('duckdb_settings')",
    "select * from histogram('duckdb_settings', 'name')",
    "from histogram_values('duckdb_settings', 'name')",
    "select json_serialize_sql('select 1')",
    "select json_execute_serialized_sql('{}')",
    "from json_execute_serialized_sql(json_serialize_sql('select 1'))",
    "select * from sql_auto_complete('sel')",
    "prepare p as select 1",
    "execute p",
    "select 1; select 2",
    "select 1; drop table bars_1d",
    "select 1) union all (select 2",
    "select 1) limit 99999999 --",
    "select $1",
    # functions by another way
    "select 'x'.getenv()",
    "select main.getenv('PATH')",
    "select system.main.abs(1)",
    "select \"getenv\"('PATH')",
    "select GetEnv('PATH')",
    "select sum(1) filter (where getenv('PATH') is not null)",
    "select 1 order by getenv('PATH')",
    "select 1 limit (select count(*) from duckdb_settings())",
    "select 1 from bars_1d group by getenv('PATH')",
    "select case when true then getenv('PATH') end",
    "select row_number() over (order by getenv('PATH'))",
    "select getenv('PATH') over ()",
    "select 1 from bars_1d b join instruments i on read_text('/etc/passwd') is null",
    "select 1::mood",
    "select list_aggregate([1], 'getenv')",
    "select write_log('x')",
    "select sleep_ms(1)",
    "select pg_sleep(1)",
    # much out of little
    "select repeat('x', 1000000000)",
    "select lpad('x', 1000000000, 'y')",
    "select rpad('x', 1000000000, 'y')",
    "select printf('%1000000000d', 1)",
    "select format('{:1000000000}', 1)",
    "select bar(1, 0, 1, 1000000000)",
    "select list_resize([1], 1000000000)",
    "select [1]::int[1000000000]",
    "select list_transform(range(1000), lambda x: range(1000000))",
    "select list_reduce([1, 2], lambda a, b: a + b)",
    "select [x * 2 for x in range(1000)]",
    "with recursive r(n) as (select 1 union all select n + 1 from r) select count(*) from r",
    "with recursive r as (select 1 as n union all (select n + 1 from r)) select * from r",
    # no query at all
    "",
    ";",
    "-- nothing",
    "selec 1",
    "select 1 /* open",
    "select 'a\0b'",
    "select \ud800",
    "select '" + "x" * 8_192 + "'",
    "select " + "(" * 3_000 + "1" + ")" * 3_000,
    "select " + "1+" * 3_900 + "1",
    "select " + "not " * 1_900 + "true",
    "select " + "[" * 3_900 + "]" * 3_900,
)

TIME_BOMBS = (
    "select count(*) from range(1000000000000)",
    "select count(*) from generate_series(1, 1000000000000) a, generate_series(1, 1000000) b",
    "select sum(a.close * b.close) from bars_1m a, bars_1m b, bars_1m c",
    "select count(*) from bars_1m a join bars_1m b on a.close < b.close join bars_1m c on b.close < c.close",
    (
        "select max(regexp_replace(a.n || b.n, '(a|b|[0-9]{1,9})*c', 'x')) "
        "from (select range::varchar n from range(10000000)) a, (select range::varchar n from range(10000000)) b"
    ),
)

MEMORY_BOMBS = (
    "select list(range) from range(10000000000)",
    "select range(10000000000)",
    "select string_agg(range::varchar, ',') from range(10000000000)",
    "select * from bars_1m a, bars_1m b order by a.close + b.close, a.volume",
    "select count(distinct range) from range(10000000000)",
    "select array_agg(a) over (order by a.ts) from bars_1m a",
    "select count(*) from (select unnest(range(100000000)), unnest(range(100000000)))",
    "select " + "replace(" * 24 + "'a'" + ", 'a', 'aaaaaaaaaa')" * 24,
)
