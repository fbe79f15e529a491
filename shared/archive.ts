/**
 * Soft delete for tables that `enable_soft_delete` was called on: archive,
 * restore, and lists that leave archived rows out unless asked.
 *
 * @module
 */
export { type ArchivableTable, archive, restore } from "./archive/archive.ts";
export { archivedHeaders, exposeArchived } from "./archive/archived_headers.ts";
export { includeArchived } from "./archive/include_archived.ts";
export { leaveOutArchived } from "./archive/leave_out_archived.ts";
