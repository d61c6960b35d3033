import type { Root } from 'hast';
import { toJsxRuntime } from 'hast-util-to-jsx-runtime';
import { type ReactNode, useEffect, useState } from 'react';
import { Fragment, jsx, jsxs } from 'react/jsx-runtime';
import { CopyButton } from '../ui/parts';

const MAX_COLOURED = 30_000; // characters

/** A block of code with its language and a copy button; colours come when their code is here. */
export function CodeBlock({ code, language }: { code: string; language: string }) {
  return (
    <figure className="code-block">
      <figcaption>
        <span>{language || 'text'}</span>
        <CopyButton text={code} label="Copy the code" />
      </figcaption>
      <pre tabIndex={0} dir="ltr" aria-label={language ? `Code in ${language}` : 'Code'}>
        <code>{useColoured(code, language) ?? code}</code>
      </pre>
    </figure>
  );
}

function useColoured(code: string, language: string): ReactNode {
  const [coloured, setColoured] = useState<{ code: string; tree: Root } | null>(null);
  useEffect(() => {
    if (!language || code.length > MAX_COLOURED) return undefined;
    let isCurrent = true;
    void import('./highlight').then(({ highlight }) => {
      const tree = highlight(code, language);
      if (isCurrent && tree) setColoured({ code, tree });
    });
    return () => {
      isCurrent = false;
    };
  }, [code, language]);
  return coloured?.code === code ? toJsxRuntime(coloured.tree, { Fragment, jsx, jsxs }) : null;
}
