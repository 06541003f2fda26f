import { describe, expect, it } from 'vitest'
import { numberStyle, numberText } from '../../../functions/_shared/upload/sheet-values.ts'

function shown(stored: string, format: number | string, is1904 = false): string {
  const style = typeof format === 'number' ? numberStyle(format, undefined) : numberStyle(200, format)
  return numberText(stored, style, is1904)
}

describe('numbers of a sheet', () => {
  it.each([
    ['1', '1'],
    ['0.10000000000000001', '0.1'],
    ['0.30000000000000004', '0.3'],
    ['30.299999999999997', '30.3'],
    ['-1234.5', '-1234.5'],
    ['491701234567', '491701234567'],
    ['1E-3', '0.001'],
    ['not a number', 'not a number'],
  ])('%s is shown as %s', (stored, text) => {
    expect(shown(stored, 0)).toBe(text)
  })

  it.each([
    ['0.25', '0%', '0.25'],
    ['1234.5', '#,##0.00 "€"', '1234.5'],
    ['1234.5', '[Red]-0.00;0.00', '1234.5'],
    ['5', '0 "days"', '5'],
    ['5', '0.00E+00', '5'],
    ['1234', '00000', '01234'],
    ['12.5', '000', '12.5'],
    ['5551234', '[<=9999999]###-####;(###) ###-####', '5551234'],
    ['44830', 'General', '44830'],
    ['44830', '@', '44830'],
  ])('%s in the format %s is the number %s', (stored, format, text) => {
    expect(shown(stored, format)).toBe(text)
  })

  it.each([
    ['44830', 14, '2022-09-26'],
    ['44830.5', 14, '2022-09-26'],
    ['44830.5', 22, '2022-09-26T12:00:00'],
    ['44830', 22, '2022-09-26'],
    ['0.573032407407407', 20, '13:45:10'],
    ['1.5', 46, '36:00:00'],
    ['44830', 'yyyy-mm-dd', '2022-09-26'],
    ['44830', 'dd.mm.yyyy', '2022-09-26'],
    ['44830', '[$-407]d. mmmm yyyy;@', '2022-09-26'],
    ['44830', 'mmm-yy', '2022-09-26'],
    ['44830', 'yyyy"年"m"月"d"日"', '2022-09-26'],
    ['44830.25', '[$-409]m/d/yy h:mm AM/PM;@', '2022-09-26T06:00:00'],
    ['44830.573032407407', 'yyyy-mm-dd hh:mm:ss', '2022-09-26T13:45:10'],
    ['0.5', 'h:mm', '12:00:00'],
    ['0.5', 'mm:ss.0', '12:00:00'],
    ['1.25', '[h]:mm', '30:00:00'],
    ['-0.5', '[h]:mm', '-12:00:00'],
    ['1', 'd/m/yyyy', '1900-01-01'],
    ['59', 'd/m/yyyy', '1900-02-28'],
    ['60', 'd/m/yyyy', '1900-02-29'],
    ['61', 'd/m/yyyy', '1900-03-01'],
    ['2958465', 'd/m/yyyy', '9999-12-31'],
    ['2958466', 'd/m/yyyy', '2958466'],
    ['-1', 'd/m/yyyy', '-1'],
  ])('%s in the format %s is %s', (stored, format, text) => {
    expect(shown(stored, format)).toBe(text)
  })

  it('counts days from 1904 where the workbook does', () => {
    expect(shown('43368', 14, true)).toBe('2022-09-26')
    expect(shown('0', 14, true)).toBe('1904-01-01')
  })
})
