import { type FormEvent, useState } from 'react';
import { errorText } from '../lib/errors';
import { config, supabase } from '../lib/supabase';
import { Mark } from '../shell/Mark';
import { Field } from '../ui/parts';

type Way = 'password' | 'link';

/** Every way to sign in: password, a link by mail, without an account, and the demo account of a local stack. */
export function LoginModal() {
  const [way, setWay] = useState<Way>('password');
  const [isNew, setNew] = useState(false);
  const [email, setEmail] = useState('');
  const [password, setPassword] = useState('');
  const [isBusy, setBusy] = useState(false);
  const [failure, setFailure] = useState('');
  const [sentTo, setSentTo] = useState('');

  async function run(act: () => Promise<{ error: Error | null }>): Promise<boolean> {
    setBusy(true);
    setFailure('');
    try {
      const { error } = await act();
      if (error) setFailure(errorText(error));
      return !error;
    } catch (error) {
      setFailure(errorText(error));
      return false;
    } finally {
      setBusy(false);
    }
  }

  async function submit(event: FormEvent) {
    event.preventDefault();
    const emailRedirectTo = window.location.origin;
    if (way === 'link') {
      if (await run(() => supabase.auth.signInWithOtp({ email, options: { emailRedirectTo } }))) setSentTo(email);
    } else if (isNew) {
      let needsMail = false;
      const isDone = await run(async () => {
        const { data, error } = await supabase.auth.signUp({ email, password, options: { emailRedirectTo } });
        needsMail = !error && !data.session;
        return { error };
      });
      if (isDone && needsMail) setSentTo(email);
    } else await run(() => supabase.auth.signInWithPassword({ email, password }));
  }

  const { demo } = config;
  return (
    <main className="login">
      <div className="login-card">
        <div className="login-brand">
          <Mark />
          <h1>Parley</h1>
        </div>
        <p className="lead">Chat with every model of your team, and see what each answer costs.</p>
        {sentTo ? (
          <div className="notice" role="status">
            <p>
              We sent a link to <strong>{sentTo}</strong>. Open it in this browser.
            </p>
            <button type="button" className="button" onClick={() => setSentTo('')}>
              Use another way
            </button>
          </div>
        ) : (
          <>
            {demo && (
              <button type="button" className="button button-primary button-wide" disabled={isBusy} onClick={() => run(() => supabase.auth.signInWithPassword(demo))}>
                Continue as the demo user
              </button>
            )}
            {demo && <p className="divider">or with an account</p>}
            <form onSubmit={submit} className="stack">
              <Field label="E-mail">
                {(id) => <input id={id} type="email" autoComplete="email" required value={email} onChange={(event) => setEmail(event.target.value)} />}
              </Field>
              {way === 'password' && (
                <Field label="Password" hint={isNew ? 'At least 6 characters.' : undefined}>
                  {(id, hint) => (
                    <input
                      id={id}
                      aria-describedby={hint}
                      type="password"
                      autoComplete={isNew ? 'new-password' : 'current-password'}
                      minLength={6}
                      required
                      value={password}
                      onChange={(event) => setPassword(event.target.value)}
                    />
                  )}
                </Field>
              )}
              {failure && (
                <p className="notice notice-error" role="alert">
                  {failure}
                </p>
              )}
              <button type="submit" className={demo ? 'button button-wide' : 'button button-primary button-wide'} disabled={isBusy}>
                {way === 'link' ? 'Send me a link' : isNew ? 'Create the account' : 'Sign in'}
              </button>
            </form>
            <div className="login-ways">
              <button type="button" className="link" onClick={() => setWay(way === 'link' ? 'password' : 'link')}>
                {way === 'link' ? 'Use a password' : 'Send a link instead'}
              </button>
              {way === 'password' && (
                <button type="button" className="link" onClick={() => setNew(!isNew)}>
                  {isNew ? 'I have an account' : 'Create an account'}
                </button>
              )}
              <button type="button" className="link" disabled={isBusy} onClick={() => run(() => supabase.auth.signInAnonymously())}>
                Try without an account
              </button>
            </div>
          </>
        )}
      </div>
    </main>
  );
}
