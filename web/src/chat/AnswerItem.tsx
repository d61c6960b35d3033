import { GitBranch, RefreshCw } from 'lucide-react';
import type { Message } from '../lib/chat';
import { messageText } from '../lib/conversations';
import type { Feedback } from '../lib/feedback';
import type { TurnFacts } from '../lib/receipts';
import { CopyButton } from '../ui/parts';
import { Answer } from './Answer';
import { Facts } from './Facts';
import { Rating } from './Rating';
import { Reasoning } from './Reasoning';
import { ToolCall, isToolPart } from './ToolCall';
import { Versions } from './Versions';

interface Props {
  message: Message;
  facts: TurnFacts | undefined;
  feedback: Feedback | undefined;
  isWriting: boolean;
  canRegenerate: boolean;
  /** In a group: who paid, in words. */
  payer: string | undefined;
  onRegenerate: (messageId: string) => void;
  onVersion: (turnId: string) => void;
  onFork: (turnId: string) => void;
}

const ENDED: Record<string, string> = {
  cancelled: 'You stopped this answer.',
  partial: 'This answer ended too early.',
};

/** An answer with its reasoning, tool calls and hand-offs; below it what it cost, and what can be done with it. */
export function AnswerItem({ message, facts, feedback, isWriting, canRegenerate, payer, onRegenerate, onVersion, onFork }: Props) {
  const { turn_id: turnId, versions } = message.metadata ?? {};
  const ended = ENDED[facts?.status ?? message.metadata?.status ?? ''];
  const hasText = message.parts.some((part) => part.type === 'text' && part.text);
  return (
    <article className="answer" aria-label="Answer" aria-busy={isWriting}>
      {message.parts.map((part, index) => {
        if (part.type === 'text') return <Answer key={index} text={part.text} isWriting={isWriting && part.state === 'streaming'} />;
        if (part.type === 'reasoning') return <Reasoning key={index} text={part.text} isWriting={isWriting && part.state === 'streaming'} />;
        return isToolPart(part) ? <ToolCall key={index} part={part} /> : null;
      })}
      {isWriting && !hasText && (
        <p className="waiting" aria-hidden>
          <span />
          <span />
          <span />
        </p>
      )}
      {!isWriting && (
        <footer className="answer-foot">
          {ended && <p className="answer-ended">{ended}</p>}
          <div className="answer-tools">
            {hasText && <CopyButton text={() => messageText(message)} label="Copy the answer" />}
            <button type="button" className="icon-button" aria-label="Answer again" title="Answer again" disabled={!canRegenerate} onClick={() => onRegenerate(message.id)}>
              <RefreshCw aria-hidden />
            </button>
            {turnId && (
              <button type="button" className="icon-button" aria-label="Continue in a copy" title="Continue from here in a copy" disabled={!canRegenerate} onClick={() => onFork(turnId)}>
                <GitBranch aria-hidden />
              </button>
            )}
            {turnId && <Rating turnId={turnId} feedback={feedback} />}
            {turnId && versions && <Versions turnId={turnId} versions={versions} isDisabled={!canRegenerate} onChoose={onVersion} />}
          </div>
          <Facts facts={facts} metadata={message.metadata} payer={payer} />
        </footer>
      )}
    </article>
  );
}
