import { useVirtualizer } from '@tanstack/react-virtual';
import { type ReactNode, type RefObject, useEffect } from 'react';
import type { Message } from '../lib/chat';
import type { Target } from './target';

interface Props {
  messages: Message[];
  target: Target | null;
  scrollElement: RefObject<HTMLElement | null>;
  render: (message: Message, index: number) => ReactNode;
}

/** The messages near the view; the others are an empty height, first estimated and then measured. */
export default function WindowedMessages({ messages, target, scrollElement, render }: Props) {
  const rows = useVirtualizer({
    count: messages.length,
    getScrollElement: () => scrollElement.current,
    estimateSize: (index) => (messages[index]?.role === 'user' ? 90 : 260),
    getItemKey: (index) => messages[index]?.id ?? index,
    overscan: 6,
    initialOffset: () => messages.length * 260,
  });
  const place = target ? messages.findIndex((each) => each.id === target.id) : -1;
  const isThere = place >= 0; // a moment after the target, because the shown messages are throttled
  useEffect(() => {
    if (target && isThere) rows.scrollToIndex(place, { align: target.isFound ? 'center' : 'start' });
    // Messages that are added later do not move the reader back.
  }, [target, isThere]);
  return (
    <ol className="messages messages-windowed" style={{ height: rows.getTotalSize() }}>
      {rows.getVirtualItems().map((row) => (
        <li
          key={row.key}
          data-index={row.index}
          className={target?.isFound && row.index === place ? 'message-found' : undefined}
          ref={rows.measureElement}
          style={{ transform: `translateY(${row.start}px)` }}
          aria-setsize={messages.length}
          aria-posinset={row.index + 1}
        >
          {render(messages[row.index]!, row.index)}
        </li>
      ))}
    </ol>
  );
}
