import { Suspense } from 'react';
import type { Point } from '../lib/usage';
import { Loading } from './parts';
import { type Column, DataTable } from './DataTable';
import { preloadable } from './preloadable';

const { Part: Plot, preload } = preloadable(() => import('./Plot'));
preload(); // while the figures are read

interface Props {
  title: string;
  points: Point[];
  kind: 'bars' | 'line';
  format: (value: number | null) => string;
  file: string;
  /** The marks of the scale up to a value; without it `format` writes them. */
  scale?: (top: number) => (value: number) => string;
}

/** A chart over days; its table has the same numbers. */
export function Chart({ title, points, kind, format, file, scale }: Props) {
  const columns: Column<Point>[] = [
    { title: 'Day', value: (row) => row.day },
    { title, value: (row) => row.value, show: (row) => format(row.value), isNumber: true },
  ];
  return (
    <figure className="chart">
      <figcaption>{title}</figcaption>
      {points.every((each) => !each.value) ? (
        <p className="plot plot-empty">Nothing in this span.</p>
      ) : (
        <div className="plot" aria-hidden>
          <Suspense fallback={<Loading label="Drawing" />}>
            <Plot points={points} kind={kind} format={format} mark={scale?.(Math.max(...points.map((each) => each.value ?? 0)))} />
          </Suspense>
        </div>
      )}
      <details className="chart-table">
        <summary>As a table</summary>
        <DataTable label={title} columns={columns} rows={points.filter((each) => each.value)} rowKey={(row) => row.day} file={file} />
      </details>
    </figure>
  );
}
