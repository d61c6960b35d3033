import { plainText } from '../lib/text';

/** The reasoning of a model, folded away. */
export function Reasoning({ text, isWriting }: { text: string; isWriting: boolean }) {
  return (
    <details className="fold">
      <summary>{isWriting ? 'Thinking…' : 'Reasoning'}</summary>
      <div className="fold-body reasoning" dir="auto">
        {plainText(text)}
      </div>
    </details>
  );
}
