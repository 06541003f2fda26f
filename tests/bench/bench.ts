import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  countRows,
  follow,
  type ImportDocument,
  type Person,
  signUpWithOrganization,
  upload,
} from '../../local/demo/api.ts'
import { readArguments } from '../../local/demo/arguments.ts'
import { timeRawCopy } from '../../local/demo/copy.ts'
import type { OwnStack } from '../../local/demo/endpoint.ts'
import { megabytes, seconds, speed, tableLines, whole } from '../../local/demo/format.ts'
import { type Later, runCommand } from '../../local/demo/run.ts'
import { print, startStep, styled } from '../../local/demo/terminal.ts'
import { type Completed, type Staged, watchUndo, watchUpload, watchWork } from '../../local/demo/watch.ts'
import { benchFairness } from './fairness.ts'
import { writeFile } from './file.ts'
import { timeInserts } from './peer.ts'
import { resetPeak, usageOf } from './process.ts'
import {
  machine,
  markdown,
  measurementCells,
  measurementHeader,
  type Report,
  writeSection,
} from './report.ts'
import { ownStack } from './stack.ts'
import { benchStorage } from './storage.ts'
import { benchUsers } from './users.ts'

const usage = `npm run bench [-- --rows N] [--fairness | --users N | --storage SIZE]

Times an import over HTTP beside raw COPY and beside supabase-js in batches of 1,000, on a stack of its own, and writes
docs/benchmarks.md. The exit code is 0 if all counts are right; it does not depend on the times.

  --rows N     how many rows the file has (1000000)
  --fairness   times imports of 100 rows while another organization's of so many runs, in place of all that
  --users N    times the creation of so many people beside sign-ups one by one and bcrypt alone, in place of all that
  --storage S  times a stored file of such a size (100MB, 1GB) beside the same rows in one request, in place of all that
  --help       this text`

/** Beyond so many rows supabase-js is measured on fewer, and its time is scaled. */
const peerLimit = 200_000
const peerRows = 100_000

const { rows, fairness, users, storage } = readArguments(usage, {
  rows: 1_000_000,
  fairness: false,
  users: 0,
  storage: 0,
})
await runCommand(chosen)

function chosen(later: Later): Promise<number> {
  if (fairness) return benchFairness(later, rows)
  if (storage > 0) return benchStorage(later, storage)
  return users > 0 ? benchUsers(later, users) : bench(later)
}

async function bench(later: Later): Promise<number> {
  print(`\n  ${styled('bold', 'Sluice')}: ${whole(rows)} rows beside raw COPY and supabase-js\n`)
  const stack = await ownStack(later)

  const folder = mkdtempSync(join(tmpdir(), 'sluice-bench-'))
  later(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'customers.csv')
  const writing = startStep('File')
  await writeFile(rows, file)
  writing.done(`${whole(rows)} rows, ${megabytes(statSync(file).size)}`)

  const person = await signUpWithOrganization(stack, 'sluice@example.com', 'Sluice')
  const peer = await signUpWithOrganization(stack, 'peer@example.com', 'Peer')
  await warmUp(stack, folder)

  const copies = [await copy(stack, file, person.organizationId)]
  print(styled('dim', '    Sluice, every row new'))
  const first = await measuredImport(stack, person, file)
  copies.push(await copy(stack, file, person.organizationId))
  const copyWithoutForeignKey = await copy(stack, file)
  print(styled('dim', '    Sluice, the same file again'))
  const again = await measuredImport(stack, person, file)
  const found = await countRows(stack, person, 'customers')
  print(styled('dim', '    Sluice, the first import taken back'))
  const undone = await watchUndo(stack, person, first.id, rows)
  const left = await countRows(stack, person, 'customers')
  const inserts = await insertsOfPeer(stack, peer)

  const yardstick = copies.reduce((sum, one) => sum + one, 0) / copies.length
  const peerTime = inserts.taken * (rows / inserts.rows)
  const report: Report = {
    rows,
    fileBytes: statSync(file).size,
    yardstick,
    measurements: [
      ...copies.map((milliseconds, index) => ({
        what: `raw COPY, ${['before', 'after'][index]}`,
        milliseconds,
        rows,
      })),
      { what: 'raw COPY, the mean of both: the yardstick', milliseconds: yardstick, rows },
      { what: 'raw COPY, no foreign key to look up', milliseconds: copyWithoutForeignKey, rows },
      { what: 'Sluice: request (upload, parsing, staging)', milliseconds: first.request, rows },
      { what: 'Sluice: validation', milliseconds: first.validation, rows },
      { what: 'Sluice: commit', milliseconds: first.commit, rows },
      { what: 'Sluice: request to completed', milliseconds: first.total, rows },
      { what: 'Sluice: the same file again, nothing changed', milliseconds: again.total, rows },
      { what: 'Sluice: undo of the first', milliseconds: undone.taken, rows },
      {
        what: `supabase-js, batches of 1,000${inserts.rows < rows ? ' (scaled)' : ''}`,
        milliseconds: peerTime,
        rows,
      },
    ],
    figures: [
      ['Sluice is faster than supabase-js by', `${(peerTime / first.total).toFixed(1)} times`],
      ['undo takes, of the time of its commit,', `${(undone.taken / first.commit).toFixed(2)}`],
      ...first.figures,
    ],
    notes: notes(inserts.rows),
  }
  await present(stack, report)
  return isRight(first, again, found, undone.document, left) ? 0 : 1
}

