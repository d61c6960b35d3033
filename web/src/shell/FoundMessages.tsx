import { useInfiniteQuery } from '@tanstack/react-query';
import { Fragment } from 'react';
import { Link } from 'wouter';
import { useUser } from '../auth/AuthProvider';
import { titleOf } from '../lib/conversations';
import { useDeleted } from '../lib/deletions';
import { fromNow } from '../lib/format';
import { rows, supabase } from '../lib/supabase';
import { plainLine } from '../lib/text';
import { Failure, Loading } from '../ui/parts';

interface Hit {
  message_id: string;
  conversation_id: string;
  title: string | null;
  created_at: string;
  snippet: string;
}

const PAGE = 20;

/** Messages of the user's conversations that have the words, newest first. */
export default function FoundMessages({ words }: { words: string }) {
  const deleted = useDeleted(useUser().id);
  const found = useInfiniteQuery({
    queryKey: ['search', words],
    initialPageParam: null as string | null,
    queryFn: ({ pageParam }) => rows<Hit[]>(supabase.rpc('search_messages', { query: words, before: pageParam, max_rows: PAGE })),
    getNextPageParam: (last) => (last.length === PAGE ? last.at(-1)!.created_at : undefined),
  });
  if (found.isPending) return <Loading label="Searching messages" />;
  if (found.isError) return <Failure error={found.error} onRetry={() => void found.refetch()} />;
  const hits = found.data.pages.flat().filter((hit) => !deleted.has(hit.conversation_id));
  return (
    <section className="hits" aria-label="Found in messages">
      <h2>In messages</h2>
      {!hits.length && <p className="conversations-none">No message matches.</p>}
      <ul>
        {hits.map((hit) => (
          <li key={hit.message_id}>
            <Link href={`/c/${hit.conversation_id}?message=${hit.message_id}`} className="hit">
              <span className="hit-title">
                {titleOf(hit)} <span className="hint">{fromNow(hit.created_at)}</span>
              </span>
              <span className="hit-words">
                <Marked snippet={hit.snippet} />
              </span>
            </Link>
          </li>
        ))}
      </ul>
      {found.hasNextPage && (
        <button type="button" className="button button-quiet" onClick={() => void found.fetchNextPage()}>
          Older messages
        </button>
      )}
    </section>
  );
}

/** A snippet, its marked words emphasised. The marks are characters of the text, so no HTML is read. */
function Marked({ snippet }: { snippet: string }) {
  return plainLine(snippet, '')
    .split(/⟪(.*?)⟫/)
    .map((piece, index) => (index % 2 ? <mark key={index}>{piece}</mark> : <Fragment key={index}>{piece}</Fragment>));
}
