/** An error that a function of Parley answered with; `code` is stable, `message` may be shown. */
export class ParleyError extends Error {
  constructor(
    message: string,
    readonly code: string,
    readonly status: number,
    readonly requestId: string | null = null,
    readonly metadata: Record<string, unknown> = {},
    readonly retryAfterSeconds: number | null = null,
  ) {
    super(message);
  }
}

/** What happened, in words for the user, and whether the same request may succeed later. */
export interface Explained {
  title: string;
  detail: string;
  canRetry: boolean;
  action: 'sign-in' | 'models' | 'usage' | null;
  requestId: string | null;
}

const NO_RETRY = { canRetry: false, action: null } as const;
const RETRY = { canRetry: true, action: null } as const;
const WORDS: Record<string, { title: string; canRetry: boolean; action: Explained['action'] }> = {
  invalid_token: { title: 'Your session has ended', canRetry: false, action: 'sign-in' },
  budget_exceeded: { title: 'Your budget does not cover this question', canRetry: false, action: 'usage' },
  quota_exceeded: { title: 'All requests of this period are used', canRetry: false, action: 'usage' },
  too_many_turns: { title: 'Too many answers are running', ...RETRY },
  too_many_followers: { title: 'Too many pages read running answers', ...RETRY },
  turn_in_progress: { title: 'Another answer is still being written', ...RETRY },
  context_exceeded: { title: 'The message is too long for this model', canRetry: false, action: 'models' },
  context_length_exceeded: { title: 'The conversation is too long for this model', canRetry: false, action: 'models' },
  body_too_large: { title: 'The message is too long', ...NO_RETRY },
  validation_failed: { title: 'This request is not possible', ...NO_RETRY },
  provider_refused: { title: 'The provider refused this request', canRetry: false, action: 'models' },
  provider_auth_failed: { title: 'The provider does not accept this deployment', canRetry: false, action: 'models' },
  model_unavailable: { title: 'The model is not available', canRetry: false, action: 'models' },
  model_not_found: { title: 'There is no such model', canRetry: false, action: 'models' },
  no_default_model: { title: 'No model can answer now', canRetry: false, action: null },
  answer_cut: { title: 'The answer ended too early', ...RETRY },
  provider_timeout: { title: 'The model did not answer in time', canRetry: true, action: 'models' },
  provider_overloaded: { title: 'The model is overloaded', canRetry: true, action: 'models' },
};

/** Any thrown value, explained. */
export function explain(error: unknown): Explained {
  const known = asParleyError(error);
  if (known) {
    const words = WORDS[known.code] ?? { title: 'The answer failed', canRetry: known.status >= 500, action: null };
    const action = known.metadata.needs ? 'models' : words.action; // abilities that the model lacks
    return { ...words, action, detail: known.message + resetText(known), requestId: known.requestId };
  }
  if (error instanceof TypeError || !navigator.onLine) {
    const detail = navigator.onLine ? 'The server cannot be reached.' : 'This device is offline.';
    return { title: 'No connection', detail, canRetry: true, action: null, requestId: null };
  }
  const detail = error instanceof Error ? error.message : String(messageOf(error));
  return { title: 'This did not work', detail, canRetry: true, action: null, requestId: null };
}

/** The short form of an error for a line of text. */
export function errorText(error: unknown): string {
  const { title, detail } = explain(error);
  return title === 'This did not work' ? detail : `${title}. ${detail}`;
}

/** The error of a response with Parley's body; for other bodies one made from the status. */
export async function errorOf(response: Response): Promise<ParleyError> {
  const text = await response.text();
  const wait = Number(response.headers.get('retry-after')) || null;
  return parse(text, response.status, wait) ?? new ParleyError(`The server answered ${response.status}.`, 'unknown', response.status);
}

function asParleyError(error: unknown): ParleyError | null {
  if (error instanceof ParleyError) return error;
  return error instanceof Error ? parse(error.message, 500, null) : null; // the AI SDK throws a body as a message
}

function parse(text: string, status: number, wait: number | null): ParleyError | null {
  if (!text.startsWith('{')) return null;
  try {
    const { error } = JSON.parse(text) as { error: { message: string; code: string; request_id?: string; metadata?: object } };
    return new ParleyError(error.message, error.code, status, error.request_id, { ...error.metadata }, wait);
  } catch {
    return null;
  }
}

function resetText(error: ParleyError): string {
  const at = error.metadata.resets_at;
  if (typeof at !== 'string') return '';
  return ` It resets ${new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' }).format(new Date(at))}.`;
}

function messageOf(error: unknown): unknown {
  return error && typeof error === 'object' && 'message' in error ? error.message : error;
}
