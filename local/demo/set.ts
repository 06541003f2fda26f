import { countRows, follow, type ImportDocument, type Person, undo, uploadArchive } from './api.ts'
import { compared } from './check.ts'
import type { Endpoint } from './endpoint.ts'
import { megabytes, seconds, whole } from './format.ts'
import { findStack, signUpPerson } from './prepare.ts'
import type { Later } from './run.ts'
import { type Moving, movingFiles, type SetFile } from './set-files.ts'
import { printDifferences, printTable } from './summary.ts'
import { print, startStep, styled } from './terminal.ts'
import { zip } from './zip.ts'

type Counts = Map<string, number>

/** A business moves in: files of all datasets as one zip, and then the orders are undone. */
export async function demoSet(later: Later): Promise<number> {
  const moving = movingFiles()
  const rows = whole(moving.files.reduce((sum, file) => sum + file.rows, 0))
  print(
    `\n  ${styled('bold', 'Sluice')}: a business moves in, with ${rows} rows in ${moving.files.length} files\n`,
  )
  const stack = await findStack(later)
  const person = await signUpPerson(stack)
  const empty = await countTables(stack, person, moving)

  const began = performance.now()
  const imports = await send(stack, person, moving)
  const wrong: string[] = []
  for (const file of moving.files) wrong.push(...(await watch(stack, person, file, imports)))
  const taken = performance.now() - began
  const imported = await countTables(stack, person, moving)

  const orders = imports.find(({ dataset }) => dataset === 'orders')
  if (!orders) throw new Error('the set has no import of orders')
  wrong.push(...(await takeBack(stack, person, orders.id, moving)))
  const undone = await countTables(stack, person, moving)

  printCounts(empty, imported, undone)
  wrong.push(...countDifferences('after the import', imported, moving.imported))
  wrong.push(...countDifferences('after the undo', undone, moving.undone))
  if (wrong.length > 0) printDifferences(wrong)
  else print(`\n  All as the files say; ${seconds(taken)} from the request to the last file\n`)
  return wrong.length > 0 ? 1 : 0
}

async function send(at: Endpoint, person: Person, { files }: Moving): Promise<ImportDocument[]> {
  const archive = zip(files.map(({ dataset, text }) => ({ name: `${dataset}.csv`, content: text })))
  const step = startStep('Upload')
  const began = performance.now()
  const imports = await uploadArchive(at, person, new Uint8Array(archive), 'business.zip')
  const taken = seconds(performance.now() - began).padStart(8)
  step.done(`${taken}  ${files.length} files in a zip of ${megabytes(archive.length)}, staged`)
  return imports
}

/** Follows the import of a file to its end. The files run in the order of their references. */
async function watch(
  at: Endpoint,
  person: Person,
  { dataset, rows, failed }: SetFile,
  imports: ImportDocument[],
): Promise<string[]> {
  const id = imports.find((one) => one.dataset === dataset)?.id
  if (!id) throw new Error(`the set has no import of ${dataset}`)
  const name = dataset.padEnd(19)
  const step = startStep('Import')
  const { counts } = await follow(at, person, id, ({ status, progress }) => {
    const { processed = 0, total = 0 } = progress ?? {}
    step.update(total > 0 ? processed / total : 0, `${name} ${status}`)
  })
  step.done(
    `${name} ${whole(counts.inserted).padStart(6)} of ${whole(rows)} rows inserted, ${whole(counts.failed)} failed`,
  )
  return [
    compared(`${dataset}: inserted rows`, counts.inserted, rows - failed),
    compared(`${dataset}: failed rows`, counts.failed, failed),
  ].flat()
}

async function takeBack(at: Endpoint, person: Person, id: string, { orders }: Moving): Promise<string[]> {
  const step = startStep('Undo')
  await undo(at, person, id)
  const document = await follow(
    at,
    person,
    id,
    ({ progress }) => {
      if (progress?.total) step.update(progress.processed / progress.total, 'orders')
    },
    'undone',
  )
  const reversed = document.undo?.reversed ?? 0
  const referenced = document.undo?.kept.referenced ?? 0
  step.done(
    `${'orders'.padEnd(19)} ${whole(reversed).padStart(6)} taken back, ${whole(referenced)} kept: invoices and payments refer to them`,
  )
  return [
    compared('orders taken back', reversed, orders.reversed),
    compared('orders kept', referenced, orders.referenced),
  ].flat()
}

async function countTables(at: Endpoint, person: Person, { imported }: Moving): Promise<Counts> {
  const counts: Counts = new Map()
  for (const table of imported.keys()) counts.set(table, await countRows(at, person, table))
  return counts
}

function printCounts(empty: Counts, imported: Counts, undone: Counts): void {
  const lines = [...imported].map(([table, count]) => [
    table,
    whole(empty.get(table) ?? 0),
    whole(count),
    whole(undone.get(table) ?? 0),
  ])
  print()
  printTable(['table', '>before', '>imported', '>orders undone'], lines)
}

function countDifferences(when: string, found: Counts, expected: Counts): string[] {
  return [...expected].flatMap(([table, count]) => compared(`${table} ${when}`, found.get(table) ?? 0, count))
}
