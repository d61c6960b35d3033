import { lazy, Suspense, memo } from 'react';
import { plainText } from '../lib/text';

const Markdown = lazy(() => import('./Markdown'));

/** The text of an answer as Markdown; as plain text until the code for Markdown is here. */
export const Answer = memo(function Answer({ text, isWriting }: { text: string; isWriting: boolean }) {
  const plain = plainText(text);
  return (
    <Suspense fallback={<div className="markdown markdown-plain">{plain}</div>}>
      <Markdown text={plain} isWriting={isWriting} />
    </Suspense>
  );
});
