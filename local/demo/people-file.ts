import { hashes, type MadeUp, madeUp, type PersonField, peopleFile } from './people.ts'

/** A file of people, and what must become of it. */
export type PeopleFile = {
  text: string
  rows: number
  created: number
  failures: { row: number; line: number; errors: { field: PersonField; code: string }[] }[]
  /** Some who must be able to sign in: by a password of the file, and by a hash. */
  signIns: { email: string; password: string; by: string }[]
  passwords: number
  hashes: number
}

/** Something that somebody got wrong, and what must be said of it. */
type Mistake = {
  field: PersonField
  code: string
  cells: (person: MadeUp, others: { before: MadeUp; taken: string }) => Partial<MadeUp>
}

const [knownHash = ''] = hashes.map(([, hash]) => hash)

const mistakes: Mistake[] = [
  mistake('email', 'invalid_format', (person) => ({ email: person.email.replace('@', '(at)') })),
  mistake('email', 'duplicate_in_file', (_, { before }) => ({ email: before.email.toUpperCase() })),
  mistake('email', 'already_exists', (_, { taken }) => ({ email: taken, role: '' })),
  mistake('email', 'required', () => ({ email: '' })),
  mistake('password', 'invalid_format', () => ({ password: 'short' })),
  mistake('password', 'too_long', () => ({ password: 'ä'.repeat(37) })),
  mistake('role', 'not_in_list', () => ({ role: 'boss' })),
  mistake('password_hash', 'invalid_format', () => ({ password_hash: '5f4dcc3b5aa765d61d8327deb882cf99' })),
  mistake('password_hash', 'invalid_format', () => ({ password: 'both of them', password_hash: knownHash })),
  mistake('phone', 'invalid_format', () => ({ phone: 'ask Ada' })),
  mistake('metadata', 'invalid_type', () => ({ metadata: '["Sales"]' })),
  mistake('metadata', 'invalid_type', () => ({ metadata: 'Sales' })),
]

function mistake(field: PersonField, code: string, cells: Mistake['cells']): Mistake {
  return { field, code, cells }
}

/** In so many rows one is wrong, one has a password and some have a hash. */
const block = 50

/** So many people of a domain, 1 in 50 of them wrong. `taken` is an address that somebody has already. */
export function demoPeople(rows: number, domain: string, taken: string): PeopleFile {
  const file: PeopleFile = { text: '', rows, created: 0, failures: [], signIns: [], passwords: 0, hashes: 0 }
  const people = Array.from({ length: rows }, (_, index) => {
    const number = index + 1
    const person = madeUp(number, domain)
    if (number % block === 17) {
      const way = mistakes[Math.floor(number / block) % mistakes.length] as Mistake
      file.failures.push({ row: number, line: number + 1, errors: [{ field: way.field, code: way.code }] })
      return { ...person, ...way.cells(person, { before: madeUp(number - 1, domain), taken }) }
    }
    file.created++
    if (number % block === 5) return withPassword(file, person, number)
    return number % 3 === 0 ? withHash(file, person, number) : person
  })
  file.text = peopleFile(people)
  return file
}

function withPassword(file: PeopleFile, person: MadeUp, number: number): MadeUp {
  const password = `copper kettle ${number}`
  if (file.passwords++ < 2) file.signIns.push({ email: person.email, password, by: 'password' })
  return { ...person, password }
}

function withHash(file: PeopleFile, person: MadeUp, number: number): MadeUp {
  const [password, password_hash] = hashes[number % hashes.length] as [string, string]
  if (file.hashes++ < 1) file.signIns.push({ email: person.email, password, by: 'bcrypt hash' })
  return { ...person, password_hash }
}
