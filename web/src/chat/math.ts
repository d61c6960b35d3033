import type { Element, Root } from 'hast';
import { fromHtmlIsomorphic } from 'hast-util-from-html-isomorphic';
import katex from 'katex';
import remarkMath from 'remark-math';
import type { MathPlugin } from 'streamdown';
import { visit } from 'unist-util-visit';

/** The MathML of a formula: unlike KaTeX's HTML it needs neither fonts nor inline styles. Null for a wrong formula. */
function mathMl(formula: string, displayMode: boolean): Element | null {
  try {
    const html = katex.renderToString(formula, { output: 'mathml', displayMode, throwOnError: true, trust: false, maxExpand: 200 });
    return fromHtmlIsomorphic(html, { fragment: true }).children[0] as Element;
  } catch {
    return null; // it stays as text
  }
}

function rehypeMath() {
  return (tree: Root) => {
    visit(tree, 'element', (node, index, parent) => {
      const inner = node.tagName === 'pre' && node.children[0]?.type === 'element' ? node.children[0] : node;
      const classes = inner.properties.className;
      if (!parent || index === undefined || !Array.isArray(classes) || !classes.includes('language-math')) return;
      const [text] = inner.children;
      const formula = text?.type === 'text' ? mathMl(text.value, classes.includes('math-display')) : null;
      if (formula) parent.children[index] = formula;
    });
  };
}

/** Formulas between `$$`; a single `$` stays a dollar sign. */
export const math: MathPlugin = {
  name: 'katex',
  type: 'math',
  remarkPlugin: [remarkMath, { singleDollarTextMath: false }],
  rehypePlugin: rehypeMath,
};
