import { count, fromNow, usd } from '../lib/format';
import { modelName, useModels } from '../lib/models';
import { type OpenTurn, useOpenTurns, useThisHour } from '../lib/reports';
import { type Column, DataTable } from '../ui/DataTable';
import { Failure, Loading } from '../ui/parts';

const isLost = (turn: OpenTurn) => turn.lease_until !== null && Date.parse(turn.lease_until) < Date.now();

/** The turns that are being answered at this moment, and the current hour. */
export function Running() {
  const turns = useOpenTurns();
  const hour = useThisHour();
  const models = useModels();
  const columns: Column<OpenTurn>[] = [
    { title: 'Begun', value: (row) => row.started_at, show: (row) => fromNow(row.started_at) },
    { title: 'Person', value: (row) => row.user_id, show: (row) => row.user_id?.slice(0, 8) ?? 'deleted' },
    { title: 'Model', value: (row) => row.route, show: (row) => (row.route ? modelName(row.route, models.data) : '–') },
    { title: 'Endpoint', value: (row) => row.endpoint },
    { title: 'State', value: (row) => (isLost(row) ? 'its instance has ended' : 'running') },
    { title: 'Reserved', value: (row) => row.reserved_usd, show: (row) => usd(row.reserved_usd), isNumber: true },
  ];
  if (turns.isPending) return <Loading />;
  if (turns.isError) return <Failure error={turns.error} onRetry={() => void turns.refetch()} />;
  return (
    <>
      {hour.data && (
        <p className="hint">
          This hour: {count(hour.data.total_interactions)} turns, {usd(hour.data.total_cost)}
          {hour.data.avg_response_time && `, ${hour.data.avg_response_time} on average`}.
        </p>
      )}
      <DataTable label="Running turns" columns={columns} rows={turns.data} rowKey={(row) => row.turn_id} file="running.csv" empty="No turn is running." />
    </>
  );
}
