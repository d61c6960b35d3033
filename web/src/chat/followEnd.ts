import { type KeyboardEvent, useCallback, useLayoutEffect, useRef, useState, type WheelEvent } from 'react';

const ROUNDING = 2; // pixels: browsers round positions, and move the view when the input shrinks
const CLOSE = 30; // who scrolls down to here follows again
const FAR = 70; // from here on, a button leads back
const TAKES_SPACE = 'button, summary'; // it presses them
const TAKES_KEYS = 'input, textarea, select, [role=menu], [role=radiogroup]'; // for themselves, not for scrolling

/**
 * Keeps the end of a growing transcript in view until the reader leaves it: by wheel, key, finger or scroll bar, or by
 * selecting text. The reader who scrolls back to the end follows again. A wheel or a key counts before the view has
 * moved, because the next words would otherwise cancel its movement.
 */
export function useFollowEnd(startsAtEnd: boolean) {
  const scrollRef = useRef<HTMLDivElement>(null);
  const contentRef = useRef<HTMLDivElement>(null);
  const isFollowing = useRef(startsAtEnd);
  const last = useRef({ top: 0, height: 0 }); // of the view that is known to be the reader's or our own
  const [isAway, setAway] = useState(false);

  const measure = useCallback(() => {
    const { scrollTop: top, scrollHeight: height, clientHeight } = scrollRef.current!;
    const before = last.current;
    last.current = { top, height };
    const distance = height - clientHeight - top;
    setAway(!isFollowing.current && distance > FAR);
    return { distance, hasMovedUp: top < before.top && height >= before.height, hasMovedDown: top > before.top };
  }, []);
  const leave = useCallback(() => {
    isFollowing.current = false;
    measure();
  }, [measure]);
  const toEnd = useCallback(() => {
    isFollowing.current = true;
    scrollRef.current!.scrollTop = scrollRef.current!.scrollHeight;
    measure(); // so that the event of this scroll is no movement of the reader
  }, [measure]);

  useLayoutEffect(() => {
    const [element, content] = [scrollRef.current!, contentRef.current!];
    const onScroll = () => {
      const { distance, hasMovedUp, hasMovedDown } = measure();
      if (hasMovedUp && distance > ROUNDING) leave();
      else if (hasMovedDown && distance < CLOSE) isFollowing.current = true;
    };
    const onSelection = () => {
      const selection = document.getSelection();
      if (selection && !selection.isCollapsed && content.contains(selection.anchorNode)) leave();
    };
    const sizes = new ResizeObserver(() => (isFollowing.current ? toEnd() : measure()));
    sizes.observe(element);
    sizes.observe(content);
    element.addEventListener('scroll', onScroll, { passive: true });
    document.addEventListener('selectionchange', onSelection);
    return () => {
      sizes.disconnect();
      element.removeEventListener('scroll', onScroll);
      document.removeEventListener('selectionchange', onSelection);
    };
  }, [leave, measure, toEnd]);

  const readerInput = {
    onKeyDown: ({ key, shiftKey, target, currentTarget, defaultPrevented }: KeyboardEvent<HTMLElement>) => {
      const isTaken = defaultPrevented || !(target instanceof Element) || !currentTarget.contains(target) || target.closest(TAKES_KEYS);
      if (isTaken || !currentTarget.scrollTop) return;
      if (['ArrowUp', 'PageUp', 'Home'].includes(key) || (key === ' ' && shiftKey && !target.closest(TAKES_SPACE))) leave();
    },
    onWheel: ({ deltaY, ctrlKey, target, currentTarget }: WheelEvent<HTMLElement>) => {
      if (deltaY < 0 && !ctrlKey && currentTarget.scrollTop > 0 && !isScrolledInside(target, currentTarget)) leave();
    },
  };
  return { scrollRef, contentRef, readerInput, isAway, toEnd, leave };
}

/** Whether a part of the transcript, for example long output of a tool, takes a wheel up for itself. */
function isScrolledInside(target: EventTarget, outer: Element): boolean {
  let element = target instanceof Element ? target : null;
  while (element && element !== outer && !element.scrollTop) element = element.parentElement;
  return element !== outer;
}
