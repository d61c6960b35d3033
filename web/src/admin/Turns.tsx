import { useQuery } from '@tanstack/react-query';
import { count, dateTime, duration, usd } from '../lib/format';
import { rows, supabase } from '../lib/supabase';
import { plainText } from '../lib/text';
import { type Column, DataTable } from '../ui/DataTable';
import { Failure, Loading } from '../ui/parts';

interface Turn {
  turn_id: string;
  created_at: string;
  user_id: string | null;
  model_identifier: string | null;
  status: string;
  error_code: string | null;
  input_tokens: number | null;
  output_tokens: number | null;
  cost_usd: number | null;
  duration_ms: number | null;
  question: string | null;
}

const COLUMNS: Column<Turn>[] = [
  { title: 'When', value: (row) => row.created_at, show: (row) => dateTime(row.created_at), isWhole: true },
  { title: 'Person', value: (row) => row.user_id, show: (row) => (row.user_id ? <span className="mono" title={row.user_id}>{row.user_id.slice(0, 8)}</span> : 'deleted') },
  { title: 'Model', value: (row) => row.model_identifier },
  { title: 'Status', value: (row) => row.error_code ?? row.status },
  { title: 'Tokens', value: (row) => (row.input_tokens ?? 0) + (row.output_tokens ?? 0), show: (row) => count((row.input_tokens ?? 0) + (row.output_tokens ?? 0)), isNumber: true },
  { title: 'Cost', value: (row) => row.cost_usd, show: (row) => usd(row.cost_usd), isNumber: true },
  { title: 'Time', value: (row) => row.duration_ms, show: (row) => duration(row.duration_ms), isNumber: true },
  { title: 'Question', value: (row) => row.question, show: (row) => <span className="cell-clip">{plainText(row.question ?? '–').slice(0, 160)}</span> },
];

/** The newest turns since a day, of one value of a column or of all. Questions are redacted in the log. */
export function Turns({ from, column, value }: { from: string; column: string | null; value: string }) {
  const found = useQuery({
    queryKey: ['turns', from, column, value],
    queryFn: () => {
      const fields = 'turn_id,created_at,user_id,model_identifier,status,error_code,input_tokens,output_tokens,cost_usd,duration_ms,question';
      let query = supabase.from('chat_logs').select(fields).gte('created_at', `${from}T00:00:00Z`);
      if (column) query = value === '' || value === 'null' ? query.is(column, null) : query.eq(column, value);
      return rows<Turn[]>(query.order('created_at', { ascending: false }).limit(100));
    },
  });
  if (found.isPending) return <Loading />;
  if (found.isError) return <Failure error={found.error} />;
  return <DataTable label="Turns" columns={COLUMNS} rows={found.data} rowKey={(row) => row.turn_id} file="turns.csv" empty="No turn in this span." />;
}
