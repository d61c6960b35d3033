import { useQuery } from '@tanstack/react-query';
import { estimate } from '../lib/api';
import { errorText } from '../lib/errors';
import { count, usd } from '../lib/format';
import { useStill } from '../lib/hooks';
import { modelName, useModels } from '../lib/models';
import type { Choice } from './ModelMenu';

const LONG = 600; // characters from which a question is estimated whatever its model
const DEAR = 5; // US dollars for a million tokens of the answer
const DEAR_USD = 0.05;

/** What a long question, or one to a dear model, would cost at most: a dry run once the user stops typing. */
export function EstimateLine(props: { text: string; id: string | undefined; choice: Choice; isHidden: boolean }) {
  const { choice, id } = props;
  const models = useModels();
  const chosen = models.data?.models.find((each) => (choice.model ? each.model_key === choice.model : each.is_default));
  const isDear = (chosen?.pricing?.output ?? 0) >= DEAR;
  const text = useStill(props.text.trim(), 700);
  const isWanted = !props.isHidden && text === props.text.trim() && (text.length >= LONG || (isDear && text.length > 0));
  const found = useQuery({
    queryKey: ['estimate', text, id, choice.model, choice.agent],
    enabled: isWanted,
    gcTime: 10_000,
    retry: false,
    queryFn: ({ signal }) => estimate({ message: text, id, model: choice.model ?? undefined, agent: choice.agent ?? undefined }, signal),
  });
  if (!isWanted || found.isPending) return null;
  if (found.isError) return <p className="composer-note composer-warning">{errorText(found.error)}</p>;
  const { estimate: cost, route } = found.data;
  const most = cost.cost_usd?.most;
  return (
    <p className={most != null && most >= DEAR_USD ? 'composer-note composer-warning' : 'composer-note'}>
      {most == null ? 'The price of this model is unknown' : most === 0 ? 'This question is free' : `This question costs at most ${usd(most)}`}
      {` (${count(cost.input_tokens)} tokens to ${modelName(route.identifier, models.data)}).`}
    </p>
  );
}
