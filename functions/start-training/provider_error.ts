/** What became of a call to the training provider. */
export type ProviderErrorCode = "PROVIDER_REFUSED" | "PROVIDER_UNAVAILABLE";

/**
 * The training provider did not do what it was asked. `PROVIDER_REFUSED`: it
 * will not, whenever asked again. `PROVIDER_UNAVAILABLE`: it may have, or may
 * yet.
 */
export class ProviderError extends Error {
  override readonly name = "ProviderError";

  /** @param message What was attempted and what was wrong; without secrets. */
  constructor(
    readonly code: ProviderErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
