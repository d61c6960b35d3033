// Characters that change the direction of the text around them, control characters, and zero-width ones.
const DISGUISES = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+/g;

/** A name or title as one line without characters that could imitate or reorder other text. */
export function plainLine(text: string | null | undefined, fallback: string): string {
  return text?.replace(DISGUISES, ' ').trim() || fallback;
}

/** Text of many lines without terminal escapes and direction overrides; line ends and tabs stay. */
export function plainText(text: string): string {
  return text
    .replace(/\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007]*\u0007)/g, '')
    .replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, '');
}

/** A file name made from a title. */
export function fileName(title: string, ending: string): string {
  const name = title.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, '-').replace(/^-+|-+$/g, '').slice(0, 60);
  return `${name || 'conversation'}.${ending}`;
}
