import { randomUUID } from 'node:crypto'
import { beforeAll, describe, expect, it } from 'vitest'
import type { z } from 'zod'
import {
  errorSchema,
  importListSchema,
  importSchema,
  issueListSchema,
  jobSchema,
  rowListSchema,
  setSchema,
} from '../../functions/_shared/documents.ts'
import { type Person, signUp } from '../support/client.ts'
import { csv, request } from '../support/http.ts'

// The database makes the documents and the function describes them: what is answered is what is described.

const file = csv(
  ['external_id', 'name', 'email', 'extra'],
  [
    ['X1', 'One', 'one@example.com', ''],
    ['X2', 'Two', 'nowhere', ''],
  ],
)
let ann: Person
let setId: string
let id: string

beforeAll(async () => {
  ann = await signUp('ann')
  const slug = `org-${randomUUID().slice(0, 8)}`
  await ann.client.rpc('create_organization', { name: slug, slug })
  setId = (await request(ann, 'POST', '/sets', { body: {} })).body.id
  const uploaded = await request(ann, 'POST', `?dataset=customers&set_id=${setId}`, { body: file })
  id = uploaded.body.id
})

async function answer(method: string, path: string): Promise<unknown> {
  return (await request(ann, method, path)).body
}

/** It fits, and nothing is left out of the description or added to it. */
function expectDescribed(document: unknown, schema: z.ZodObject): void {
  expect(schema.safeParse(document).error).toBeUndefined()
  expect(Object.keys(document as object).sort()).toEqual(Object.keys(schema.shape).sort())
}

describe('what is answered is described:', () => {
  it('imports, at every step', async () => {
    expectDescribed(await answer('GET', `/${id}`), importSchema)
    expectDescribed(await answer('POST', `/${id}/validate`), jobSchema)
    for (const path of [`/${id}/cancel?wait=30`, `/sets/${setId}/run?wait=30`]) await answer('POST', path)
    const again = await request(ann, 'POST', '?dataset=customers&review=false&wait=30', { body: `${file}\n` })
    expectDescribed(again.body, importSchema)
    expectDescribed(await answer('POST', `/${again.body.id}/undo?wait=30`), importSchema)
  })

  it('lists, rows, issues', async () => {
    const list = (await answer('GET', '')) as z.infer<typeof importListSchema>
    expectDescribed(list, importListSchema)
    expect(list.imports.length).toBeGreaterThan(1)
    const [last] = list.imports
    const rows = await answer('GET', `/${last?.id}/rows`)
    expect(rowListSchema.safeParse(rows).error).toBeUndefined()
    for (const row of rows as object[]) expectDescribed(row, rowListSchema.element)
    const issues = (await answer('GET', `/${last?.id}/issues`)) as object[]
    expect(issues).not.toEqual([])
    for (const issue of issues) expectDescribed(issue, issueListSchema.element)
  })

  it('sets and errors', async () => {
    expectDescribed(await answer('GET', `/sets/${setId}`), setSchema)
    expectDescribed(await answer('GET', `/${randomUUID()}`), errorSchema)
    expectDescribed(await answer('GET', '/nowhere'), errorSchema)
  })
})
