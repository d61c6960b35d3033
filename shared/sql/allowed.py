"""The allowed parts of a query, by the names of DuckDB's parser tree; all others are refused.

Left out on purpose, although they look harmless: lambdas, recursive queries and string padding, because a short query
could produce a huge result; macros over tables (`histogram(table, column)`), which read the table that a text names.
"""

from __future__ import annotations

from typing import Final


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


NODES: Final = _names("""
    SELECT_NODE SET_OPERATION_NODE
    ORDER_MODIFIER LIMIT_MODIFIER LIMIT_PERCENT_MODIFIER DISTINCT_MODIFIER ORDER_DEFAULT ASCENDING DESCENDING
    EMPTY BASE_TABLE SUBQUERY JOIN EXPRESSION_LIST PIVOT TABLE_FUNCTION
    VALUE_CONSTANT COLUMN_REF STAR POSITIONAL_REFERENCE FUNCTION CASE_EXPR TYPE
    OPERATOR_CAST OPERATOR_NOT OPERATOR_IS_NULL OPERATOR_IS_NOT_NULL OPERATOR_COALESCE OPERATOR_TRY OPERATOR_UNPACK
    COMPARE_EQUAL COMPARE_NOTEQUAL COMPARE_LESSTHAN COMPARE_GREATERTHAN COMPARE_LESSTHANOREQUALTO
    COMPARE_GREATERTHANOREQUALTO COMPARE_IN COMPARE_NOT_IN COMPARE_BETWEEN COMPARE_NOT_BETWEEN
    COMPARE_DISTINCT_FROM COMPARE_NOT_DISTINCT_FROM CONJUNCTION_AND CONJUNCTION_OR
    ARRAY_EXTRACT ARRAY_SLICE ARRAY_CONSTRUCTOR STRUCT_EXTRACT GROUPING_FUNCTION
    WINDOW_AGGREGATE WINDOW_ROW_NUMBER WINDOW_RANK WINDOW_RANK_DENSE WINDOW_PERCENT_RANK WINDOW_CUME_DIST
    WINDOW_NTILE WINDOW_LEAD WINDOW_LAG WINDOW_FIRST_VALUE WINDOW_LAST_VALUE WINDOW_NTH_VALUE WINDOW_FILL
""")

TABLE_FUNCTIONS: Final = frozenset({"generate_series", "range", "unnest"})

FUNCTIONS: Final = TABLE_FUNCTIONS | _names("""
    + - * / // % ** ^ & | << >> ~ @ || ~~ !~~ ~~* !~~* ~~~ like_escape not_like_escape ilike_escape not_ilike_escape

    any_value approx_count_distinct approx_quantile arg_max arg_max_null arg_min arg_min_null array_agg avg bit_and
    bit_or bool_and bool_or corr count count_if count_star countif covar_pop covar_samp entropy favg first fsum
    group_concat histogram kahan_sum kurtosis kurtosis_pop last list listagg mad max max_by mean median min min_by mode
    product quantile quantile_cont quantile_disc regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope
    regr_sxx regr_sxy regr_syy sem skewness stddev stddev_pop stddev_samp string_agg sum sumkahan var_pop var_samp
    variance weighted_avg wavg geomean geometric_mean

    cume_dist dense_rank fill first_value lag last_value lead nth_value ntile percent_rank rank rank_dense row_number

    abs acos asin atan atan2 cbrt ceil ceiling cos degrees divide even exp fdiv floor fmod gcd greatest
    greatest_common_divisor isfinite isinf isnan lcm least least_common_multiple ln log log10 log2 mod pi pow power
    radians random round round_even roundbankers sign signbit sin sqrt tan trunc add subtract multiply

    age century current_date current_localtime current_localtimestamp date_add date_diff date_part date_sub date_trunc
    datediff datepart datesub datetrunc day dayname dayofmonth dayofweek dayofyear days_in_month decade epoch epoch_ms
    epoch_ns epoch_us get_current_time get_current_timestamp hour isodow isoyear julian last_day make_date make_time
    make_timestamp make_timestamptz microsecond millisecond minute month monthname now quarter second strftime strptime
    time_bucket timezone timezone_hour timezone_minute to_days to_hours to_microseconds to_milliseconds to_minutes
    to_months to_quarters to_seconds to_timestamp to_weeks to_years today transaction_timestamp try_strptime week
    weekday weekofyear year yearweek

    ascii char_length character_length chr concat concat_ws contains ends_with instr lcase left len length lower ltrim
    nullif ifnull if ord position prefix regexp_extract regexp_full_match regexp_matches regexp_replace replace
    reverse right rtrim split split_part starts_with str_split string_split strip_accents strlen strpos substr
    substring suffix translate trim ucase unicode upper typeof

    array_contains array_extract array_has array_length array_position array_slice array_value cardinality
    element_at flatten list_any_value list_avg list_concat list_contains list_count list_distinct
    list_element list_extract list_first list_has list_last list_max list_median list_min list_position list_reverse
    list_reverse_sort list_slice list_sort list_stddev_pop list_stddev_samp list_sum list_unique list_value list_var_pop
    list_var_samp list_zip map map_entries map_extract map_from_entries map_keys map_values row struct_extract
    struct_pack
""")

TYPES: Final = _names("""
    bigint bool boolean char date datetime dec decimal double float float4 float8 hugeint int int2 int4 int8 integer
    interval list long map numeric real short smallint string struct text time timestamp timestamp_ms timestamp_ns
    timestamp_s timestamptz tinyint ubigint uhugeint uinteger usmallint utinyint varchar
""") | {"timestamp with time zone", "timestamp without time zone", "double precision"}
