import { type AnchorHTMLAttributes, type HTMLAttributes, type ImgHTMLAttributes, type ReactElement, useEffect, useState } from 'react';
import { type Components, defaultRemarkPlugins, type PluginConfig, Streamdown } from 'streamdown';
import { CodeBlock } from './CodeBlock';
import { hasFormulas, withDollars } from './formulas';
import { Table } from './Table';

const REMARK = Object.values(defaultRemarkPlugins);
const ALLOWED_LINK = /^(https?:|mailto:)/i;

/** A link of an answer. Addresses with another scheme are shown as text. */
function SafeLink({ href, children }: AnchorHTMLAttributes<HTMLAnchorElement>) {
  if (!href || !ALLOWED_LINK.test(href)) return <span>{children}</span>;
  return (
    <a href={href} target="_blank" rel="noopener noreferrer nofollow" title={href}>
      {children}
    </a>
  );
}

/** A picture of an answer is a link: loading it would show its server who reads what. */
function NoImage({ src, alt }: ImgHTMLAttributes<HTMLImageElement>) {
  return <SafeLink href={typeof src === 'string' ? src : undefined}>{alt || 'picture'}</SafeLink>;
}

function Code({ children }: HTMLAttributes<HTMLElement>) {
  return <code>{children}</code>;
}

const COMPONENTS = {
  a: SafeLink,
  img: NoImage,
  table: Table,
  code: Code,
  inlineCode: Code,
  pre: ({ children }: HTMLAttributes<HTMLPreElement>) => {
    const { className, children: code } = (children as ReactElement<{ className?: string; children?: unknown }>).props;
    const language = /language-([\w+#-]+)/.exec(className ?? '')?.[1] ?? '';
    return <CodeBlock code={String(code ?? '').replace(/\n$/, '')} language={language} />;
  },
} as Components;

/** Markdown without raw HTML: tags appear as text. Formulas load their code when the first one comes. */
export default function Markdown({ text, isWriting }: { text: string; isWriting: boolean }) {
  const plugins = useMath(hasFormulas(text));
  return (
    <Streamdown
      className="markdown"
      mode={isWriting ? 'streaming' : 'static'}
      dir="auto"
      components={COMPONENTS}
      remarkPlugins={REMARK}
      rehypePlugins={[]}
      plugins={plugins}
      controls={false}
      linkSafety={{ enabled: false }}
    >
      {plugins ? withDollars(text) : text}
    </Streamdown>
  );
}

function useMath(isNeeded: boolean): PluginConfig | undefined {
  const [plugins, setPlugins] = useState<PluginConfig>();
  useEffect(() => {
    if (isNeeded && !plugins) void import('./math').then(({ math }) => setPlugins({ math }));
  }, [isNeeded, plugins]);
  return plugins;
}
