import { useQueryClient } from '@tanstack/react-query';
import type { FileUIPart } from 'ai';
import { ArrowDown } from 'lucide-react';
import { useEffect, useLayoutEffect, useRef, useState } from 'react';
import { useLocation } from 'wouter';
import { useUser } from '../auth/AuthProvider';
import { chooseVersion, forkConversation, learnMetadata, type ParleyChat, retryAnswer, stopAnswer, syncChat, useParley, writeMessage } from '../lib/chat';
import { type Conversation, filesOf, refreshConversations } from '../lib/conversations';
import { errorText } from '../lib/errors';
import { useKept } from '../lib/hooks';
import { readAgain } from '../lib/readAgain';
import { receivedFacts, useTurnFacts } from '../lib/receipts';
import { useMemberNames } from '../lib/memberNames';
import { showToast } from '../lib/toasts';
import { Composer } from './Composer';
import { useFollowEnd } from './followEnd';
import { Header } from './Header';
import { useSync } from './sync';
import { useTarget } from './target';
import { Transcript } from './Transcript';
import { TurnFailure } from './TurnFailure';
import { Welcome } from './Welcome';

/** One conversation: its messages, what went wrong, and the input. */
export function ConversationView(props: { chat: ParleyChat; conversation: Conversation | null; onFirstQuestion?: () => void }) {
  const { chat } = props;
  const isGroup = (props.conversation?.members.length ?? 1) > 1;
  const names = useMemberNames(props.conversation?.id, isGroup);
  const conversation = withNames(props.conversation, names.data);
  const user = useUser();
  const [, navigate] = useLocation();
  const [model, setModel] = useKept<string | null>('model', null);
  const [agent, setAgent] = useKept<string | null>('agent', null);
  const { messages, sendMessage, regenerate, status, error } = useParley(chat);
  const isRunning = status === 'submitted' || status === 'streaming';
  const conversationId = conversation?.id ?? messages.find((each) => each.metadata?.conversation_id)?.metadata?.conversation_id;
  const facts = useTurnFacts(user.id, conversationId, (known) => {
    const last = messages.at(-1);
    const turn = last?.role === 'assistant' ? last.metadata?.turn_id : undefined;
    return !isRunning && Boolean(turn && last && !known.has(turn) && !receivedFacts(last));
  });
  const body = { ...(model && { model }), ...(agent && { agent }) };
  const { sought, target, earlier } = useTarget(chat, messages.length);
  const { scrollRef, contentRef, readerInput, isAway, toEnd, leave } = useFollowEnd(!sought);
  useLayoutEffect(() => {
    if (target) leave();
  }, [target, leave]);
  useAfterTurn(chat, isRunning);
  useSync(chat, conversation?.id, isGroup, isRunning);

  /** Follows the answer to come, wherever the reader is. */
  const follow = (asked: Promise<unknown>) => {
    void asked;
    toEnd();
  };
  const ask = (text: string, files: FileUIPart[] = []) => {
    follow(sendMessage({ text, files }, { body }));
    props.onFirstQuestion?.();
  };
  const fork = (turnId: string) =>
    attempt(async () => {
      navigate(`/c/${await forkConversation(conversationId!, turnId)}`);
      showToast('This is a copy. The first conversation stays as it is.');
    });
  const write = (text: string) =>
    attempt(async () => {
      await writeMessage(conversation!.id, user.id, text);
      await syncChat(chat);
    });
  return (
    <div className="chat">
      <Header conversation={conversation} messages={messages} />
      <div className="transcript" ref={scrollRef} {...readerInput} tabIndex={0} role="region" aria-label="Messages">
        <div ref={contentRef} className="transcript-content">
          {messages.length === 0 && <Welcome onAsk={ask} />}
          {earlier && (
            <button type="button" className="button button-quiet earlier" disabled={earlier.isLoading} onClick={earlier.load}>
              Earlier messages
            </button>
          )}
          <Transcript
            messages={messages}
            target={target}
            members={conversation?.members ?? []}
            facts={facts.data}
            isRunning={isRunning}
            scrollElement={scrollRef}
            onRegenerate={(messageId) => follow(regenerate({ messageId, body }))}
            onEdit={(messageId, text) => follow(sendMessage({ text, messageId, files: filesOf(messages.find((each) => each.id === messageId)) }, { body }))}
            onVersion={(turnId) => void attempt(() => chooseVersion(chat, turnId))}
            onFork={(turnId) => void fork(turnId)}
          />
          {error && !isRunning && (
            <TurnFailure
              error={error}
              onRetry={() => follow(attempt(() => retryAnswer(chat, body)))}
            />
          )}
        </div>
      </div>
      {isAway && messages.length > 0 && (
        <button type="button" className="to-bottom" aria-label="To the newest message" onClick={toEnd}>
          <ArrowDown aria-hidden />
        </button>
      )}
      <Composer
        chatId={chat.id}
        isNew={!conversationId}
        isRunning={isRunning}
        choice={{ model, agent, setModel, setAgent }}
        onAsk={ask}
        onStop={() => void attempt(() => stopAnswer(chat))}
        onWrite={isGroup ? (text) => void write(text) : undefined}
      />
      <Announcer isRunning={isRunning} hasFailed={Boolean(error)} />
    </div>
  );
}

function withNames(conversation: Conversation | null, names: Record<string, string> | undefined): Conversation | null {
  return conversation && names ? { ...conversation, members: conversation.members.map((each) => ({ ...each, name: names[each.user_id] })) } : conversation;
}

/** Runs an action; shows its failure. */
async function attempt(act: () => Promise<unknown>): Promise<void> {
  try {
    await act();
  } catch (failure) {
    showToast(errorText(failure), { isError: true });
  }
}

/** Reads limits, cost and the list again when an answer has ended. */
function useAfterTurn(chat: ParleyChat, isRunning: boolean): void {
  const queries = useQueryClient();
  const wasRunning = useRef(false);
  useEffect(() => {
    if (wasRunning.current && !isRunning) {
      void refreshConversations(queries);
      void learnMetadata(chat).catch(() => undefined);
      void readAgain(queries, ['limits', 'facts', 'usage']);
    }
    wasRunning.current = isRunning;
  }, [chat, isRunning, queries]);
}

/** One line for screen readers at the start and the end of an answer, instead of all its words. */
function Announcer({ isRunning, hasFailed }: { isRunning: boolean; hasFailed: boolean }) {
  const [text, setText] = useState('');
  const wasRunning = useRef(false);
  useEffect(() => {
    if (isRunning) setText('The model is answering.');
    else if (wasRunning.current) setText(hasFailed ? 'The answer failed.' : 'The answer is complete.');
    wasRunning.current = isRunning;
  }, [isRunning, hasFailed]);
  return (
    <div className="sr-only" role="status">
      {text}
    </div>
  );
}
