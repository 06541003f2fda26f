import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deleteUsers, follow, get, type ImportDocument, type Person, signIn } from './api.ts'
import { compared, failureDifferences } from './check.ts'
import type { OwnStack } from './endpoint.ts'
import { megabytes, seconds, speed, whole } from './format.ts'
import { demoPeople, type PeopleFile } from './people-file.ts'
import { allowToConfirm, asPostgres, findStack, signUpPerson } from './prepare.ts'
import type { Later } from './run.ts'
import { printDifferences, printOutcome, printTable } from './summary.ts'
import { print, startStep, styled } from './terminal.ts'
import { watchUpload, watchWork } from './watch.ts'

const rows = 1000

/** How many rows of a place are about the people of the file. */
type Counts = Record<string, number>

/** An organization's people move in: a file of them, three of whom sign in, and then they are deleted. */
export async function demoUsers(later: Later): Promise<number> {
  print(`\n  ${styled('bold', 'Sluice')}: ${whole(rows)} people, 1 in 50 of them wrong\n`)
  const stack = await findStack(later)
  const admin = await signUpPerson(stack)
  await allowToConfirm(stack, admin)

  const folder = mkdtempSync(join(tmpdir(), 'sluice-demo-'))
  later(() => rmSync(folder, { recursive: true, force: true }))
  const domain = `${admin.organizationId.slice(0, 8)}.example`
  const people = demoPeople(rows, domain, admin.email)
  const file = join(folder, 'users.csv')
  writeFile(file, people)

  const before = await countPeople(stack, domain)
  const sending = { file, name: 'users.csv', rows, route: '/users/import?mode=insert' }
  const staged = await watchUpload(stack, admin, sending)
  const { document, total } = await watchWork(stack, admin, staged, rows)
  const wrong = [
    ...compared('people created', document.counts.inserted, people.created),
    ...(await failureDifferences(stack, admin, document.id, people.failures)),
    ...(await signInAll(stack, people)),
  ]
  const created = await countPeople(stack, domain)
  const deletion = await remove(stack, admin, document.id)
  wrong.push(...compared('people deleted', deletion.counts.deleted, people.created))
  wrong.push(...(await refusedSignIns(stack, people)))
  const after = await countPeople(stack, domain)

  await printOutcome(stack, admin, document)
  printCounts(before, created, after)
  for (const place of Object.keys(created)) {
    wrong.push(...compared(`${place} after the import`, created[place] ?? 0, people.created))
    wrong.push(...compared(`${place} after the deletion`, after[place] ?? 0, 0))
  }
  if (wrong.length > 0) printDifferences(wrong)
  else print(`\n  All as the file says; ${seconds(total)} from the request to the last person\n`)
  return wrong.length > 0 ? 1 : 0
}

function writeFile(file: string, people: PeopleFile): void {
  const step = startStep('File')
  writeFileSync(file, people.text)
  const size = megabytes(Buffer.byteLength(people.text))
  step.done(
    `${whole(rows)} rows, ${size}; ${people.passwords} passwords, ${people.hashes} hashes, the others neither`,
  )
}

/** Three of them sign in, and see who they are. */
async function signInAll(stack: OwnStack, { signIns }: PeopleFile): Promise<string[]> {
  const wrong: string[] = []
  for (const { email, password, by } of signIns) {
    const step = startStep('Sign-in')
    const person = await signIn(stack, email, password)
    if (!person) {
      step.done(styled('red', `${email} is refused`))
      wrong.push(`${email} cannot sign in by ${by}`)
      continue
    }
    const path = `/rest/v1/profiles?select=full_name,org_role&email=eq.${encodeURIComponent(email)}`
    const [profile] = (await get(stack, person, path)) as { full_name: string; org_role: string }[]
    if (!profile) wrong.push(`${email} has no profile`)
    step.done(`${email}, by ${by}: ${profile?.full_name}, ${profile?.org_role}`)
  }
  return wrong
}

/** Deletes the people of an import. */
async function remove(stack: OwnStack, admin: Person, importId: string): Promise<ImportDocument> {
  const step = startStep('Deletion')
  const began = performance.now()
  const { id } = await deleteUsers(stack, admin, importId)
  const document = await follow(stack, admin, id, ({ progress }) => {
    if (progress?.total)
      step.update(progress.processed / progress.total, `${whole(progress.processed)} people`)
  })
  const taken = performance.now() - began
  const { deleted } = document.counts
  step.done(`${seconds(taken).padStart(8)}  ${speed(deleted, taken).padStart(16)}`)
  return document
}

async function refusedSignIns(stack: OwnStack, { signIns }: PeopleFile): Promise<string[]> {
  const step = startStep('Sign-in')
  const wrong: string[] = []
  for (const { email, password } of signIns) {
    if (await signIn(stack, email, password)) wrong.push(`${email} can sign in after the deletion`)
  }
  step.done(`${signIns.length} are refused now`)
  return wrong
}

/** What the database holds of the people of a domain. */
async function countPeople(stack: OwnStack, domain: string): Promise<Counts> {
  return asPostgres(stack, async (sql) => {
    const [counts] = await sql<Counts[]>`
      select
        (select count(*)::integer from auth.users as u where u.email like ${`%@${domain}`}) as "auth.users",
        (select count(*)::integer from auth.identities as i where i.email like ${`%@${domain}`}) as "auth.identities",
        (select count(*)::integer from public.profiles as p where p.email like ${`%@${domain}`}) as profiles`
    return counts ?? {}
  })
}

function printCounts(before: Counts, created: Counts, after: Counts): void {
  print()
  const lines = Object.keys(created).map((place) => [
    place,
    ...[before, created, after].map((counts) => whole(counts[place] ?? 0)),
  ])
  printTable(['table', '>before', '>imported', '>deleted'], lines)
}
