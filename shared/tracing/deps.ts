// Pinned inline, and only here: a copy of this folder and of tracing.ts then
// needs no import map and no edit.
export {
  configureSync,
  getConfig,
  getJsonLinesFormatter,
  getLogger,
  type LogLevel,
  type LogRecord,
  type Sink,
  withContext,
} from "npm:@logtape/logtape@2.4.2";
export {
  CREDIT_CARD_NUMBER_PATTERN,
  EMAIL_ADDRESS_PATTERN,
  redactByField,
  type RedactionPattern,
  type RedactionPatterns,
  US_SSN_PATTERN,
} from "npm:@logtape/redaction@2.3.7";
export {
  type Attributes,
  type Context,
  context,
  createTraceState,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
} from "npm:@opentelemetry/api@1.9.1";
export {
  defineMiddleware,
  getEnv,
  type Middleware,
} from "npm:@supabase/middleware@0.6.0";
