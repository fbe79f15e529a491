/** What users are recognised for. */
export const CATEGORIES = [
  "teamwork",
  "craft",
  "initiative",
  "service",
  "growth",
] as const;

/** The longest message of a recognition, in characters. */
export const MAX_MESSAGE_CHARACTERS = 1_000;

/** The most points of one recognition. */
export const MAX_POINTS = 100;

/** What one user thanks another for. */
export interface Recognition {
  readonly recognitionId: string;
  readonly senderId: string;
  readonly recipientId: string;
  readonly message: string;
  readonly category: string;
  readonly points: number;
  /** ISO 8601. */
  readonly createdAt: string;
}
