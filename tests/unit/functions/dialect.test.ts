import { describe, expect, it } from 'vitest'
import { columnNames, numberedColumns } from '../../../functions/_shared/upload/columns.ts'
import { detectDialect } from '../../../functions/_shared/upload/dialect.ts'

describe('dialect', () => {
  const cases: [name: string, head: string, delimiter: string, quote: string][] = [
    ['commas', 'a,b,c\n1,2,3\n', ',', '"'],
    ['semicolons beside decimal commas', 'name;price\nx;1,50\ny;2,75\n', ';', '"'],
    ['tabs', 'a\tb\n1, 2\t3\n', '\t', '"'],
    ['pipes', 'a|b|c\n1|2;3|4\n', '|', '"'],
    ['a single column', 'email\na@example.com\nb@example.com\n', ',', '"'],
    ['delimiters within quotes', 'a;b\n"1,2,3,4";"x,y"\n', ';', '"'],
    ['ragged lines', 'a,b,c\n1,2\n1,2,3\n1,2,3,4\n', ',', '"'],
    ['a comma in one header', 'name, first;city\nx;y\n', ';', '"'],
    ['apostrophes as quotes', "id,name\n'1','Müller, Hans'\n'2','O''Neil'\n", ',', "'"],
    ['apostrophes in words', "id,name\n1,O'Neil\n2,'s-Hertogenbosch\n", ',', '"'],
    ['CR LF', 'a;b\r\n1;2\r\n', ';', '"'],
    ['a header alone', 'a\tb\tc', '\t', '"'],
  ]
  for (const [name, head, delimiter, quote] of cases) {
    it(`finds out: ${name}`, () => {
      expect(detectDialect(head, {})).toEqual({ delimiter, quote })
    })
  }

  it('believes what is given', () => {
    expect(detectDialect('a,b\n1,2\n', { delimiter: ';', quote: "'" })).toEqual({
      delimiter: ';',
      quote: "'",
    })
    expect(detectDialect('a|b\n1|2\n', { quote: "'" })).toEqual({ delimiter: '|', quote: "'" })
  })
})

describe('columns', () => {
  it('names each once', () => {
    expect(columnNames(['name', ' name ', 'name', '', 'email', ''])).toEqual([
      'name',
      'name_2',
      'name_3',
      'column_4',
      'email',
      'column_6',
    ])
  })

  it('does not collide with names of the file', () => {
    expect(columnNames(['name', 'name', 'name_2', 'column_4', ''])).toEqual([
      'name',
      'name_3',
      'name_2',
      'column_4',
      'column_5',
    ])
    expect(columnNames(['column_2', ''])).toEqual(['column_2', 'column_2_2'])
  })

  it('gives names to a header that repeats one a hundred thousand times', () => {
    const names = columnNames(Array.from({ length: 100_000 }, () => 'a'))
    expect(names[99_999]).toBe('a_100000')
    expect(new Set(names).size).toBe(100_000)
  })

  it('numbers those of a file without a header', () => {
    expect(numberedColumns(2)).toEqual(['column_1', 'column_2'])
  })
})
