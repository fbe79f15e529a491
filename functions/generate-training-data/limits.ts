/**
 * The most documents in one data set: enough for a handbook, few enough that
 * one statement reads them well within the 8 s that an API role has.
 */
export const MAX_DOCUMENTS = 100;

/**
 * The longest text that one data set is made from, in characters. Making
 * examples takes about 2 s for this much, the time an edge function may compute.
 */
export const MAX_SOURCE_CHARACTERS = 500_000;
