import { describe, expect, it } from 'vitest'
import type { Defect } from '../../../functions/_shared/upload/encoding.ts'
import {
  encodingIssues,
  fitCells,
  type RowIssue,
  takeDefects,
} from '../../../functions/_shared/upload/row-issues.ts'

const columns = ['a', 'b', 'c']

describe('ragged rows', () => {
  it('fills up missing cells, with a warning', () => {
    const issues: RowIssue[] = []
    expect(fitCells(['1'], columns, issues)).toEqual(['1', null, null])
    expect(issues).toMatchObject([{ severity: 'warning', code: 'missing_cells', value: '1 of 3' }])
  })

  it('makes an error of surplus cells that hold something', () => {
    const issues: RowIssue[] = []
    expect(fitCells(['1', '2', '3', '', 'x'], columns, issues)).toEqual(['1', '2', '3'])
    expect(issues).toMatchObject([{ severity: 'error', code: 'extra_cells', value: 'x' }])
  })

  it('ignores surplus cells that are empty', () => {
    const issues: RowIssue[] = []
    expect(fitCells(['1', '2', '3', '', ''], columns, issues)).toEqual(['1', '2', '3'])
    expect(issues).toEqual([])
  })
})

describe('undecodable bytes', () => {
  it('belong to the row in which they are', () => {
    const defects: Defect[] = [
      { at: 3, kind: 'undecodable' },
      { at: 4, kind: 'nul' },
      { at: 12, kind: 'nul' },
    ]
    const issues: RowIssue[] = []
    encodingIssues(takeDefects(defects, 10), ['x', 'y\uFFFD', 'z'], columns, issues)
    expect(issues).toMatchObject([
      { field: 'b', severity: 'warning', code: 'invalid_encoding', value: 'y\uFFFD' },
      { field: null, severity: 'warning', code: 'invalid_encoding', message: 'NUL characters were removed' },
    ])
    expect(defects).toEqual([{ at: 12, kind: 'nul' }])
  })
})
