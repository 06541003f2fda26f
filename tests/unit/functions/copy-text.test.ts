import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { copyArray, copyField } from '../../../functions/_shared/upload/copy-text.ts'

// What the server does with a line, written from its documentation.

/** COPY's text format: fields between tabs, backslash escapes. */
function readCopyLine(line: string): (string | null)[] {
  return line.split('\t').map((field) => {
    if (field === '\\N') return null
    return field.replace(
      /\\(.)/gs,
      (_, char: string) => ({ n: '\n', r: '\r', t: '\t', b: '\b', f: '\f', v: '\v' })[char] ?? char,
    )
  })
}

/** The literal of a one-dimensional text[]. */
function readArray(literal: string): (string | null)[] {
  const cells: (string | null)[] = []
  let at = 1
  while (literal[at] !== '}') {
    if (literal[at] === ',') at++
    let cell = ''
    if (literal[at] !== '"') {
      while (literal[at] !== ',' && literal[at] !== '}') cell += literal[at++]
      if (cell !== 'NULL') throw new Error(`unquoted ${cell}`)
      cells.push(null)
      continue
    }
    at++
    while (literal[at] !== '"') {
      if (literal[at] === '\\') at++
      cell += literal[at++]
    }
    at++
    cells.push(cell)
  }
  if (at !== literal.length - 1) throw new Error('text after the array')
  return cells
}

const nasty = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.string({
    unit: fc.constantFrom('"', '\\', '\n', '\r', '\t', ',', '{', '}', 'N', 'U', 'L', ' ', "'", 'ü'),
  }),
  fc.constantFrom('NULL', 'null', '\\N', '\\.', '', '{}', '"', '\\'),
)

describe('COPY text', () => {
  it('brings any cells over', () => {
    fc.assert(
      fc.property(fc.array(fc.option(nasty), { minLength: 1 }), fc.option(nasty), (cells, plain) => {
        const line = `${copyArray(cells)}\t${copyField(plain)}\t${copyField(7)}`
        expect(line).not.toMatch(/[\n\r]/)
        const [array, field, number] = readCopyLine(line)
        expect(readArray(array ?? '')).toEqual(cells)
        expect(field).toBe(plain)
        expect(number).toBe('7')
      }),
      { numRuns: 5000 },
    )
  })

  it('tells a missing cell from one that says NULL', () => {
    expect(copyArray([null, 'NULL', ''])).toBe('{NULL,"NULL",""}')
  })
})
