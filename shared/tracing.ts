/**
 * Tracing for Supabase Edge Functions: one JSON line for each thing that
 * happens, the trace id in all of them, and no secret in any.
 *
 * @module
 */
export { executeDatabaseOperation } from "./tracing/execute_database_operation.ts";
export {
  executeExternalCall,
  type ExternalCall,
} from "./tracing/execute_external_call.ts";
export { executeWithLogging } from "./tracing/execute_with_logging.ts";
export { hashUserId } from "./tracing/hash_user_id.ts";
export { logEvent } from "./tracing/log_event.ts";
export { redacting } from "./tracing/redacting.ts";
export {
  createRequestContext,
  type Origin,
  type RequestContext,
} from "./tracing/request_context.ts";
export { traceHeaders } from "./tracing/trace_headers.ts";
export { type TraceName } from "./tracing/trace_of.ts";
export {
  stampTrace,
  traceMetadata,
  traceRequest,
  type TracingConfig,
} from "./tracing/trace_request.ts";
export { tracedFetch } from "./tracing/traced_fetch.ts";
export {
  formatTraceparent,
  parseTraceparent,
  type Traceparent,
} from "./tracing/traceparent.ts";
export { withTracedUser } from "./tracing/with_traced_user.ts";
export { type Tracing, withTracing } from "./tracing/with_tracing.ts";
