import { setTimeout as sleep } from 'node:timers/promises'
import { get, type Person, post } from './api.ts'
import type { OwnStack } from './endpoint.ts'
import { seconds, tableLines, whole } from './format.ts'
import { asPostgres, findStack, signUpPerson } from './prepare.ts'
import type { Later } from './run.ts'
import { type Article, openShop, type Shop } from './shop.ts'
import { printDifferences } from './summary.ts'
import { print, startStep, styled } from './terminal.ts'

const articles = 200
const pause = 2_000

/** What is read here of a run. */
interface Run {
  id: string
  status: string
  reason: string | null
  error: { code: string } | null
  deletion_count: number | null
  counts: Record<'inserted' | 'updated' | 'unchanged' | 'deleted' | 'failed', number>
}

/** What happens at the shop, and what the run after it must come to. */
interface Scene {
  what: string
  happens(shop: Shop): void
  status: string
  counts?: Partial<Run['counts']>
  /** What somebody says to a run that asks. */
  answer?: 'approve' | 'cancel'
}

const scenes: Scene[] = [
  { what: 'opens', happens: () => {}, status: 'completed', counts: { inserted: articles } },
  { what: 'is as it was', happens: () => {}, status: 'unchanged' },
  {
    what: '12 prices, 3 new articles',
    happens: (shop) => {
      shop.raise(12)
      shop.add(3)
    },
    status: 'completed',
    counts: { inserted: 3, updated: 12, unchanged: 188 },
  },
  {
    what: '5 articles vanish',
    happens: (shop) => shop.remove(5),
    status: 'completed',
    counts: { unchanged: 198, deleted: 5 },
  },
  { what: 'sends a page of regrets', happens: (shop) => shop.close(), status: 'failed source_not_data' },
  { what: 'is back', happens: (shop) => shop.reopen(), status: 'unchanged' },
  {
    what: 'loses half its articles',
    happens: (shop) => shop.remove(99),
    status: 'awaiting_approval too_many_deletions',
    answer: 'cancel',
  },
  {
    what: 'an admin lets them go',
    happens: () => {},
    status: 'awaiting_approval too_many_deletions',
    answer: 'approve',
    counts: { unchanged: 99, deleted: 99 },
  },
  { what: 'is as it was', happens: () => {}, status: 'unchanged' },
]

/** A small shop's feed, synced each few seconds while articles change and vanish. */
export async function demoSync(later: Later): Promise<number> {
  print(`\n  ${styled('bold', 'Sluice')}: the feed of a shop with ${whole(articles)} articles, as a mirror\n`)
  const stack = await findStack(later)
  const admin = await signUpPerson(stack)
  const shop = await openShop(articles)
  later(() => shop.stop())
  const sourceId = await register(stack, admin, shop)
  print()

  const wrong: string[] = []
  const lines: string[][] = []
  for (const [index, scene] of scenes.entries()) {
    if (index > 0) await sleep(pause)
    scene.happens(shop)
    const step = startStep(`Run ${index + 1}`)
    const before = shop.requests()
    const began = performance.now()
    let run = await start(stack, admin, sourceId)
    const status = [run.status, run.reason ?? run.error?.code].filter(Boolean).join(' ')
    if (scene.answer) run = await say(stack, admin, run, scene.answer)
    const taken = performance.now() - began
    const { inserted, updated, unchanged, deleted } = run.counts
    const requests = shop.requests() - before
    lines.push([
      scene.what,
      ...[requests, inserted, updated, unchanged, deleted].map(whole),
      seconds(taken),
      status,
    ])
    step.done(`${scene.what.padEnd(26)} ${scene.answer ? `${status}: ${scene.answer}` : status}`)
    wrong.push(...differences(scene, index + 1, run, status))
  }

  print()
  const header = [
    'the shop',
    '>requests',
    '>inserted',
    '>updated',
    '>unchanged',
    '>deleted',
    '>time',
    'the run',
  ]
  for (const line of tableLines(header, lines)) print(`  ${line}`)
  wrong.push(...(await feedDifferences(stack, admin, shop)))
  if (wrong.length > 0) printDifferences(wrong)
  else print('\n  The table has what the shop has, article by article\n')
  return wrong.length > 0 ? 1 : 0
}

/** A source of the organization, which may be on this machine here. */
async function register(stack: OwnStack, admin: Person, shop: Shop): Promise<string> {
  const step = startStep('Source')
  await asPostgres(
    stack,
    (sql) => sql`select public.set_setting('outbound.allow_private', 'true', ${admin.organizationId})`,
  )
  const source = (await post(stack, admin, '/functions/v1/sync/sources', {
    name: 'shop',
    dataset: 'products',
    kind: 'http_csv',
    location: `${shop.url}/articles.csv`,
    mode: 'mirror',
    mapping: { sku: 'Article', name: 'Title', unit_price: 'Price' },
  })) as { id: string }
  await post(stack, admin, '/functions/v1/sync/schedules', {
    source_id: source.id,
    cron_expression: '0 4 * * *',
  })
  step.done(`${shop.url}/articles.csv, each night, and now by hand`)
  return source.id
}

async function start(stack: OwnStack, admin: Person, sourceId: string): Promise<Run> {
  const path = `/functions/v1/sync/sources/${sourceId}/run?wait=30`
  return (await post(stack, admin, path)) as Run
}

async function say(stack: OwnStack, admin: Person, run: Run, answer: 'approve' | 'cancel'): Promise<Run> {
  return (await post(stack, admin, `/functions/v1/sync/runs/${run.id}/${answer}?wait=30`)) as Run
}

function differences(scene: Scene, number: number, run: Run, status: string): string[] {
  const wrong: string[] = []
  if (status !== scene.status) wrong.push(`run ${number} is ${status}, and must be ${scene.status}`)
  const counts = { inserted: 0, updated: 0, unchanged: 0, deleted: 0, failed: 0, ...scene.counts }
  for (const [name, count] of Object.entries(counts)) {
    const found = run.counts[name as keyof Run['counts']]
    if (found !== count) wrong.push(`run ${number} has ${found} ${name}, and must have ${count}`)
  }
  return wrong
}

/** Whether the organization has the articles of the shop, and no others. */
async function feedDifferences(stack: OwnStack, admin: Person, shop: Shop): Promise<string[]> {
  const path = '/rest/v1/products?select=sku,name,unit_price&order=sku'
  const found = (await get(stack, admin, path)) as { sku: string; name: string; unit_price: number }[]
  const lineOf = ({ sku, name, price }: Article) => `${sku} ${name} ${price.toFixed(2)}`
  const here = found.map(({ sku, name, unit_price }) => lineOf({ sku, name, price: unit_price }))
  const there = shop.articles().map(lineOf)
  return [
    ...here.filter((line) => !there.includes(line)).map((line) => `the shop has no ${line}`),
    ...there.filter((line) => !here.includes(line)).map((line) => `there is no ${line}`),
  ]
}
