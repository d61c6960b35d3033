import { useVirtualizer } from '@tanstack/react-virtual';
import type { ReactNode, RefObject } from 'react';
import type { Message } from '../lib/chat';

interface Props {
  messages: Message[];
  scrollElement: RefObject<HTMLElement | null>;
  render: (message: Message, index: number) => ReactNode;
}

/** The messages near the view; the others are an empty height, first estimated and then measured. */
export default function WindowedMessages({ messages, scrollElement, render }: Props) {
  const rows = useVirtualizer({
    count: messages.length,
    getScrollElement: () => scrollElement.current,
    estimateSize: (index) => (messages[index]?.role === 'user' ? 90 : 260),
    getItemKey: (index) => messages[index]?.id ?? index,
    overscan: 6,
    initialOffset: () => messages.length * 260,
  });
  return (
    <ol className="messages messages-windowed" style={{ height: rows.getTotalSize() }}>
      {rows.getVirtualItems().map((row) => (
        <li
          key={row.key}
          data-index={row.index}
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
