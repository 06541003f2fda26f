import type { CallDatabase } from '../_shared/caller.ts'
import type { ImportDocument } from '../_shared/upload/await-import.ts'

/** What became of people, as far as it is looked at here. */
export interface Results extends Record<string, unknown> {
  users: { row_number: number; status: string }[]
}

const pageSize = 1000

/** What became of the people of an import that is at rest: all in all, and of the first thousand each. */
export async function resultsOf(db: CallDatabase, document: ImportDocument): Promise<Results> {
  const { id, status, counts, issues, error } = document
  const users = (await db('list_user_results', { import_id: id, page_size: pageSize })) as Results['users']
  return {
    import_id: id,
    status,
    counts,
    issues,
    error,
    ...(status === 'validated' && { preview: await db('get_import_preview', { import_id: id }) }),
    users,
    next_after: users.length === pageSize ? (users.at(-1)?.row_number ?? null) : null,
  }
}
