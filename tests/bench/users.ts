import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import postgres from 'postgres'
import { follow, type Person, signUp, signUpWithOrganization, upload } from '../../local/demo/api.ts'
import type { OwnStack } from '../../local/demo/endpoint.ts'
import { seconds, tableLines, whole } from '../../local/demo/format.ts'
import { hashes, type MadeUp, madeUp, type PersonField, peopleFile } from '../../local/demo/people.ts'
import { allowToConfirm } from '../../local/demo/prepare.ts'
import type { Later } from '../../local/demo/run.ts'
import { print, startStep, styled } from '../../local/demo/terminal.ts'
import { watchUpload, watchWork } from '../../local/demo/watch.ts'
import { machine, markdownTable, writeSection } from './report.ts'
import { ownStack } from './stack.ts'

/** So many have a password, or are hashed alone, or sign up: bcrypt takes its time. */
const withPassword = 1600
const hashedAlone = 200
const signedUp = 40

/** As many as there are workers. */
const connections = 2

type Timed = { what: string; people: number; milliseconds: number }

/** Times the creation of people beside sign-ups one by one, and of their passwords beside bcrypt alone. */
export async function benchUsers(later: Later, people: number): Promise<number> {
  print(
    `\n  ${styled('bold', 'Sluice')}: ${whole(people)} people, beside sign-ups one by one and bcrypt alone\n`,
  )
  const stack = await ownStack(later)
  const folder = mkdtempSync(join(tmpdir(), 'sluice-bench-'))
  later(() => rmSync(folder, { recursive: true, force: true }))
  const admin = await signUpWithOrganization(stack, 'sluice@example.com', 'Sluice')
  await allowToConfirm(stack, admin)
  const signUps = await timeSignUps(stack)
  await warmUp(stack, admin, folder)

  const imported = async (kind: Kind, count: number, cells: (number: number) => Partial<MadeUp>) =>
    timeImport(stack, admin, { folder, kind, count, cells })
  const hashed = await imported('hashes', people, (number) => ({
    password_hash: hashes[number % hashes.length]?.[1],
  }))
  const bare = await imported('none', people, () => ({}))
  const before = await timeHashing(stack)
  const plain = await imported('passwords', withPassword, (number) => ({
    password: `copper kettle ${number}`,
  }))
  const after = await timeHashing(stack)

  const alone = {
    ...before,
    what: 'bcrypt alone, the mean of both',
    milliseconds: (before.milliseconds + after.milliseconds) / 2,
  }
  const figures = [
    ['people with hashes, over sign-ups one by one', `${whole(pace(hashed.total) / pace(signUps))} times`],
    ['people without password, over sign-ups one by one', `${whole(pace(bare.total) / pace(signUps))} times`],
    ['plain passwords, over bcrypt alone', (pace(plain.total) / pace(alone)).toFixed(2)],
  ]
  const timed = [
    signUps,
    ...Object.values(hashed),
    ...Object.values(bare),
    { ...before, what: `${before.what}, before` },
    { ...after, what: `${after.what}, after` },
    alone,
    ...Object.values(plain),
  ]
  await present(stack, people, timed, figures)
  return 0
}

type Import = { folder: string; kind: Kind; count: number; cells: (number: number) => Partial<MadeUp> }
type Phases = { validation: Timed; commit: Timed; total: Timed }

/** A file, and the columns that it has beside those of all people. */
type Kind = 'hashes' | 'none' | 'passwords'
const kinds: Record<Kind, { what: string; columns: PersonField[] }> = {
  hashes: { what: 'people with imported hashes', columns: ['password_hash'] },
  none: { what: 'people without password', columns: [] },
  passwords: { what: 'people with plain passwords', columns: ['password'] },
}
const columns: PersonField[] = ['email', 'full_name', 'role', 'phone', 'metadata']

async function timeImport(
  stack: OwnStack,
  admin: Person,
  { folder, kind, count, cells }: Import,
): Promise<Phases> {
  const { what, columns: own } = kinds[kind]
  print(styled('dim', `    ${whole(count)} ${what}`))
  const file = join(folder, `${kind}.csv`)
  writeFileSync(file, peopleFile(peopleOf(kind, count, cells), [...columns, ...own]))
  const sending = { file, name: `${kind}.csv`, rows: count, route: '/users/import' }
  const staged = await watchUpload(stack, admin, sending)
  const { document, validation, commit, total } = await watchWork(stack, admin, staged, count)
  const { inserted } = document.counts
  if (inserted !== count) throw new Error(`${inserted} of ${count} ${what} were created`)
  const timed = (phase: string, milliseconds: number) => ({
    what: `${what}: ${phase}`,
    people: count,
    milliseconds,
  })
  return {
    validation: timed('validation', validation),
    commit: timed('commit', commit),
    total: timed('request to completed', total),
  }
}

