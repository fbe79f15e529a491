/**
 * Migrations from code, and data that takes code to move: what the npm package
 * has as `supabase-idempotency/migrate`.
 *
 * @module
 */
export type { MigrationContext } from "./apply.ts";
export { backupCollection, restoreCollection } from "./backup.ts";
export {
  BackupError,
  HalfDoneError,
  MigrationRefusedError,
  RunFailedError,
  RunnerBusyError,
  StatementError,
  VerificationError,
} from "./errors.ts";
export type { ParsedMigration } from "./migration.ts";
export type { MigrateOptions } from "./options.ts";
export {
  executeMigration,
  migrateProject,
  rollBack,
  runMigrations,
  sqlFile,
} from "./run_migrations.ts";
export type {
  ExecuteOptions,
  MigrationEntry,
  MigrationResult,
  RollBackReport,
  RunReport,
} from "./run_migrations.ts";
