/**
 * Idempotency for Supabase Edge Functions: a request that carries a key takes
 * effect once; every retry of it gets the same answer.
 *
 * @module
 */
export {
  type BatchContext,
  type BatchItem,
  type BatchOutcome,
  runMany,
} from "./idempotency/batch.ts";
export {
  checkIdempotency,
  cleanupExpiredKeys,
  createIdempotencyKey,
  getIdempotencyStatus,
  type IdempotencyStatus,
  type KeyClaim,
  markIdempotencyFailed,
  type SingleCallConfig,
  storeIdempotencyResult,
} from "./idempotency/calls.ts";
export { countReplay, flushReplayCounts } from "./idempotency/claim.ts";
export {
  type IdempotencyConfig,
  type ScopeOf,
  type UserOf,
} from "./idempotency/config.ts";
export {
  CiphertextInvalidError,
  encrypted,
  type EncryptionKey,
  EncryptionKeyMissingError,
  type EncryptionOptions,
} from "./idempotency/encryption.ts";
export {
  admitWithoutKey,
  type Enforcement,
  enforcementOf,
} from "./idempotency/enforcement.ts";
export {
  AccountGoneError,
  AlreadyCompletedError,
  BodyConsumedError,
  BodyIncompleteError,
  type CachedResponse,
  CallerUnknownError,
  type IdempotencyCode,
  IdempotencyError,
  KeyInvalidError,
  KeyMissingError,
  KeyReusedError,
  LeaseLostError,
  LedgerMisconfiguredError,
  LedgerUnavailableError,
  NotOwnerError,
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
export {
  extractIdempotencyKey,
  generateIdempotencyKey,
  getIdempotencyKey,
  isValidIdempotencyKey,
  readIdempotencyKey,
} from "./idempotency/key.ts";
export {
  type Answer,
  type Answered,
  type BatchClaim,
  type BatchTerms,
  type Claimed,
  type ClaimResult,
  type ClaimTerms,
  type Denied,
  type Failure,
  type Identity,
  type KeyStatus,
  type Ledger,
  type Refused,
  type Settlement,
  type SettleResult,
  type StepResult,
} from "./idempotency/ledger.ts";
export {
  memoryLedger,
  type MemoryLedgerOptions,
} from "./idempotency/memory_ledger.ts";
export {
  type IdempotencyContext,
  type Upstream,
} from "./idempotency/middleware.ts";
export {
  type OperationConfig,
  type OperationContext,
  type OperationOutcome,
  operationResponse,
  type OperationResult,
  type OperationRun,
  setDefaultLedger,
} from "./idempotency/operation.ts";
export {
  type PostgresClient,
  postgresLedger,
  type PostgresPool,
  type QueryClient,
} from "./idempotency/postgres_ledger.ts";
export {
  type Problem,
  problemResponse,
  refusalResponse,
} from "./idempotency/problem.ts";
export {
  redisLedger,
  type RedisLedgerOptions,
  type SendCommand,
} from "./idempotency/redis_ledger.ts";
export { corsHeaders } from "./idempotency/response.ts";
export {
  type EffectKey,
  type Step,
  type StepContext,
  type StepOptions,
} from "./idempotency/steps.ts";
export {
  type LedgerCall,
  type LedgerClient,
  supabaseLedger,
} from "./idempotency/supabase_ledger.ts";
export { answerResponse } from "./idempotency/transaction.ts";
export {
  type AuthClient,
  type HandlerConfig,
  verifiedUser,
  type WithIdempotency,
  withIdempotency,
} from "./idempotency/with_idempotency.ts";
