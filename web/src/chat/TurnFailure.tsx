import { CircleAlert } from 'lucide-react';
import { Link } from 'wouter';
import { explain } from '../lib/errors';
import { supabase } from '../lib/supabase';

/** Why an answer failed, and what the user can do. */
export function TurnFailure({ error, onRetry }: { error: Error; onRetry: () => void }) {
  const { title, detail, canRetry, action, requestId } = explain(error);
  return (
    <div className="notice notice-error turn-failure" role="alert">
      <CircleAlert aria-hidden />
      <div>
        <p className="notice-title">{title}</p>
        <p>{detail}</p>
        {action === 'models' && <p>Choose another model below the input.</p>}
        {requestId && <p className="hint">Request {requestId}</p>}
        <div className="row">
          {(canRetry || action === 'models') && (
            <button type="button" className="button" onClick={onRetry}>
              Try again
            </button>
          )}
          {action === 'usage' && (
            <Link href="/usage" className="button">
              See my usage
            </Link>
          )}
          {action === 'sign-in' && (
            <button type="button" className="button" onClick={() => void supabase.auth.signOut({ scope: 'local' })}>
              Sign in again
            </button>
          )}
        </div>
      </div>
    </div>
  );
}
