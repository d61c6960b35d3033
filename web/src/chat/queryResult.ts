interface QueryResult {
  columns: unknown[];
  rows: unknown[];
  row_count?: number;
}

/** The rows of a query among the outputs of tools; null for any other output. */
export function queryResult(value: unknown): QueryResult | null {
  const found = value as QueryResult | null;
  return found && typeof found === 'object' && Array.isArray(found.columns) && Array.isArray(found.rows) ? found : null;
}
