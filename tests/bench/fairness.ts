import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { countRows, follow, type Person, signUpWithOrganization, upload } from '../../local/demo/api.ts'
import type { OwnStack } from '../../local/demo/endpoint.ts'
import { seconds, speed, tableLines, whole } from '../../local/demo/format.ts'
import type { Later } from '../../local/demo/run.ts'
import { print, startStep, styled } from '../../local/demo/terminal.ts'
import { writeFile } from './file.ts'
import { ownStack } from './stack.ts'

const smallRows = 100
/** What a small import may take, whatever else runs. */
const goal = 5_000

/** A small import, and what the large one was at when it began. */
type Small = { beside: string; milliseconds: number }

/** Times small imports of one organization while the large one of another runs; nothing depends on the times. */
export async function benchFairness(later: Later, rows: number): Promise<number> {
  print(`\n  ${styled('bold', 'Sluice')}: ${smallRows} rows beside another organization's ${whole(rows)}\n`)
  const stack = await ownStack(later)
  const folder = mkdtempSync(join(tmpdir(), 'sluice-bench-'))
  later(() => rmSync(folder, { recursive: true, force: true }))
  const large = await signUpWithOrganization(stack, 'large@example.com', 'Large')
  const small = await signUpWithOrganization(stack, 'small@example.com', 'Small')

  let sent = 0
  const importSmall = async (beside: string): Promise<Small> => {
    const file = join(folder, 'small.csv')
    await writeFile(smallRows, file, sent * smallRows + 1)
    sent++
    const began = performance.now()
    const { id } = await upload(stack, small, { file, name: 'small.csv' }, () => {})
    await follow(stack, small, id, () => {})
    return { beside, milliseconds: performance.now() - began }
  }

  const warmUp = startStep('Alone')
  await importSmall('nothing')
  const measured: Small[] = []
  for (let n = 0; n < 5; n++) measured.push(await importSmall('nothing'))
  warmUp.done(`${measured.length} imports of ${smallRows} rows`)

  const file = join(folder, 'large.csv')
  await writeFile(rows, file)
  const step = startStep('Beside')
  let phase = 'upload'
  let isOver = false
  const running = importLarge(stack, large, file, (now) => {
    phase = now
  }).finally(() => {
    isOver = true
  })
  // Whoever waits below for a small import learns of a failure when they come to the large one.
  running.catch(() => {})
  await sleep(500)
  while (!isOver) {
    measured.push(await importSmall(phase))
    step.update(0, `${measured.length - 5} imports of ${smallRows} rows, the other's ${phase}`)
    await sleep(500)
  }
  const taken = await running
  step.done(`${whole(rows)} rows  ${seconds(taken).padStart(8)}  ${speed(rows, taken).padStart(16)}`)

  present(measured)
  const counts = [await countRows(stack, small, 'customers'), await countRows(stack, large, 'customers')]
  const right = [sent * smallRows, rows]
  if (counts.join() === right.join()) return 0
  print(
    `  ${styled('red', `✘ ${counts.map(whole).join(' and ')} rows, not ${right.map(whole).join(' and ')}`)}`,
  )
  return 1
}

/** Imports a file, tells what it is at, and returns how long it took. */
async function importLarge(
  stack: OwnStack,
  person: Person,
  file: string,
  tell: (phase: string) => void,
): Promise<number> {
  const began = performance.now()
  const { id } = await upload(stack, person, { file, name: 'large.csv' }, () => {})
  await follow(stack, person, id, ({ status }) => tell(status === 'committing' ? 'commit' : 'validation'))
  return performance.now() - began
}

function present(measured: Small[]): void {
  const cells = ['nothing', 'upload', 'validation', 'commit'].map((beside) => {
    const times = measured
      .filter((one) => one.beside === beside)
      .map((one) => one.milliseconds)
      .sort((a, b) => a - b)
    const shown = (milliseconds: number | undefined) =>
      milliseconds === undefined ? '' : (milliseconds / 1000).toFixed(2)
    return [beside, whole(times.length), shown(times[Math.floor(times.length / 2)]), shown(times.at(-1))]
  })
  print()
  for (const line of tableLines(['beside', '>imports', '>median seconds', '>slowest'], cells))
    print(`  ${line}`)

  const slowest = Math.max(...measured.map((one) => one.milliseconds))
  const mark = slowest <= goal ? styled('green', '✔') : styled('red', '✘')
  print(`\n  ${mark} ${smallRows} rows took ${seconds(slowest)} at most; they may take ${seconds(goal)}`)
}
