import { ChevronDown } from 'lucide-react';
import { Popover } from 'radix-ui';
import { lazy, Suspense, useState } from 'react';
import { modelName, useModels } from '../lib/models';
import { Failure, Loading } from '../ui/parts';

const loadChoices = () => import('./ModelChoices');
const ModelChoices = lazy(loadChoices);

export interface Choice {
  model: string | null;
  agent: string | null;
  setModel: (model: string | null) => void;
  setAgent: (agent: string | null) => void;
}

/** The model and the agent of the next question. */
export function ModelMenu({ choice }: { choice: Choice }) {
  const [isOpen, setOpen] = useState(false);
  const models = useModels();
  const chosen = choice.model ?? models.data?.defaultModel ?? '';
  const label = choice.model ? modelName(choice.model, models.data) : chosen ? modelName(chosen, models.data) : 'Model';
  return (
    <Popover.Root open={isOpen} onOpenChange={setOpen}>
      <Popover.Trigger className="model-button" aria-label={`Model: ${label}`} title="Choose a model" onFocus={() => void loadChoices()} onPointerEnter={() => void loadChoices()}>
        <span>{label}</span>
        <ChevronDown aria-hidden />
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Content className="popover model-menu" align="start" side="top" sideOffset={8} collisionPadding={8} aria-label="Choose a model">
          {models.isPending && <Loading label="Loading models" />}
          {models.isError && <Failure error={models.error} onRetry={() => void models.refetch()} />}
          {models.data && (
            <Suspense fallback={<Loading label="Loading models" />}>
              <ModelChoices list={models.data} choice={choice} onDone={() => setOpen(false)} onRetry={() => void models.refetch()} />
            </Suspense>
          )}
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  );
}
