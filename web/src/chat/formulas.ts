const CODE = /(```[\s\S]*?(?:```|$)|`[^`\n]*`)/;
const BRACKETS = /\\\[([\s\S]+?)\\\]|\\\(([\s\S]+?)\\\)/g;

/** Markdown with the formulas of `\[ \]` and `\( \)` between `$$`; code stays as it is. */
export function withDollars(text: string): string {
  const parts = text.split(CODE);
  return parts.map((part, index) => (index % 2 ? part : part.replace(BRACKETS, (_whole, block?: string, inline?: string) => (block ? `\n$$\n${block.trim()}\n$$\n` : `$$${inline}$$`)))).join('');
}

export function hasFormulas(text: string): boolean {
  return /\$\$|\\\[|\\\(/.test(text);
}
