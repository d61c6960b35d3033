import { errorText } from '../lib/errors';

/** Shown when the page cannot start. */
export function StartFailure({ error }: { error: unknown }) {
  return (
    <main className="login">
      <div className="login-card">
        <h1>Parley cannot start</h1>
        <p>{errorText(error)}</p>
        <p className="hint">The operator sets the addresses in config.json or at the build; docs/web.md explains how.</p>
        <button type="button" className="button" onClick={() => window.location.reload()}>
          Try again
        </button>
      </div>
    </main>
  );
}
