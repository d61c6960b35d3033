import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { useUser } from '../auth/AuthProvider';
import { download } from '../lib/csv';
import { useAction, useTitle } from '../lib/hooks';
import { rows, supabase } from '../lib/supabase';
import { forgetChats } from '../lib/chat';
import { Confirm } from '../ui/Dialog';
import { CopyBlock, Page, Section } from '../ui/parts';
import { exportMyData } from './export';
import { Profile } from './Profile';

/** What is stored about the user, how answers adapt to them, and how to take or delete it all. */
export default function PrivacyPage() {
  const user = useUser();
  const queries = useQueryClient();
  const { run, isBusy } = useAction();
  const [isDeleting, setDeleting] = useState(false);
  const [word, setWord] = useState('');
  useTitle('Privacy');
  const save = () =>
    run(async () => download('my-data.json', 'application/json', JSON.stringify(await exportMyData(), null, 2)), { done: 'Your data is saved as a file.' });
  const remove = async () => {
    const isDone = await run(() => rows(supabase.rpc('delete_my_data')), { done: 'Your data is deleted. Usage and cost stay counted.' });
    if (!isDone) return;
    setDeleting(false);
    forgetChats();
    await queries.resetQueries();
  };
  return (
    <Page title="Privacy">
      <Section title="What is stored">
        <ul className="plain-list">
          <li>Your conversations with their files, word for word. Only their members and the admins of this deployment can read them.</li>
          <li>A log of each question with its tokens, cost and time. E-mail addresses, keys, card numbers and the like are replaced before the log is written.</li>
          <li>Your ratings, your model servers, and the preferences below.</li>
          <li>Sums of your use, which stay when the rest is deleted. They contain no text.</li>
        </ul>
      </Section>
      <Section title="How answers adapt to you">
        <Profile />
      </Section>
      <Section title="Your user id" lead="Give it to someone who invites you to a conversation.">
        <CopyBlock text={user.id} label="your user id" />
      </Section>
      <Section title="Your data" lead="Take everything that is stored about you as a JSON file, or delete your conversations, ratings and preferences.">
        <div className="row">
          <button type="button" className="button" disabled={isBusy} onClick={() => void save()}>
            Save my data
          </button>
          <button type="button" className="button button-danger" onClick={() => setDeleting(true)}>
            Delete my data
          </button>
        </div>
      </Section>
      {isDeleting && (
        <Confirm
          title="Delete my data"
          action="Delete everything"
          isBusy={isBusy || word !== 'delete'}
          text={
            <>
              <p>This deletes your conversations, your messages in others, the answers to them, your ratings, nodes and preferences. It cannot be undone. Your account and the sums of your use stay.</p>
              <div className="field">
                <label htmlFor="delete-word">Type “delete” to confirm</label>
                <input id="delete-word" value={word} autoComplete="off" onChange={(event) => setWord(event.target.value)} />
              </div>
            </>
          }
          onConfirm={() => void remove()}
          onClose={() => setDeleting(false)}
        />
      )}
    </Page>
  );
}
