import type { StoredFiles } from '../../functions/_shared/stored-files.ts'

const refuse = () => Promise.reject(new Error('no file was expected to be asked for'))

/** A bucket that nobody is to look into. */
export const noFiles: StoredFiles = { signUpload: refuse, signRead: refuse, remove: refuse }
