import type { SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "../../shared/database.types.ts";
import { StoreError } from "../_kit/store_error.ts";

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

/** Why a recognition cannot be recorded. */
export type RecognitionErrorCode =
  | "RECIPIENT_NOT_FOUND"
  | "RECOGNITION_OF_ONESELF";

/** A recognition that the sender has to ask for differently. */
export class RecognitionError extends Error {
  override readonly name = "RecognitionError";

  constructor(readonly code: RecognitionErrorCode, message: string) {
    super(message);
  }
}

/** A recognition to be recorded. */
export interface NewRecognition {
  /** The same for every attempt at one request. */
  readonly requestId: string;
  /** What the recipient has handed out to be recognised by. */
  readonly recipientAddress: string;
  readonly message: string;
  readonly category: string;
  readonly points: number;
}

/** Which recognitions to list. */
export interface Selection {
  readonly direction: "sent" | "received";
  /** At most this many, the newest first. */
  readonly limit: number;
  /** Only those made before this moment, ISO 8601. */
  readonly before?: string | undefined;
}

/** Where recognitions are kept. */
export interface RecognitionStore {
  /**
   * Records a recognition, once for each request id.
   *
   * @throws {RecognitionError} When nobody has the address, or the sender has it.
   * @throws {StoreError} When the database did not do its part.
   */
  send(recognition: NewRecognition): Promise<Recognition>;
  /**
   * Lists what the user has sent or received.
   *
   * @throws {StoreError} When the database did not do its part.
   */
  list(userId: string, selection: Selection): Promise<Recognition[]>;
}

type Row = Database["public"]["Tables"]["recognitions"]["Row"];

/** The store behind a client that acts as the caller. */
export function recognitionStore(
  supabase: SupabaseClient<Database>,
): RecognitionStore {
  return {
    async send({ requestId, recipientAddress, message, category, points }) {
      const { data, error } = await supabase.rpc("send_recognition", {
        p_request_id: requestId,
        p_recipient_address: recipientAddress,
        p_message: message,
        p_category: category,
        p_points: points,
      });
      if (error === null) return toRecognition(data);
      switch (error.code) {
        case "P0002":
          throw new RecognitionError(
            "RECIPIENT_NOT_FOUND",
            `Nobody can be recognised under ${recipientAddress}: ask the recipient for a new address`,
          );
        case "23514":
          throw new RecognitionError(
            "RECOGNITION_OF_ONESELF",
            `${recipientAddress} is your own address: send to somebody else's`,
          );
        default:
          throw new StoreError("Cannot record a recognition", error);
      }
    },
    async list(userId, { direction, limit, before }) {
      const mine = direction === "sent" ? "sender_id" : "recipient_id";
      let query = supabase.from("recognitions").select().eq(mine, userId);
      if (before !== undefined) query = query.lt("created_at", before);
      const { data, error } = await query
        .order("created_at", { ascending: false })
        .limit(limit);
      if (error) {
        throw new StoreError(`Cannot list ${direction} recognitions`, error);
      }
      return data.map(toRecognition);
    },
  };
}

function toRecognition(row: Row): Recognition {
  return {
    recognitionId: row.id,
    senderId: row.sender_id,
    recipientId: row.recipient_id,
    message: row.message,
    category: row.category,
    points: row.points,
    createdAt: row.created_at,
  };
}
