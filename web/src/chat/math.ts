import 'katex/dist/katex.min.css';
import { createMathPlugin } from '@streamdown/math';

/** Formulas between `$$`; a single `$` stays a dollar sign. */
export const math = createMathPlugin({ singleDollarTextMath: false });
