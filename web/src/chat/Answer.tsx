import { lazy, memo, Suspense, useDeferredValue } from 'react';
import { plainText } from '../lib/text';

const Markdown = lazy(() => import('./Markdown'));

/** The text of an answer as Markdown; as plain text until the code for Markdown is here. */
export const Answer = memo(function Answer({ text, isWriting }: { text: string; isWriting: boolean }) {
  // Rendering a long answer may take longer than its next words: React then skips the states in between.
  const plain = plainText(useDeferredValue(text));
  return (
    <Suspense fallback={<div className="markdown markdown-plain">{plain}</div>}>
      <Markdown text={plain} isWriting={isWriting} />
    </Suspense>
  );
});
