import { plain } from './customers.ts'
import { seeded } from './random.ts'
import { csvLine } from './rows.ts'
import { firstNames, lastNames } from './words.ts'

/** A made-up person, as the cells of a file have them. */
export type MadeUp = {
  email: string
  full_name: string
  role: string
  phone: string
  password: string
  password_hash: string
  metadata: string
}
export type PersonField = keyof MadeUp

/** The columns of a file: names as people give them. */
export const titles: Record<PersonField, string> = {
  email: 'E-Mail',
  full_name: 'Full name',
  role: 'Role',
  phone: 'Telephone',
  password: 'Password',
  password_hash: 'Password hash',
  metadata: 'Metadata',
}
const fields = Object.keys(titles) as PersonField[]

/** Passwords, and what another system kept of them: bcrypt of cost 10. */
export const hashes: [password: string, hash: string][] = [
  ['white ant 17', '$2b$10$JiAqoPKvBfrf4fkr9XHGVukR.qLfLh/1m/d1fpzT3zUAqIcV9N/nq'],
  ['quiet river 4', '$2b$10$Uhry4gBc18A2Ww.9kNNhgepZWgJDa8NXPvbLq3ZmLVcGfRYPKsI5y'],
  ['seven lamps 9', '$2b$10$nY3VNRx5NfoQUWlrBsl0bug50y4CdwV9RoyqMbpTbVMyppId5NOFm'],
]

const departments = ['Sales', 'Kitchen', 'Delivery', 'Office', 'Warehouse']

/** A made-up person without any way to sign in; the same number is always the same one. */
export function madeUp(number: number, domain: string): MadeUp {
  const random = seeded(number ^ 0x0e0e_0000)
  const first = random.pick(firstNames)
  const last = random.pick(lastNames)
  return {
    email: `${plain(first)}.${plain(last)}.${number}@${domain}`,
    full_name: `${first} ${last}`,
    role: random.below(10) === 0 ? 'member' : random.pick(['viewer', '']),
    phone: random.below(3) === 0 ? '' : `+49 30 ${area(domain)} ${String(number).padStart(5, '0')}`,
    password: '',
    password_hash: '',
    metadata: JSON.stringify({ department: random.pick(departments) }),
  }
}

/** Five digits, so that people of another domain have other numbers: the auth service has each only once. */
function area(domain: string): number {
  let mixed = 0
  for (const letter of domain) mixed = Math.imul(mixed, 31) + letter.charCodeAt(0)
  return 10_000 + seeded(mixed).below(90_000)
}

/** People as a CSV file with the columns given. */
export function peopleFile(people: Iterable<MadeUp>, columns: PersonField[] = fields): string {
  const lines = [columns.map((field) => titles[field])]
  for (const person of people) lines.push(columns.map((field) => person[field]))
  return lines.map((cells) => `${csvLine(cells)}\n`).join('')
}
