import { expect, it } from 'vitest'
import { inline, tableLines, whole } from '../../../local/demo/format.ts'

it('sets columns in line, numbers to the right', () => {
  expect(
    tableLines(
      ['code', '>rows'],
      [
        ['required', '7'],
        ['too_long', '1,234'],
      ],
    ),
  ).toEqual(['code       rows', '───────────────', 'required      7', 'too_long  1,234'])
})

it('shows a value on one line, shortened', () => {
  expect(inline('a\nb\tc', 10)).toBe('a b c')
  expect(inline('abcdefgh', 5)).toBe('abcd…')
})

it('groups the digits of whole numbers', () => {
  expect(whole(1234567)).toBe('1,234,567')
})
