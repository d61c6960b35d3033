import { useQuery } from '@tanstack/react-query';
import { dateTime } from '../lib/format';
import { rows, supabase } from '../lib/supabase';
import { type Column, DataTable } from '../ui/DataTable';
import { Failure, Loading } from '../ui/parts';

interface Alert {
  id: number;
  scope: string;
  period: string;
  period_start: string;
  threshold: string;
  amount: number;
  cap: number | null;
  created_at: string;
  notified_at: string | null;
}

const COLUMNS: Column<Alert>[] = [
  { title: 'When', value: (row) => row.created_at, show: (row) => dateTime(row.created_at) },
  { title: 'Whose', value: (row) => row.scope },
  { title: 'Threshold', value: (row) => row.threshold },
  { title: 'Period', value: (row) => `${row.period} from ${row.period_start}` },
  { title: 'Amount', value: (row) => row.amount, isNumber: true },
  { title: 'Sent', value: (row) => row.notified_at, show: (row) => (row.notified_at ? dateTime(row.notified_at) : 'not yet') },
];

/** The newest cost alerts. */
export function Alerts() {
  const found = useQuery({
    queryKey: ['alerts'],
    queryFn: () => rows<Alert[]>(supabase.from('cost_alerts').select('*').order('created_at', { ascending: false }).limit(50)),
  });
  if (found.isPending) return <Loading />;
  if (found.isError) return <Failure error={found.error} />;
  return <DataTable label="Alerts" columns={COLUMNS} rows={found.data} rowKey={(row) => String(row.id)} file="alerts.csv" empty="No threshold was crossed." />;
}
