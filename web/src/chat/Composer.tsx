import { ArrowUp, Square } from 'lucide-react';
import { type ClipboardEvent, type FormEvent, type KeyboardEvent, useEffect, useRef, useState } from 'react';
import { Budget } from './Budget';
import { EstimateLine } from './EstimateLine';
import { ModelMenu, type Choice } from './ModelMenu';

const MAX_BYTES = 900_000; // a request of chat holds 1 MiB
const drafts = new Map<string, string>();

function isOver(text: string): boolean {
  return text.length > MAX_BYTES || (text.length > MAX_BYTES / 4 && new Blob([text]).size > MAX_BYTES);
}

interface Props {
  chatId: string;
  isNew: boolean;
  isRunning: boolean;
  choice: Choice;
  onAsk: (text: string) => void;
  onStop: () => void;
  /** In a group: writes to the members only. */
  onWrite?: (text: string) => void;
}

/** The input with the choice of the model, the money, and send or stop. Typing is possible while an answer runs. */
export function Composer({ chatId, isNew, isRunning, choice, onAsk, onStop, onWrite }: Props) {
  const [text, setText] = useState(() => drafts.get(chatId) ?? '');
  const [isRefused, setRefused] = useState(false);
  const [asksModel, setAsksModel] = useState(true);
  const input = useRef<HTMLTextAreaElement>(null);
  const isTooLong = isOver(text);
  const toMembers = onWrite && !asksModel;
  const canSend = text.trim() !== '' && !isTooLong && (!isRunning || Boolean(toMembers));

  useEffect(() => {
    drafts.set(chatId, text);
  }, [chatId, text]);
  useEffect(() => {
    if (matchMedia('(pointer: fine)').matches) input.current?.focus();
  }, [chatId]);

  const send = () => {
    if (!canSend) return;
    setText('');
    drafts.delete(chatId);
    if (toMembers) onWrite(text);
    else onAsk(text);
  };
  // The browser takes seconds to lay out more than can be sent.
  const onPaste = (event: ClipboardEvent) => {
    const isRefused = isOver(event.clipboardData.getData('text/plain'));
    if (isRefused) event.preventDefault();
    setRefused(isRefused);
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (isRunning && !toMembers) onStop();
    else send();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    send();
  };
  return (
    <form className="composer" onSubmit={submit}>
      <EstimateLine text={text} id={isNew ? undefined : chatId} choice={choice} isHidden={Boolean(toMembers) || isTooLong} />
      {(isTooLong || isRefused) && (
        <p className="composer-note composer-warning" role="alert">
          {isRefused ? 'The pasted text' : 'This'} is too long for one question: {MAX_BYTES.toLocaleString('en-US')} bytes fit.
        </p>
      )}
      <div className="composer-box">
        <textarea
          ref={input}
          aria-label="Your question"
          placeholder={toMembers ? 'Write to the members' : 'Ask anything'}
          rows={1}
          dir="auto"
          spellCheck={text.length < 20_000}
          value={text}
          className={text.length > 20_000 ? 'long' : undefined}
          onChange={(event) => {
            setText(event.target.value);
            setRefused(false);
          }}
          onPaste={onPaste}
          onKeyDown={onKeyDown}
        />
        <div className="composer-row">
          <ModelMenu choice={choice} />
          {onWrite && (
            <label className="switch">
              <input type="checkbox" role="switch" checked={asksModel} onChange={(event) => setAsksModel(event.target.checked)} />
              <span>Ask the model</span>
            </label>
          )}
          <Budget />
          {isRunning && !toMembers ? (
            <button type="submit" className="send" aria-label="Stop the answer" title="Stop">
              <Square aria-hidden />
            </button>
          ) : (
            <button type="submit" className="send" aria-label="Send" title="Send (Enter)" disabled={!canSend}>
              <ArrowUp aria-hidden />
            </button>
          )}
        </div>
      </div>
    </form>
  );
}
