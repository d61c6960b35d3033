import { count, duration, usd } from '../lib/format';
import { type Sum, tokensOf } from '../lib/usage';
import type { Column } from '../ui/DataTable';

/** The columns of sums by some key. */
export function sumColumns(title: string, name: (key: string | null) => string, turns = 'Questions'): Column<Sum>[] {
  return [
    { title, value: (row) => name(row.key) },
    { title: 'Cost', value: (row) => row.cost_usd, show: (row) => usd(row.cost_usd), isNumber: true },
    { title: turns, value: (row) => row.requests, show: (row) => count(row.requests), isNumber: true },
    { title: 'Tokens', value: tokensOf, show: (row) => count(tokensOf(row)), isNumber: true },
    { title: 'Errors', value: (row) => row.errors, show: (row) => count(row.errors), isNumber: true },
    { title: 'First word, mean', value: (row) => row.mean_ttft_ms, show: (row) => duration(row.mean_ttft_ms), isNumber: true },
    { title: 'Whole time, mean', value: (row) => row.mean_ms, show: (row) => duration(row.mean_ms), isNumber: true },
  ];
}
