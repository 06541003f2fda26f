import { describe, expect, it } from 'vitest'
import { openApiDocument } from '../../../functions/_shared/app.ts'
import { importsApp } from '../../../functions/imports/app.ts'
import { usersApp } from '../../../functions/users/app.ts'

describe.each([
  ['imports', importsApp()],
  ['users', usersApp()],
])('the description of %s', (name, app) => {
  const document = openApiDocument(app, name)

  it('is OpenAPI 3.1 and has every route', () => {
    expect(document.openapi).toBe('3.1.0')
    const described = Object.entries(document.paths ?? {}).flatMap(([path, item]) =>
      Object.keys(item ?? {}).map(
        (method) => `${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`,
      ),
    )
    const served = app.routes
      .filter((route) => route.method !== 'ALL')
      .map((route) => `${route.method} ${route.path}`)
    expect(described.sort()).toEqual([...new Set(served), `GET /${name}/openapi.json`].sort())
    expect(described.length).toBeGreaterThan(4)
  })

  it('resolves all its references and names each operation once', () => {
    const text = JSON.stringify(document)
    for (const [, name] of text.matchAll(/"#\/components\/schemas\/(\w+)"/g)) {
      expect(document.components?.schemas).toHaveProperty(name as string)
    }
    const ids = [...text.matchAll(/"operationId":"(\w+)"/g)].map((match) => match[1])
    expect(new Set(ids).size).toBe(ids.length)
  })

  it('says of every parameter where it is', () => {
    const upload = document.paths?.[name === 'imports' ? '/imports' : '/users/import']?.post
    const names = (upload?.parameters ?? []).map(
      (parameter) => 'name' in parameter && `${parameter.in} ${parameter.name}`,
    )
    expect(names).toEqual(
      expect.arrayContaining(['query mode', 'query review', 'query wait', 'header idempotency-key']),
    )
  })
})
