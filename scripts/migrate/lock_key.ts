/**
 * Key of the advisory lock that keeps runners apart. A starting local stack
 * takes the same, because it migrates too.
 */
export const MIGRATION_LOCK = 7_145_239_061;
