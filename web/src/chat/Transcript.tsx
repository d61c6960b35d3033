import { lazy, memo, type RefObject, Suspense, useRef } from 'react';
import type { Message } from '../lib/chat';
import type { Member } from '../lib/conversations';
import { receivedFacts, type TurnFacts } from '../lib/receipts';
import { useFeedback } from '../lib/feedback';
import { useUser } from '../auth/AuthProvider';
import { AnswerItem } from './AnswerItem';
import { memberName, QuestionItem } from './QuestionItem';
import type { Target } from './target';

const WindowedMessages = lazy(() => import('./WindowedMessages'));
const WINDOW_FROM = 80; // shorter conversations are laid out whole, so that the browser's search finds everything

interface Props {
  messages: Message[];
  target: Target | null;
  members: Member[];
  facts: Map<string, TurnFacts> | undefined;
  isRunning: boolean;
  scrollElement: RefObject<HTMLElement | null>;
  onRegenerate: (messageId: string) => void;
  onEdit: (messageId: string, text: string) => void;
  onVersion: (turnId: string) => void;
  onFork: (turnId: string) => void;
}

/** The messages; of long conversations only those near the view are in the document. */
export function Transcript(props: Props) {
  const { messages, scrollElement, target } = props;
  const render = useItems(props);
  // A moment after the target, because the shown messages are throttled.
  const shown = target && messages.some((each) => each.id === target.id) ? target : null;
  const begunAt = useRef<string>(undefined);
  if (shown) begunAt.current = shown.id; // also when another version replaces the message: the reader stays there
  if (messages.length >= WINDOW_FROM) {
    return (
      <Suspense>
        <WindowedMessages key={begunAt.current} messages={messages} target={shown} scrollElement={scrollElement} render={render} />
      </Suspense>
    );
  }
  return (
    <ol className="messages">
      {messages.map((message, index) => (
        <li key={message.id} {...(target?.id === message.id && { ref: showTarget, className: 'message-found', tabIndex: -1 })}>
          {render(message, index)}
        </li>
      ))}
    </ol>
  );
}

/** Scrolls to the message that the search found; the focus lets a screen reader go on there. */
function showTarget(element: HTMLLIElement | null): void {
  element?.scrollIntoView({ block: 'center' });
  element?.focus({ preventScroll: true });
}

function useItems({ messages, members, facts, isRunning, onRegenerate, onEdit, onVersion, onFork }: Props) {
  const feedback = useFeedback(messages);
  const user = useUser();
  const payerOf = (message: Message) => {
    const payer = message.metadata?.paid_by;
    if (members.length < 2 || !payer) return undefined;
    return payer === user.id ? 'you paid' : `paid by ${memberName(payer, members)}`;
  };
  return (message: Message, index: number) => {
    const isLast = index === messages.length - 1;
    if (message.role === 'user') {
      return <QuestionItem message={message} members={members} canEdit={!isRunning} onEdit={onEdit} />;
    }
    const turnId = message.metadata?.turn_id;
    return (
      <MemoAnswer
        message={message}
        facts={factsOf(message, turnId ? facts?.get(turnId) : undefined)}
        feedback={turnId ? feedback.get(turnId) : undefined}
        isWriting={isRunning && isLast}
        canRegenerate={!isRunning}
        payer={payerOf(message)}
        onRegenerate={onRegenerate}
        onVersion={onVersion}
        onFork={onFork}
      />
    );
  };
}

/** What is known of an answer: its receipt, and whether its turn was ended, which only the log says. */
function factsOf(message: Message, logged: TurnFacts | undefined): TurnFacts | undefined {
  const received = receivedFacts(message);
  return received ? { ...received, status: logged?.status ?? null } : logged;
}

// While an answer streams, only its own message changes.
const MemoAnswer = memo(AnswerItem, (before, after) =>
  before.message === after.message &&
  before.isWriting === after.isWriting &&
  before.canRegenerate === after.canRegenerate &&
  before.payer === after.payer &&
  before.feedback === after.feedback &&
  before.facts?.turn_id === after.facts?.turn_id &&
  before.facts?.status === after.facts?.status &&
  before.facts?.cost_usd === after.facts?.cost_usd,
);
