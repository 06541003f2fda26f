import type { Defect } from './encoding.ts'

/** Something about a row that its reader could see. */
export interface RowIssue {
  field: string | null
  severity: 'error' | 'warning'
  code: 'invalid_encoding' | 'missing_cells' | 'extra_cells'
  message: string
  value: string | null
}

const maxValueLength = 200

/** The cells of a row, as many as there are columns, and what was wrong about their number. */
export function fitCells(cells: (string | null)[], columns: string[], issues: RowIssue[]): (string | null)[] {
  if (cells.length === columns.length) return cells
  if (cells.length < columns.length) {
    issues.push({
      field: null,
      severity: 'warning',
      code: 'missing_cells',
      message: 'row has fewer cells than there are columns',
      value: `${cells.length} of ${columns.length}`,
    })
    return [...cells, ...Array<null>(columns.length - cells.length).fill(null)]
  }
  const surplus = cells.slice(columns.length).filter(Boolean)
  if (surplus.length > 0) {
    issues.push({
      field: null,
      severity: 'error',
      code: 'extra_cells',
      message: 'row has more cells than there are columns',
      value: shortened(surplus.join(' | ')),
    })
  }
  return cells.slice(0, columns.length)
}

/** Takes the defects before a place off the list. */
export function takeDefects(defects: Defect[], end: number): Defect[] {
  if (defects.length === 0) return []
  const count = defects.findIndex((defect) => defect.at >= end)
  return defects.splice(0, count < 0 ? defects.length : count)
}

/** One issue for each kind of defect that a row has. */
export function encodingIssues(
  own: Defect[],
  cells: (string | null)[],
  columns: string[],
  issues: RowIssue[],
): void {
  if (own.some((defect) => defect.kind === 'undecodable')) {
    const at = cells.findIndex((cell) => cell?.includes('\uFFFD'))
    issues.push({
      field: columns[at] ?? null,
      severity: 'warning',
      code: 'invalid_encoding',
      message: 'undecodable bytes were replaced',
      value: at < 0 ? null : shortened(cells[at] ?? ''),
    })
  }
  if (own.some((defect) => defect.kind === 'nul')) {
    issues.push({
      field: null,
      severity: 'warning',
      code: 'invalid_encoding',
      message: 'NUL characters were removed',
      value: null,
    })
  }
}

function shortened(value: string): string {
  return value.length > maxValueLength ? `${value.slice(0, maxValueLength).toWellFormed()}…` : value
}