function* peopleOf(kind: string, count: number, cells: Import['cells']): Generator<MadeUp> {
  for (let number = 1; number <= count; number++)
    yield { ...madeUp(number, `${kind}.example`), ...cells(number) }
}

/** A small import, so that the function is loaded, every connection is open, and the workers are awake. */
async function warmUp(stack: OwnStack, admin: Person, folder: string): Promise<void> {
  const step = startStep('Warm-up')
  const file = join(folder, 'warm-up.csv')
  writeFileSync(
    file,
    peopleFile(
      peopleOf('warm-up', 200, () => ({})),
      columns,
    ),
  )
  const { id } = await upload(stack, admin, { file, name: 'warm-up.csv', route: '/users/import' }, () => {})
  await follow(stack, admin, id, () => {})
  step.done('200 people, not counted')
}

async function timeSignUps(stack: OwnStack): Promise<Timed> {
  const step = startStep('Sign-ups')
  const began = performance.now()
  for (let number = 1; number <= signedUp; number++) {
    await signUp(stack, madeUp(number, 'alone.example').email)
    step.update(number / signedUp, `${number} people`)
  }
  const timed = {
    what: 'sign-ups through the auth API, one by one',
    people: signedUp,
    milliseconds: performance.now() - began,
  }
  step.done(summary(timed))
  return timed
}

/** What the cores can hash, in plain connections that do nothing else. */
async function timeHashing(stack: OwnStack): Promise<Timed> {
  const step = startStep('bcrypt')
  const clients = Array.from({ length: connections }, () =>
    postgres(stack.databaseUrl, { max: 1, onnotice: () => {} }),
  )
  try {
    await Promise.all(clients.map((sql) => sql`select 1`))
    const began = performance.now()
    await Promise.all(
      clients.map(
        (sql) => sql`
        select count(extensions.crypt('copper kettle ' || n, extensions.gen_salt('bf', 10)))
        from generate_series(1, ${hashedAlone / connections}::integer) as n`,
      ),
    )
    const timed = {
      what: `bcrypt alone, in ${connections} connections`,
      people: hashedAlone,
      milliseconds: performance.now() - began,
    }
    step.done(summary(timed))
    return timed
  } finally {
    await Promise.all(clients.map((sql) => sql.end()))
  }
}

function pace({ people, milliseconds }: Timed): number {
  return (people / milliseconds) * 1000
}

function paceText(timed: Timed): string {
  return pace(timed) < 100 ? pace(timed).toFixed(1) : whole(pace(timed))
}

function summary(timed: Timed): string {
  return `${seconds(timed.milliseconds).padStart(8)}  ${`${paceText(timed)} people/s`.padStart(16)}`
}

const header = ['', '>people', '>seconds', '>people/s']

async function present(stack: OwnStack, people: number, timed: Timed[], figures: string[][]): Promise<void> {
  const machineLines = await machine(stack)
  const cells = timed.map((one) => [
    one.what,
    whole(one.people),
    (one.milliseconds / 1000).toFixed(2),
    paceText(one),
  ])
  const day = new Date().toISOString().slice(0, 10)
  writeSection(
    `\`\`\`
npm run bench -- --users ${people}
\`\`\`

Written by that command on ${day}.

${machineLines.map((line) => `- ${line}`).join('\n')}

${markdownTable(header, cells)}

${markdownTable(['', '>'], figures)}

- Sluice: \`POST /functions/v1/users/import?review=false\` as an admin, until \`GET /imports/{id}\` says \`completed\`. Validation and commit begin with the next tick of the workers, which is within a second.
- Sign-ups: \`POST /auth/v1/signup\` of the local auth library, one after the other. It hashes a password of each.
- bcrypt alone: \`extensions.crypt\` with cost 10 in ${connections} connections at once, before and after the import of people with passwords.`,
    '## People',
  )

  print()
  for (const line of machineLines) print(`  ${line}`)
  print()
  for (const line of tableLines(header, cells)) print(`  ${line}`)
  print()
  for (const line of tableLines(['', '>'], figures).slice(2)) print(`  ${line}`)
  print('\n  Written to docs/benchmarks.md')
}
