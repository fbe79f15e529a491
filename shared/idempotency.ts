/**
 * Idempotency for Supabase Edge Functions: a request that carries a key takes
 * effect once; every retry of it gets the same answer.
 *
 * @module
 */
export { answerResponse } from "./idempotency/answer_response.ts";
export { type IdempotencyConfig } from "./idempotency/config.ts";
export { corsHeaders } from "./idempotency/cors.ts";
export { type EffectKey } from "./idempotency/effect_key.ts";
export { type Enforcement, enforcementOf } from "./idempotency/enforcement.ts";
export {
  type IdempotencyCode,
  IdempotencyError,
  KeyInvalidError,
  KeyMissingError,
  KeyReusedError,
  LeaseLostError,
  LedgerUnavailableError,
  OutcomeUnknownError,
  RequestInProgressError,
  RequestTooLargeError,
  ResponseNotStoredError,
  TooManyKeysError,
} from "./idempotency/errors.ts";
export { type IdempotencyEvent, type Outcome } from "./idempotency/event.ts";
export {
  type FingerprintOptions,
  fingerprintRequest,
} from "./idempotency/fingerprint.ts";
export { type IdempotencyContext } from "./idempotency/handler_run.ts";
export {
  extractIdempotencyKey,
  generateIdempotencyKey,
  getIdempotencyKey,
  isValidIdempotencyKey,
} from "./idempotency/key.ts";
export {
  type Answer,
  type BatchClaim,
  type BatchTerms,
  type ClaimRequest,
  type ClaimResult,
  type Identity,
  type Ledger,
  type Refused,
  type Settlement,
  type SettleResult,
} from "./idempotency/ledger.ts";
export {
  memoryLedger,
  type MemoryLedgerOptions,
} from "./idempotency/memory_ledger.ts";
export { admitWithoutKey } from "./idempotency/missing_key.ts";
export {
  type OperationContext,
  type OperationOutcome,
  type OperationResult,
  type OperationRun,
} from "./idempotency/operation.ts";
export {
  type PostgresClient,
  postgresLedger,
  type QueryClient,
} from "./idempotency/postgres_ledger.ts";
export { type Problem, problemResponse } from "./idempotency/problem.ts";
export { redisLock } from "./idempotency/redis_lock.ts";
export { refusalResponse } from "./idempotency/refusal_response.ts";
export { countReplay, flushReplayCounts } from "./idempotency/replay_counts.ts";
export {
  type BatchContext,
  type BatchItem,
  type BatchOutcome,
  runMany,
} from "./idempotency/run_many.ts";
export { type SharedLock } from "./idempotency/shared_lock.ts";
export {
  AlreadyCompletedError,
  type CachedResponse,
  checkIdempotency,
  cleanupExpiredKeys,
  createIdempotencyKey,
  type KeyClaim,
  markIdempotencyFailed,
  NotOwnerError,
  type SingleCallConfig,
  storeIdempotencyResult,
} from "./idempotency/single_calls.ts";
export {
  getIdempotencyStatus,
  type IdempotencyStatus,
} from "./idempotency/status.ts";
export {
  type Step,
  type StepContext,
  type StepOptions,
} from "./idempotency/steps.ts";
export {
  type LedgerCall,
  type LedgerClient,
  supabaseLedger,
} from "./idempotency/supabase_ledger.ts";
export {
  type WithIdempotency,
  withIdempotency,
} from "./idempotency/with_idempotency.ts";
