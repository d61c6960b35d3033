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

const estimated = (message: Message | undefined) => (message?.role === 'user' ? 90 : 260);

/**
 * The messages near the view; the others are an empty height, first estimated and then measured. A new target needs a
 * new list (by its key): it begins at the target, so that the target is in the document whatever moves the view meanwhile.
 */
export default function WindowedMessages({ messages, target, scrollElement, render }: Props) {
  const place = target ? messages.findIndex((each) => each.id === target.id) : -1;
  const rows = useVirtualizer({
    count: messages.length,
    getScrollElement: () => scrollElement.current,
    estimateSize: (index) => estimated(messages[index]),
    getItemKey: (index) => messages[index]?.id ?? index,
    overscan: 6,
    initialOffset: () => (place < 0 ? messages.length * 260 : messages.slice(0, place).reduce((height, each) => height + estimated(each), 0)),
  });
  useEffect(() => {
    if (target && place >= 0) rows.scrollToIndex(place, { align: target.isFound ? 'center' : 'start' });
    // Messages that are added later do not move the reader back.
  }, []);
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
