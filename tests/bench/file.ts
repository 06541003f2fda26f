import { createWriteStream } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type Customer, customer } from '../../local/demo/customers.ts'
import { csvLine } from '../../local/demo/rows.ts'

/** The nine columns of the file. */
export const columns = [
  'external_id',
  'name',
  'email',
  'phone',
  'city',
  'credit_limit',
  'signup_date',
  'is_active',
  'notes',
] as const satisfies (keyof Customer)[]

/** A row of the file, as supabase-js takes it. */
export function record(number: number): Partial<Customer> {
  const whole = customer(number)
  return Object.fromEntries(columns.map((column) => [column, whole[column]]))
}

/** Writes so many customers, none of them wrong, from the first number on. */
export async function writeFile(rows: number, file: string, first = 1): Promise<void> {
  await pipeline(Readable.from(blocks(rows, first)), createWriteStream(file))
}

function* blocks(rows: number, first: number): Generator<string> {
  const last = first + rows - 1
  let text = `${columns.join(',')}\n`
  for (let number = first; number <= last; number++) {
    const one = record(number)
    text += `${csvLine(columns.map((column) => String(one[column] ?? '')))}\n`
    if (number % 1000 === 0 || number === last) {
      yield text
      text = ''
    }
  }
}
