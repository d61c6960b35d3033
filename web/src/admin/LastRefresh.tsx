import { useQuery } from '@tanstack/react-query';
import { dateTime } from '../lib/format';
import { rows, supabase } from '../lib/supabase';
import { plainText } from '../lib/text';
import { type Column, DataTable } from '../ui/DataTable';
import { Failure, Loading } from '../ui/parts';

interface Run {
  id: string;
  started_at: string;
  finished_at: string | null;
  status: string;
  trigger: string;
  is_dry_run: boolean;
  changes: string[] | null;
  sync_results: { added?: number; updated?: number; deactivated?: number; failed?: number; errors?: { provider: string; message: string }[] } | null;
}

const COLUMNS: Column<Run>[] = [
  { title: 'When', value: (row) => row.started_at, show: (row) => dateTime(row.started_at) },
  { title: 'Started by', value: (row) => row.trigger + (row.is_dry_run ? ' (dry run)' : '') },
  { title: 'Outcome', value: (row) => row.status },
  { title: 'Added', value: (row) => row.sync_results?.added, isNumber: true },
  { title: 'Updated', value: (row) => row.sync_results?.updated, isNumber: true },
  { title: 'Withdrawn', value: (row) => row.sync_results?.deactivated, isNumber: true },
  { title: 'Failed lists', value: (row) => row.sync_results?.errors?.map((each) => each.provider).join(' ') || null },
];

/** The newest runs of refresh; below them the changes of the last one. */
export function LastRefresh() {
  const found = useQuery({
    queryKey: ['refresh-runs'],
    queryFn: () => rows<Run[]>(supabase.from('refresh_runs').select('*').order('started_at', { ascending: false }).limit(10)),
  });
  if (found.isPending) return <Loading />;
  if (found.isError) return <Failure error={found.error} />;
  const changes = found.data.find((each) => each.changes?.length)?.changes ?? [];
  return (
    <>
      <DataTable label="Runs of refresh" columns={COLUMNS} rows={found.data} rowKey={(row) => row.id} file={null} empty="Refresh has not run yet." />
      {changes.length > 0 && (
        <details className="fold">
          <summary>{changes.length === 1 ? '1 change' : `${changes.length} changes`} of the last run that changed something</summary>
          <ul className="fold-body plain-list">
            {changes.slice(0, 200).map((each) => (
              <li key={each}>{plainText(each)}</li>
            ))}
          </ul>
        </details>
      )}
    </>
  );
}
