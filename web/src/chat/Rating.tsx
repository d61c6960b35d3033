import { Star, ThumbsDown, ThumbsUp } from 'lucide-react';
import { Popover } from 'radix-ui';
import { type FormEvent, useState } from 'react';
import { errorText } from '../lib/errors';
import { type Feedback, useRate } from '../lib/feedback';
import { showToast } from '../lib/toasts';
import { Field } from '../ui/parts';

const STARS = [1, 2, 3, 4, 5];

/** Thumbs at once; stars and a note in a small window. */
export function Rating({ turnId, feedback }: { turnId: string; feedback: Feedback | undefined }) {
  const rate = useRate();
  const [isOpen, setOpen] = useState(false);
  const known = feedback ?? { turn_id: turnId, rating: null, sentiment: null, note: null };
  const store = async (changes: Partial<Feedback>) => {
    try {
      await rate({ ...known, ...changes });
      showToast('Thank you for the rating.');
      setOpen(false);
    } catch (error) {
      showToast(errorText(error), { isError: true });
    }
  };
  return (
    <>
      <button type="button" className="icon-button" aria-label="Good answer" title="Good answer" aria-pressed={known.sentiment === 'positive'} onClick={() => void store({ sentiment: 'positive' })}>
        <ThumbsUp aria-hidden />
      </button>
      <button type="button" className="icon-button" aria-label="Bad answer" title="Bad answer" aria-pressed={known.sentiment === 'negative'} onClick={() => void store({ sentiment: 'negative' })}>
        <ThumbsDown aria-hidden />
      </button>
      <Popover.Root open={isOpen} onOpenChange={setOpen}>
        <Popover.Trigger className="icon-button" aria-label={known.rating ? `Rated ${known.rating} of 5 stars` : 'Rate with stars and a note'} title="Rate" aria-pressed={known.rating !== null}>
          <Star aria-hidden />
        </Popover.Trigger>
        <Popover.Portal>
          <Popover.Content className="popover" align="start" sideOffset={6} collisionPadding={8} aria-label="Rate this answer">
            <StarsAndNote known={known} onStore={(changes) => void store(changes)} />
          </Popover.Content>
        </Popover.Portal>
      </Popover.Root>
    </>
  );
}

function StarsAndNote({ known, onStore }: { known: Feedback; onStore: (changes: Partial<Feedback>) => void }) {
  const [rating, setRating] = useState(known.rating);
  const [note, setNote] = useState(known.note ?? '');
  const submit = (event: FormEvent) => {
    event.preventDefault();
    onStore({ rating, note: note.trim() || null });
  };
  return (
    <form className="stack" onSubmit={submit}>
      <fieldset className="stars">
        <legend>Your rating</legend>
        {STARS.map((each) => (
          <label key={each} className={rating !== null && each <= rating ? 'star star-on' : 'star'}>
            <input type="radio" name="rating" value={each} checked={rating === each} onChange={() => setRating(each)} />
            <Star aria-hidden />
            <span className="sr-only">{each === 1 ? '1 star' : `${each} stars`}</span>
          </label>
        ))}
      </fieldset>
      <Field label="Note">{(id) => <textarea id={id} rows={3} maxLength={4000} value={note} placeholder="What was good or wrong?" onChange={(event) => setNote(event.target.value)} />}</Field>
      <button type="submit" className="button button-primary" disabled={rating === null && !note.trim()}>
        Save
      </button>
    </form>
  );
}
