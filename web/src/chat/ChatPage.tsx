import { useQuery } from '@tanstack/react-query';
import { useRef, useState } from 'react';
import { Link, useLocation } from 'wouter';
import { knownChat, newChat, openChat, type ParleyChat } from '../lib/chat';
import { useConversation } from '../lib/conversations';
import { useTitle } from '../lib/hooks';
import { Empty, Failure, Loading } from '../ui/parts';
import { ConversationView } from './ConversationView';

/** A conversation by its id, or a new one. */
export function ChatPage({ id }: { id?: string }) {
  return id ? <StoredChat key={id} id={id} /> : <NewChat />;
}

function NewChat() {
  const [chat] = useState<ParleyChat>(() => newChat());
  const [, navigate] = useLocation();
  useTitle('Parley');
  return <ConversationView chat={chat} conversation={null} onFirstQuestion={() => navigate(`/c/${chat.id}`, { replace: true })} />;
}

function StoredChat({ id }: { id: string }) {
  const isUuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id);
  const chat = useQuery({ queryKey: ['chat', id], queryFn: () => openChat(id), enabled: isUuid, initialData: () => knownChat(id), staleTime: Infinity });
  const conversation = useConversation(isUuid ? id : undefined);
  const wasThere = useRef(false);
  useTitle(conversation.data?.title ?? 'Conversation');
  if (chat.isError) return <Failure error={chat.error} onRetry={() => void chat.refetch()} />;
  if (conversation.data) wasThere.current = true;
  const isMissing = !isUuid || (conversation.data === null && (wasThere.current || chat.data?.messages.length === 0));
  if (isMissing) {
    return (
      <Empty title="There is no such conversation">
        It is deleted, or you are no member. <Link href="/">Begin a new one</Link>
      </Empty>
    );
  }
  if (!chat.data) return <Loading label="Loading the conversation" />;
  return <ConversationView chat={chat.data} conversation={conversation.data ?? null} />;
}
