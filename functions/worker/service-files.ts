import process from 'node:process'
import { createClient } from '@supabase/supabase-js'
import { secretKey } from '../_shared/secret-key.ts'
import { type StoredFiles, storedFilesOf } from '../_shared/stored-files.ts'

/** All files in the bucket imports. */
export function serviceFiles(): StoredFiles {
  return storedFilesOf(
    createClient(process.env.SUPABASE_URL ?? '', secretKey(), { auth: { persistSession: false } }),
  )
}
