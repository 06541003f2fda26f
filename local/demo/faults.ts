import type { Customer } from './customers.ts'
import type { Random } from './random.ts'

/** What Sluice must say of a row. */
export type ExpectedIssue = { field: keyof Customer | null; code: string }

/** A way to spoil a line: how, and what must be said of it. */
export type Fault = {
  issues: ExpectedIssue[]
  /** The cells by field, with `surplus` ones behind them. */
  spoil(cells: Cells, random: Random, takenKey: string): void
}

/** The cells of a line by field, in the order of the columns; `surplus` holds those beyond the last. */
export type Cells = Record<keyof Customer, string> & { surplus: string[] }

function fault(field: keyof Customer | null, code: string, spoil: Fault['spoil']): Fault {
  return { issues: [{ field, code }], spoil }
}

/** One value instead of the right one. */
function value(field: keyof Customer, code: string, values: string[]): Fault {
  return fault(field, code, (cells, random) => {
    cells[field] = random.pick(values)
  })
}

/** What is wrong with the wrong rows, in turn. */
export const faults: Fault[] = [
  fault('external_id', 'duplicate_in_file', (cells, _random, takenKey) => {
    cells.external_id = takenKey
  }),
  value('signup_date', 'invalid_type', ['2024-02-30', '2023-02-29', '2021-13-01', '2022-04-31']),
  value('signup_date', 'invalid_type', ['31.12.2024', '12/31/2024', '20 May 2021', 'yesterday']),
  value('external_id', 'required', ['', ' ', '\u00a0']),
  value('name', 'required', ['', '   ']),
  value('email', 'invalid_format', [
    'info(at)example.com',
    'anna@',
    '@example.com',
    'two words@example.com',
    'none',
  ]),
  value('credit_limit', 'out_of_range', ['-1', '-250.00', '-0.01']),
  value('credit_limit', 'out_of_range', ['99999999999', '1e12']),
  value('credit_limit', 'invalid_type', ['1.234,56', '5 000', 'n/a', '€ 500', 'NaN']),
  fault('name', 'too_long', (cells) => {
    cells.name = `${cells.name} and the heirs of `.repeat(20)
  }),
  fault(null, 'extra_cells', (cells, random) => {
    cells.surplus = random.pick([['see above'], ['', 'x'], ['Ltd', 'Leeds', '7']])
  }),
  value('is_active', 'invalid_type', ['maybe', 'ja', '2', 'active']),
  value('country', 'invalid_format', ['Germany', 'de', 'D', 'U.K.']),
  value('phone', 'invalid_format', ['call after six', '123', '+49 30 x12345']),
  {
    issues: [
      { field: 'email', code: 'invalid_format' },
      { field: 'signup_date', code: 'invalid_type' },
      { field: 'is_active', code: 'invalid_type' },
    ],
    spoil(cells) {
      Object.assign(cells, { email: 'Hauptstraße 5', signup_date: 'true', is_active: 'Ring twice' })
    },
  },
]
