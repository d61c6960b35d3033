import { ChevronLeft, ChevronRight } from 'lucide-react';
import type { ReactNode } from 'react';

/** Which version of an answer is shown, such as 2/3, with the way to its neighbours. */
export function Versions(props: { turnId: string; versions: string[]; isDisabled: boolean; onChoose: (turnId: string) => void }) {
  const { turnId, versions } = props;
  const at = versions.indexOf(turnId);
  const step = (to: number, label: string, icon: ReactNode) => (
    <button
      type="button"
      className="icon-button"
      aria-label={label}
      title={label}
      disabled={props.isDisabled || !versions[to]}
      onClick={() => props.onChoose(versions[to]!)}
    >
      {icon}
    </button>
  );
  return (
    <span className="versions" role="group" aria-label={`Version ${at + 1} of ${versions.length}`}>
      {step(at - 1, 'Earlier version', <ChevronLeft aria-hidden />)}
      <span aria-hidden>
        {at + 1}/{versions.length}
      </span>
      {step(at + 1, 'Later version', <ChevronRight aria-hidden />)}
    </span>
  );
}
