/** `kvorum backup` and `kvorum restore` as words of the command line; apart from what they do, since every start asks. */

export const backupNames = ['backup', 'restore'] as const;
export type BackupName = (typeof backupNames)[number];

export function isBackupName(word: string | undefined): word is BackupName {
  return backupNames.some((name) => name === word);
}
