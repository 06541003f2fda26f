import { type Random, seeded } from './random.ts'
import { countries, firstNames, lastNames, notes, streets, trades } from './words.ts'

/** A customer as the table holds them. */
export type Customer = {
  external_id: string
  name: string
  email: string | null
  phone: string | null
  street: string | null
  postal_code: string | null
  city: string | null
  country: string | null
  credit_limit: string | null
  signup_date: string | null
  is_active: boolean
  notes: string | null
}

/** The fields, in the order of the file's columns. */
export const fields = [
  'external_id',
  'name',
  'email',
  'phone',
  'street',
  'postal_code',
  'city',
  'country',
  'credit_limit',
  'signup_date',
  'is_active',
  'notes',
] as const satisfies (keyof Customer)[]

/** A made-up customer; the same number is always the same one. */
export function customer(number: number): Customer {
  const random = seeded(number)
  const country = random.pick(countries)
  const first = random.pick(firstNames)
  const last = random.pick(lastNames)
  const trade = random.pick(trades)
  const name = random.below(3) === 0 ? `${first} ${last}` : `${last} ${trade} ${country.form}`

  return {
    external_id: customerNumber(number),
    name,
    email: mostly(random, 9, () => `${plain(first)}.${plain(last)}@${plain(trade)}${number}.example`),
    phone: mostly(
      random,
      7,
      () => `${country.dial} ${100 + random.below(900)} ${100_000 + random.below(900_000)}`,
    ),
    street: mostly(random, 9, () => `${random.pick(streets)} ${1 + random.below(199)}`),
    postal_code: mostly(random, 9, () => country.postalCode.replaceAll('#', () => String(random.below(10)))),
    city: random.pick(country.cities),
    country: country.code,
    credit_limit: mostly(random, 8, () => (random.below(5_000_000) / 100).toFixed(2)),
    signup_date: day(random),
    is_active: random.below(8) > 0,
    notes: mostly(random, 3, () => random.pick(notes)),
  }
}

/** What the customer is called in the organization's books. */
export function customerNumber(number: number): string {
  return `C-${String(number).padStart(7, '0')}`
}

/** The cells of a customer's line, as a tidy program would write them. */
export function cellsOf(customer: Customer): string[] {
  return fields.map((field) => String(customer[field] ?? ''))
}

/** A day from 2015 to 2024. */
function day(random: Random): string {
  const date = new Date(Date.UTC(2015, 0, 1 + random.below(3650)))
  return date.toISOString().slice(0, 10)
}

/** The value in so many of ten cases. */
function mostly<Value>(random: Random, ofTen: number, value: () => Value): Value | null {
  return random.below(10) < ofTen ? value() : null
}

/** Letters that an e-mail address has, of any name. */
export function plain(name: string): string {
  return name
    .normalize('NFD')
    .replaceAll('ß', 'ss')
    .replaceAll(/[øØ]/g, 'o')
    .replaceAll(/[łŁ]/g, 'l')
    .replaceAll('ı', 'i')
    .replaceAll(/[^A-Za-z]/g, '')
    .toLowerCase()
}
