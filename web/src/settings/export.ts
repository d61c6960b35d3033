import { rows, supabase } from '../lib/supabase';

interface Part {
  messages: unknown[];
  turns: unknown[];
  next: object | null;
  [name: string]: unknown;
}

/** Everything that Parley stores about the user, read a part at a time. */
export async function exportMyData(): Promise<Record<string, unknown>> {
  const part = (after: object | null) => rows<Part>(supabase.rpc('export_my_data', { after }));
  const { next: first, ...all } = await part(null);
  for (let next = first; next; ) {
    const more = await part(next);
    all.messages.push(...more.messages);
    all.turns.push(...more.turns);
    next = more.next;
  }
  return { exported_at: new Date().toISOString(), ...all };
}
