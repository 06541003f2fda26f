import type { Customer } from './customers.ts'
import type { Cells } from './faults.ts'
import type { Random } from './random.ts'

/** Something that looks like trouble and is none: the row must be inserted, and hold what is said here. */
export type Nuisance = {
  name: string
  /** Changes the customer, before their cells are written. */
  customer?: (customer: Customer, random: Random) => void
  /** Changes the cells, which still mean the same customer. */
  cells?: (cells: Cells, random: Random) => void
  /** So many cells at the end of the line are left out; they must be empty. */
  missing?: number
  /** An empty line comes before this one. */
  blankLine?: true
}

function note(name: string, text: string): Nuisance {
  return {
    name,
    customer: (customer) => {
      customer.notes = text
    },
  }
}

/** The nuisances that the file has, one in every few rows. */
export const nuisances: Nuisance[] = [
  {
    name: 'quotes in a name',
    customer: (customer) => {
      customer.name = `"Zum goldenen Anker" ${customer.name}, Inh. Groß`
    },
  },
  note('newlines', 'First line\nsecond line\n\nfourth, after an empty one'),
  note('emoji', 'Loves us 😀 since 2019 👩‍🌾'),
  note('quotes and commas', '"Never" before ten, said "she", twice'),
  note('a formula', '=HYPERLINK("https://example.com","click")'),
  note('SQL', "Robert'); drop table customers;--"),
  note('backslashes and tabs', 'C:\\new\\table\tand \\N and {a,"b"}'),
  note('the word null', 'NULL'),
  {
    name: 'spaces around cells',
    cells: (cells) => {
      cells.external_id = ` ${cells.external_id}`
      cells.name = `  ${cells.name} \u00a0`
      cells.city = `${cells.city}\t`
    },
  },
  {
    name: 'booleans in other words',
    cells: (cells, random) => {
      cells.is_active = random.pick(
        cells.is_active === 'true' ? ['yes', 'TRUE', '1', 'on', 't'] : ['no', 'False', '0', 'off', 'f'],
      )
    },
  },
  {
    name: 'a date without zeros',
    cells: (cells) => {
      cells.signup_date = cells.signup_date.replaceAll('-0', '-')
    },
  },
  {
    name: 'a number with a sign',
    cells: (cells) => {
      cells.credit_limit = cells.credit_limit && `+0${cells.credit_limit}`
    },
  },
  {
    name: 'the last cell missing',
    customer: (customer) => {
      customer.notes = null
    },
    missing: 1,
  },
  {
    name: 'the last two cells missing',
    customer: (customer) => {
      customer.notes = null
      customer.is_active = true // The table's default.
    },
    missing: 2,
  },
  {
    name: 'empty cells beyond the last',
    cells: (cells) => {
      cells.surplus = ['', '']
    },
  },
  { name: 'an empty line before it', blankLine: true },
]
