import type { Route } from './app.ts'
import { serviceFiles } from './service-files.ts'

/** Deletes the stored files that the database says are past their time: what Storage keeps, only Storage deletes. */
export const deleteFiles: Route = async (_, db) => {
  let deleted = 0
  for (;;) {
    const paths = (await db('list_expired_files', {})) as string[]
    const gone = paths.length === 0 ? 0 : await serviceFiles().remove(paths)
    if (gone === 0) return { deleted }
    deleted += gone
  }
}
