import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readArguments } from './arguments.ts'
import { differences } from './check.ts'
import { timeRawCopy } from './copy.ts'
import type { OwnStack } from './endpoint.ts'
import { type Expectation, writeFiles } from './file.ts'
import { megabytes, seconds, whole } from './format.ts'
import { findStack, signUpPerson } from './prepare.ts'
import { header } from './rows.ts'
import { type Later, runCommand } from './run.ts'
import { demoSet } from './set.ts'
import { printDifferences, printMonitor, printOutcome, printTimes } from './summary.ts'
import { demoSync } from './sync.ts'
import { print, startStep, styled } from './terminal.ts'
import { demoUsers } from './users.ts'
import { watchUpload, watchWork } from './watch.ts'

const usage = `npm run demo [-- --rows N | --set | --users | --sync]

Imports a made-up file of customers, of which 1 in 100 is wrong, and shows what becomes of it. It uses the stack that
npm start runs in this folder; if there is none it starts one, and stops it in the end. The exit code is 0 only if
every row had the fate that it must have.

  --rows N   how many rows the file has (100000)
  --set      files of all datasets instead, as one zip, 1 record in 50 wrong; then the import of the orders is undone
  --users    1,000 people instead, 1 in 50 wrong; three of them sign in, then the people of the import are deleted
  --sync     the feed of a small shop instead, synced each few seconds while its articles change and vanish
  --help     this text`

const { rows, set, users, sync } = readArguments(usage, {
  rows: 100_000,
  set: false,
  users: false,
  sync: false,
})
await runCommand(sync ? demoSync : users ? demoUsers : set ? demoSet : demo)

async function demo(later: Later): Promise<number> {
  print(`\n  ${styled('bold', 'Sluice')}: a file of ${whole(rows)} customers, 1 in 100 of them wrong\n`)
  const stack = await findStack(later)

  const person = await signUpPerson(stack)

  const folder = mkdtempSync(join(tmpdir(), 'sluice-demo-'))
  later(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'customers.csv')
  const rightRowsFile = join(folder, 'right.csv')
  const writing = startStep('File')
  const expected = await writeFiles(rows, file, rightRowsFile)
  writing.done(`${whole(rows)} rows, ${header.length} columns, ${megabytes(statSync(file).size)}`)

  const staged = await watchUpload(stack, person, { file, name: 'customers.csv', rows })
  const { document, total } = await watchWork(stack, person, staged, rows)
  const copying = startStep('Raw COPY')
  const copyTaken = await timeRawCopy(
    stack.databaseUrl,
    rightRowsFile,
    expected.inserted,
    person.organizationId,
  )
  copying.done(`${seconds(copyTaken).padStart(8)}  of the right rows, as the yardstick`)
  const checking = startStep('Check')
  const wrong = await differences(stack, person, document, expected)
  checking.done(wrong.length > 0 ? styled('red', 'it is not as it must be') : checked(expected))

  await printOutcome(stack, person, document)
  await printMonitor(stack, person, document)
  printTimes(total, copyTaken)
  if (wrong.length > 0) printDifferences(wrong)
  else printNext(stack)
  return wrong.length > 0 ? 1 : 0
}

function checked({ failures, samples }: Expectation): string {
  return `all ${whole(failures.length)} wrong rows failed for their reasons, ${samples.length} right ones are right`
}

function printNext(stack: OwnStack): void {
  const isTemporary = stack.functionsPid !== undefined
  print(`
  ${styled('bold', 'Where to go next')}

    npm start       ${isTemporary ? 'a stack that stays, and the requests for a file of your own' : 'runs: it printed the requests for a file of your own'}
    npm run bench   a million rows, beside raw COPY and supabase-js
    npm test        all that is promised, tried out
`)
}
