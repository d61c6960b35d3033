import { Check, Copy, LoaderCircle } from 'lucide-react';
import { type ReactNode, useId, useState } from 'react';
import { errorText } from '../lib/errors';
import { showToast } from '../lib/toasts';

/** A labelled input; `children` gets the id that the label names. */
export function Field(props: { label: string; hint?: ReactNode; children: (id: string, hintId: string | undefined) => ReactNode }) {
  const id = useId();
  const hintId = props.hint ? `${id}-hint` : undefined;
  return (
    <div className="field">
      <label htmlFor={id}>{props.label}</label>
      {props.children(id, hintId)}
      {props.hint && (
        <p className="hint" id={hintId}>
          {props.hint}
        </p>
      )}
    </div>
  );
}

export function Loading({ label = 'Loading' }: { label?: string }) {
  return (
    <div className="loading" role="status">
      <LoaderCircle className="spin" aria-hidden />
      <span>{label}…</span>
    </div>
  );
}

/** What went wrong, with a retry. */
export function Failure({ error, onRetry }: { error: unknown; onRetry?: () => void }) {
  return (
    <div className="notice notice-error" role="alert">
      <p>{errorText(error)}</p>
      {onRetry && (
        <button type="button" className="button" onClick={onRetry}>
          Try again
        </button>
      )}
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="empty">
      <p className="empty-title">{title}</p>
      {children && <p>{children}</p>}
    </div>
  );
}

/** Copies a text; shows a tick afterwards. */
export function CopyButton({ text, label = 'Copy' }: { text: string | (() => string); label?: string }) {
  const [isCopied, setCopied] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(typeof text === 'string' ? text : text());
      setCopied(true);
      setTimeout(() => setCopied(false), 1500);
    } catch {
      showToast('The browser did not allow copying.', { isError: true });
    }
  };
  return (
    <button type="button" className="icon-button" aria-label={isCopied ? 'Copied' : label} title={label} onClick={copy}>
      {isCopied ? <Check aria-hidden /> : <Copy aria-hidden />}
    </button>
  );
}

/** A text that is to be copied, such as a key or a command. */
export function CopyBlock({ text, label }: { text: string; label: string }) {
  return (
    <div className="copy-block">
      <pre tabIndex={0} aria-label={label}>
        {text}
      </pre>
      <CopyButton text={text} label={`Copy ${label}`} />
    </div>
  );
}

/** A page with a title, beside the chat. */
export function Page(props: { title: string; lead?: ReactNode; actions?: ReactNode; children: ReactNode }) {
  return (
    <div className="page">
      <header className="page-head">
        <div>
          <h1>{props.title}</h1>
          {props.lead && <p className="lead">{props.lead}</p>}
        </div>
        {props.actions && <div className="page-actions">{props.actions}</div>}
      </header>
      {props.children}
    </div>
  );
}

export function Section(props: { title: string; lead?: ReactNode; actions?: ReactNode; children: ReactNode }) {
  const id = useId();
  return (
    <section className="section" aria-labelledby={id}>
      <header className="section-head">
        <div>
          <h2 id={id}>{props.title}</h2>
          {props.lead && <p className="lead">{props.lead}</p>}
        </div>
        {props.actions}
      </header>
      {props.children}
    </section>
  );
}

/** On or off, with its label; `name` names it for screen readers where the label is not enough. */
export function Switch(props: { label: string; name?: string; isOn: boolean; onChange: (isOn: boolean) => void; isDisabled?: boolean }) {
  return (
    <label className="switch">
      <input type="checkbox" role="switch" aria-label={props.name} checked={props.isOn} disabled={props.isDisabled} onChange={(event) => props.onChange(event.target.checked)} />
      <span>{props.label}</span>
    </label>
  );
}