/** A small import by somebody else, so that the function is loaded and every connection is open. */
async function warmUp(stack: OwnStack, folder: string): Promise<void> {
  const step = startStep('Warm-up')
  const person = await signUpWithOrganization(stack, 'warm-up@example.com', 'Warm-up')
  const file = join(folder, 'warm-up.csv')
  await writeFile(1000, file)
  const { id } = await upload(stack, person, { file, name: 'warm-up.csv' }, () => {})
  await follow(stack, person, id, () => {})
  await sleep(1000)
  step.done('1,000 rows, not counted')
}

async function copy(stack: OwnStack, file: string, organizationId?: string): Promise<number> {
  const step = startStep('Raw COPY')
  const taken = await timeRawCopy(stack.databaseUrl, file, rows, organizationId)
  step.done(`${seconds(taken).padStart(8)}  ${speed(rows, taken).padStart(16)}`)
  return taken
}

type Measured = Staged & Completed & { figures: Report['figures'] }

/** An import, with what the functions' process needed for its request. */
async function measuredImport(stack: OwnStack, person: Person, file: string): Promise<Measured> {
  const pid = stack.functionsPid ?? 0
  resetPeak(pid)
  const before = usageOf(pid)
  const staged = await watchUpload(stack, person, { file, name: 'customers.csv', rows })
  const after = usageOf(pid)
  const completed = await watchWork(stack, person, staged, rows)
  if (!before || !after) return { ...staged, ...completed, figures: [] }

  const processorTime = (after.cpuSeconds - before.cpuSeconds) / (statSync(file).size / (32 * 1024 ** 2))
  const megabytesOf = (bytes: number) => `${Math.round(bytes / 1024 ** 2)} MB`
  const figures: Report['figures'] = [
    ['functions process, idle', megabytesOf(before.residentBytes)],
    ['functions process, peak above its idle', megabytesOf(after.peakBytes - before.residentBytes)],
    ['functions process, processor time for 32 MB', `${processorTime.toFixed(2)} s`],
  ]
  return { ...staged, ...completed, figures }
}

async function insertsOfPeer(stack: OwnStack, person: Person): Promise<{ taken: number; rows: number }> {
  const size = rows > peerLimit ? peerRows : rows
  const step = startStep('supabase-js')
  const taken = await timeInserts(stack, person, size, (done) =>
    step.update(done / size, `${whole(done)} rows`),
  )
  step.done(`${seconds(taken).padStart(8)}  ${speed(size, taken).padStart(16)}`)
  return { taken, rows: size }
}

function notes(peerSize: number): string[] {
  const scaled = `measured on ${whole(peerSize)} rows and scaled to ${whole(rows)}`
  return [
    'raw COPY: the same file into an empty table with the columns, checks, unique keys and foreign key of `customers`, before Sluice and after it. No validation, no row level security, no report. Without the foreign key, which is looked up once a row, it is the row of its own.',
    'Sluice: `POST /functions/v1/imports?review=false` as a person under row level security, until `GET /imports/{id}` says `completed`. Validation and commit begin with the next tick of the workers, which is within a second.',
    'Undo: `undo_import` of the first import until it says `undone`: each record is locked, compared with what the import left, looked up in every table that may refer to it, and deleted.',
    `supabase-js: one batch after the other as a person of another organization, under row level security, without validation${peerSize < rows ? `; ${scaled}` : ''}.`,
    'The idle of the functions process is what is resident after a small import; its peak is VmHWM during the request.',
  ]
}

async function present(stack: OwnStack, report: Report): Promise<void> {
  const machineLines = await machine(stack)
  writeSection(markdown(report, machineLines, new Date().toISOString().slice(0, 10)))

  print()
  for (const line of machineLines) print(`  ${line}`)
  print()
  const cells = report.measurements.map((one) => measurementCells(one, report.yardstick))
  for (const line of tableLines(measurementHeader, cells)) print(`  ${line}`)
  print()
  for (const line of tableLines(['', '>'], report.figures).slice(2)) print(`  ${line}`)
  print('\n  Written to docs/benchmarks.md')
}

function isRight(
  first: Completed,
  again: Completed,
  found: number,
  undone: ImportDocument,
  left: number,
): boolean {
  const wrong = (
    [
      ['inserted', first.document.counts.inserted, rows],
      ['unchanged when sent again', again.document.counts.unchanged, rows],
      ['in the table', found, rows],
      ['taken back', undone.undo?.reversed, rows],
      ['in the table after the undo', left, 0],
    ] as const
  ).filter(([, count, right]) => count !== right)
  for (const [what, count, right] of wrong)
    print(`  ${styled('red', `✘ ${whole(Number(count))} rows ${what}, not ${whole(right)}`)}`)
  return wrong.length === 0
}
