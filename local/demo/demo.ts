import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { signUpWithOrganization } from './api.ts'
import { rowsArgument } from './arguments.ts'
import { differences } from './check.ts'
import { timeRawCopy } from './copy.ts'
import { type OwnStack, runningStack, temporaryStack } from './endpoint.ts'
import { type Expectation, writeFiles } from './file.ts'
import { megabytes, seconds, whole } from './format.ts'
import { header } from './rows.ts'
import { type Later, runCommand } from './run.ts'
import { printMonitor, printOutcome, printTimes } from './summary.ts'
import { print, startStep, styled } from './terminal.ts'
import { watchUpload, watchWork } from './watch.ts'

const usage = `npm run demo [-- --rows N]

Imports a made-up file of customers, of which 1 in 100 is wrong, and shows what becomes of it. It uses the stack that
npm start runs in this folder; if there is none it starts one, and stops it in the end. The exit code is 0 only if
every row had the fate that it must have.

  --rows N   how many rows the file has (100000)
  --help     this text`

const rows = rowsArgument(usage, 100_000)
await runCommand(demo)

async function demo(later: Later): Promise<number> {
  print(`\n  ${styled('bold', 'Sluice')}: a file of ${whole(rows)} customers, 1 in 100 of them wrong\n`)
  const stack = await findStack(later)

  const signingUp = startStep('Person')
  const name = `Demo ${randomUUID().slice(0, 8)}`
  const person = await signUpWithOrganization(
    stack,
    `${name.replace(' ', '-').toLowerCase()}@example.com`,
    name,
  )
  signingUp.done(`${person.email}, admin of the organization "${name}"`)

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

async function findStack(later: Later): Promise<OwnStack> {
  const looking = startStep('Stack')
  const running = await runningStack()
  if (running) {
    looking.done(`${running.url}, which runs already`)
    return running
  }
  const began = performance.now()
  const starting = temporaryStack()
  later(async () => (await starting.catch(() => undefined))?.stop())
  const stack = await starting
  looking.done(`${stack.url}, started in ${seconds(performance.now() - began)}`)
  return stack
}

function checked({ failures, samples }: Expectation): string {
  return `all ${whole(failures.length)} wrong rows failed for their reasons, ${samples.length} right ones are right`
}

function printDifferences(wrong: string[]): void {
  print(`\n  ${styled('red', `✘ ${whole(wrong.length)} things are not as they must be:`)}\n`)
  for (const line of wrong.slice(0, 20)) print(`    ${line}`)
  if (wrong.length > 20) print(`    and ${whole(wrong.length - 20)} more`)
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
