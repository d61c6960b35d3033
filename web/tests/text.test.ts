import { describe, expect, test } from 'vitest';
import { hasFormulas, withDollars } from '../src/chat/formulas';
import { toCsv } from '../src/lib/csv';
import { count, duration, fromNow, price, usd } from '../src/lib/format';
import { fileName, plainLine, plainText } from '../src/lib/text';

describe('texts of models and users', () => {
  test('a name is one line without characters that reorder or hide text', () => {
    expect(plainLine('Ada\u202egnp.exe\nLovelace\u200b', '?')).toBe('Ada gnp.exe Lovelace');
    expect(plainLine(' \u2066 ', 'Untitled')).toBe('Untitled');
    expect(plainLine(null, 'Untitled')).toBe('Untitled');
  });

  test('a text loses terminal escapes and overrides, and keeps lines, tabs and emoji', () => {
    expect(plainText('\u001b[31mred\u001b[0m\t1\n\u202eabc\u202c \u{1f680}')).toBe('red\t1\nabc \u{1f680}');
  });

  test('a file is named after the title', () => {
    expect(fileName('Größe: 1/2 «x»', 'md')).toBe('größe-1-2-x.md');
    expect(fileName('???', 'json')).toBe('conversation.json');
  });
});

describe('CSV', () => {
  test('cells that a spreadsheet would run begin with an apostrophe', () => {
    expect(toCsv(['a', 'b'], [['=cmd()', '@x'], ['-1+1', '+2']])).toBe("a,b\r\n'=cmd(),'@x\r\n'-1+1,'+2\r\n");
  });

  test('numbers stay numbers, and quotes, commas and lines are quoted', () => {
    expect(toCsv(['n', 't'], [[-1.5, 'a "b", c\nd'], [null, undefined]])).toBe('n,t\r\n-1.5,"a ""b"", c\nd"\r\n,\r\n');
  });
});

describe('figures', () => {
  test('money has as many digits as the amount needs', () => {
    expect([0, 0.00001, 0.0042, 0.123, 12.5, 1234.567, null].map(usd)).toEqual(['$0', '< $0.0001', '$0.0042', '$0.123', '$12.50', '$1,234.57', 'unpriced']);
  });

  test('counts, times and prices are short', () => {
    expect([count(1234), count(128_000, true), count(null)]).toEqual(['1,234', '128K', '–']);
    expect([duration(320), duration(4200), duration(125_000), duration(null)]).toEqual(['320 ms', '4.2 s', '2 min 5 s', '–']);
    expect([price(0.15), price(0), price(null)]).toEqual(['$0.15', 'free', 'price unknown']);
    expect(fromNow('2026-11-28T10:00:00Z', Date.parse('2026-11-28T12:00:00Z'))).toBe('2 hours ago');
  });
});

describe('formulas', () => {
  test('brackets become dollars outside of code only', () => {
    expect(withDollars('so \\(a+b\\) is')).toBe('so $$a+b$$ is');
    expect(withDollars('\\[x\\]')).toBe('\n$$\nx\n$$\n');
    expect(withDollars('`\\(a\\)` and\n```\n\\[x\\]\n```')).toBe('`\\(a\\)` and\n```\n\\[x\\]\n```');
  });

  test('prices are no formulas', () => {
    expect(hasFormulas('between $5 and $10')).toBe(false);
    expect(hasFormulas('$$x$$')).toBe(true);
  });
});
