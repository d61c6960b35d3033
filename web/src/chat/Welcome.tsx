import { Mark } from '../shell/Mark';

const IDEAS = [
  'Explain row-level security in three sentences.',
  'What was the highest price of each instrument in the demo market?',
  'Write a polite reminder for an unpaid invoice.',
];

/** Shown before the first question. */
export function Welcome({ onAsk }: { onAsk: (text: string) => void }) {
  return (
    <div className="welcome">
      <Mark />
      <h1>What would you like to know?</h1>
      <ul>
        {IDEAS.map((idea) => (
          <li key={idea}>
            <button type="button" className="idea" onClick={() => onAsk(idea)}>
              {idea}
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}
