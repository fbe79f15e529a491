/**
 * Tracing for Supabase Edge Functions: one JSON line for each thing that
 * happens, the trace id in all of them, and no secret in any.
 *
 * @module
 */
export { logEvent } from "./tracing/log.ts";
export {
  executeDatabaseOperation,
  executeExternalCall,
  executeWithLogging,
  type ExternalCall,
  tracedFetch,
} from "./tracing/operations.ts";
export { redacting } from "./tracing/redaction.ts";
export {
  createRequestContext,
  type Origin,
  type RequestContext,
} from "./tracing/request_context.ts";
export { traceHeaders, type TraceName } from "./tracing/scope.ts";
export { hashUserId } from "./tracing/secrets.ts";
export {
  formatTraceparent,
  parseTraceparent,
  type Traceparent,
} from "./tracing/trace_context.ts";
export {
  stampTrace,
  traceMetadata,
  traceRequest,
  type Tracing,
  type TracingConfig,
  withTracedUser,
  withTracing,
} from "./tracing/trace_request.ts";
